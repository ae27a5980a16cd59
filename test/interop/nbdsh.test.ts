/** Every NBD command, flag and option through libnbd: the scripts in scripts/ say what is shown. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { forEachExport } from "../../src/testing/export-matrix.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { missingNbdsh, runNbdsh } from "../../src/testing/nbdsh.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";

const SKIP = missingNbdsh();
const script = (name: string): string => join(import.meta.dirname, "scripts", `${name}.py`);

forEachExport("nbdsh: data of every alignment", { skip: SKIP }, async (t, served) => {
  const seed = testSeed(t);
  const count = forLongRun(60, 1500);
  await runNbdsh(script("data"), { uri: served.uri, size: served.sizeBytes, seed, count });
});

forEachExport("nbdsh: flags, forms of replies, errors", { skip: SKIP }, async (t, served) => {
  const parameters = { uri: served.uri, size: served.sizeBytes, seed: testSeed(t) };
  await runNbdsh(script("flags"), parameters);
  await runNbdsh(script("errors"), parameters);
  await runNbdsh(script("disconnect"), parameters);
});

forEachExport("nbdsh: several connections", { skip: SKIP }, async (t, served) => {
  // A loop device has a page cache of its own: the file below shows only what was flushed.
  const below = served.backing === "loop" ? (served.source.sparseFilePath ?? "") : "";
  const parameters = { uri: served.uri, size: served.sizeBytes, seed: testSeed(t), below };
  await runNbdsh(script("multi_conn"), parameters);
});

forEachLevel("nbdsh: a read-only export", { skip: SKIP }, async (t, level) => {
  const path = join(makeTempDir(t), "disk.img");
  const content = Buffer.alloc(4 * 2 ** 20);
  content.write("DATA");
  writeFileSync(path, content, { mode: 0o444 });
  const pipe = `file://${path}?readonly=1 | nbd://127.0.0.1:0/vol`;
  const server = await startPenstock(t, pipe, { level });
  await runNbdsh(script("read_only"), { uri: server.uri, size: content.length });
});

forEachLevel("nbdsh: several exports on one listener", { skip: SKIP }, async (t, level) => {
  const port = await freePort();
  const sizes = [1, 2, 3].map((mebibytes) => mebibytes * 2 ** 20);
  const names = ["first", "second", "third/with%20blank"];
  const pipes = names.map(
    (name, index) => `malloc:///m${index}?size=${sizes[index]}B | nbd://127.0.0.1:${port}/${name}`,
  );
  const server = await startPenstock(t, pipes, { level });
  await runNbdsh(script("options"), {
    uris: server.uris.join(","),
    names: names.map(decodeURIComponent).join(","),
    sizes: sizes.join(","),
  });
});
