// `pipe resize`: a file grows under a pipe that serves, on either reactor, and stays grown.

import { match, strictEqual } from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "../../src/testing/free-port.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;

test("pipe resize grows a file for new clients, and a restart keeps it", async (t) => {
  const dataDir = makeTempDir(t);
  const first = await startEngine(t, dataDir, { args: ["--reactors", "2"] });
  let engine = first.uri;
  const run = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await runCommand(PENSTOCK, [...args, "--engine", engine]);
    return stdout;
  };
  const [one, two] = ["one.img", "two.img"].map((name) => join(dataDir, name)) as [string, string];
  const port = await freePort();
  const uri = `nbd://127.0.0.1:${port}/one`;
  await run("pipe", "create", "one", `${one}?size=1MiB | ${uri}`);
  // On the other reactor, behind the first one's listener.
  await run("pipe", "create", "two", `${two}?size=1MiB | log | nbd://127.0.0.1:${port}/two`);
  for (const name of ["one", "two"]) {
    const at = uri.replace(/one$/, name);
    const client = await NbdRawClient.open(at);
    const shown = await run("pipe", "resize", name, "4MiB");
    match(shown, new RegExp(`${name}\\.img\\?size=4194304B`));
    const later = await NbdRawClient.open(at);
    strictEqual(client.sizeBytes, MIB);
    strictEqual(later.sizeBytes, 4 * MIB);
    await later.write(4 * MIB - 4096, Buffer.alloc(4096, 1));
    await later.disconnect();
    await client.disconnect();
  }
  strictEqual(statSync(two).size, 4 * MIB);
  match(await run("events"), /pipe-resized: one: the source has 4194304 bytes/);
  await first.stop();
  const second = await startEngine(t, dataDir);
  engine = second.uri;
  match(await run("share", "list"), /^one .* 4MiB/m);
});
