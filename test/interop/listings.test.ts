/** What nbd-client and qemu-nbd list of a server with two exports. */

import assert from "node:assert/strict";

import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";

const SKIP = missingTools("nbd-client", "qemu-nbd");

forEachLevel("nbd-client -l and qemu-nbd -L", { skip: SKIP }, async (t, level) => {
  const port = String(await freePort());
  await startPenstock(
    t,
    [
      `malloc:///a?size=3MiB | nbd://127.0.0.1:${port}/alpha?description=the%20first`,
      `malloc:///b?size=5MiB | nbd://127.0.0.1:${port}/beta?readonly=1`,
    ],
    { level },
  );
  const listed = await runCommand("nbd-client", ["-l", "127.0.0.1", port]);
  assert.match(listed.stdout, /^alpha: the first$/m);
  assert.match(listed.stdout, /^beta\b/m);

  const { stdout } = await runCommand("qemu-nbd", ["-L", "-b", "127.0.0.1", "-p", port]);
  assert.match(stdout, /exports available: 2/);
  const [, alpha = "", beta = ""] = stdout.split(/^ export: /m);
  assert.match(alpha, /'alpha'/);
  assert.match(alpha, /description: the first/);
  assert.match(alpha, /size: {2}3145728/);
  assert.match(alpha, /flush fua trim zeroes df multi cache/);
  assert.match(alpha, /base:allocation/);
  assert.match(beta, /'beta'/);
  assert.match(beta, /size: {2}5242880/);
  assert.match(beta, /readonly/);
  assert.doesNotMatch(beta, /trim|zeroes/);
});
