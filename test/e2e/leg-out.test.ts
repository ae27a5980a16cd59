// A child that its mirror has taken out does not come back with a restart of the engine: it lacks
// what was acknowledged since.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const BLOCK_BYTES = 4096;
const READS = 8;
/** What is killed is the engine, and nobody starts it again but the test. */
const ALONE = ["--no-supervisor"];

interface ShownChild {
  readonly name: string;
  readonly state: string;
  readonly fault?: { readonly kind: string };
}

forEachLevel(
  "a faulted child stays out over kill -9 and a clean stop",
  { levels: ["uring apart"] },
  async (t, level) => {
    const dataDir = makeTempDir(t);
    const legs = ["a", "b"].map((name) => `${join(dataDir, name)}.img?size=8MiB`);
    const text = `mirror(${legs[0]} | fault#f, ${legs[1]}) | nbd://127.0.0.1:0/vol`;
    const oldData = Buffer.alloc(BLOCK_BYTES, 0x11);
    const newData = Buffer.alloc(BLOCK_BYTES, 0x22);

    let engine = await startEngine(t, dataDir, { level, args: ALONE });
    const run = async (...args: readonly string[]): Promise<string> => {
      const environment = { PENSTOCK_ENGINE: engine.uri };
      return (await runCommand(PENSTOCK, args, { environment })).stdout;
    };
    const uri = (await run("pipe", "create", "vol", text)).trim().slice("ready ".length);
    const children = async (): Promise<ShownChild[]> => {
      const shown = JSON.parse(await run("pipe", "show", "vol", "-o", "json"));
      return shown.stages[0].details.children;
    };

    const client = await NbdRawClient.open(uri);
    await client.write(0, oldData);
    await run("pipe", "set", "vol", "f", "fault?write=error");
    await client.write(0, newData);
    await client.flush();
    deepStrictEqual(
      (await children()).map(({ state }) => state),
      ["faulted", "in-sync"],
    );

    const readsNewData = async (): Promise<void> => {
      while (JSON.parse(await run("pipe", "list", "-o", "json"))[0].state !== "ready");
      const again = await NbdRawClient.open(uri);
      for (let reads = 0; reads < READS; reads++) {
        ok((await again.read(0, BLOCK_BYTES)).equals(newData), "old data came back");
      }
      await again.disconnect();
      const [first, second] = await children();
      strictEqual(first?.state, "faulted");
      strictEqual(first.fault?.kind, "media-error");
      strictEqual(second?.state, "in-sync");
      const drawn = await run("pipe", "graph", "vol");
      ok(drawn.includes("faulted"), drawn);
    };

    await engine.stop("SIGKILL");
    engine = await startEngine(t, dataDir, { level, args: ALONE });
    await readsNewData();
    deepStrictEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
    engine = await startEngine(t, dataDir, { level, args: ALONE });
    await readsNewData();
    // The text is whole all the while, so that the pipe can be made anew once the legs are equal.
    const [listed] = JSON.parse(await run("pipe", "list", "-o", "json"));
    ok(listed.text.includes("a.img") && listed.text.includes("fault#f"), listed.text);
    await engine.stop();
  },
);

test("a child is out in the store before the write that it missed is answered", async (t) => {
  const dataDir = makeTempDir(t);
  const [a, b] = ["a", "b"].map((name) => `${join(dataDir, name)}.img?size=8MiB`);
  let engine = await startEngine(t, dataDir, { args: ALONE });
  const run = async (...args: readonly string[]): Promise<string> => {
    const environment = { PENSTOCK_ENGINE: engine.uri };
    return (await runCommand(PENSTOCK, args, { environment })).stdout;
  };
  const text = `mirror(${a} | fault?write=error, ${b}) | nbd://127.0.0.1:0/vol`;
  const uri = (await run("pipe", "create", "vol", text)).trim().slice("ready ".length);
  const client = await NbdRawClient.open(uri);
  await client.write(0, Buffer.alloc(BLOCK_BYTES, 0x33));
  // At the very moment of the answer.
  await engine.stop("SIGKILL");
  engine = await startEngine(t, dataDir, { args: ALONE });
  while (JSON.parse(await run("pipe", "list", "-o", "json"))[0].state !== "ready");
  const shown = JSON.parse(await run("pipe", "show", "vol", "-o", "json"));
  deepStrictEqual(
    shown.stages[0].details.children.map(({ state }: ShownChild) => state),
    ["faulted", "in-sync"],
  );
  await engine.stop();
});
