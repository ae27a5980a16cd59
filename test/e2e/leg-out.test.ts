// A child that its mirror has taken out does not come back with a restart of the engine: it lacks
// what was acknowledged since.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const BLOCK_BYTES = 4096;
const READS = 8;
/** What is killed is the engine, and nobody starts it again but the test. */
const ALONE = ["--no-supervisor"];

type Run = (...args: readonly string[]) => Promise<string>;

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
    const run: Run = async (...args) => {
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
  const run: Run = async (...args) => {
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

/** Far below a client's patience, far above what a busy machine takes. */
const SOON_MS = 15_000;

/** An engine whose pipe `vol` cannot be stored any more, with a write that waits for that. */
async function startStuck(t: TestContext): Promise<{ engine: PenstockProcess; run: Run }> {
  const dataDir = makeTempDir(t);
  const engine = await startEngine(t, dataDir, { args: ALONE });
  const run: Run = async (...args) => {
    const environment = { PENSTOCK_ENGINE: engine.uri };
    return (await runCommand(PENSTOCK, args, { environment })).stdout;
  };
  const legs = ["a", "b"].map((name) => `${join(dataDir, name)}.img?size=8MiB`);
  const text = `mirror(${legs[0]} | fault?write=error, ${legs[1]}) | nbd://127.0.0.1:0/vol`;
  const uri = (await run("pipe", "create", "vol", text)).trim().slice("ready ".length);
  // A folder in the place of the temporary file: root cannot write there either.
  mkdirSync(join(dataDir, "pipes", ".vol.tmp"));
  const client = await NbdRawClient.open(uri);
  void client.write(0, Buffer.alloc(BLOCK_BYTES, 0x44)).then(
    () => ok(false, "acknowledged what nobody would know of after a restart"),
    () => undefined,
  );
  while (!(await run("events", "-o", "json")).includes("leg-out-not-stored"));
  return { engine, run };
}

test("a pipe whose store is full is deleted while its mirror waits for the store", async (t) => {
  const { engine, run } = await startStuck(t);
  const startedAtMs = performance.now();
  await run("pipe", "delete", "vol").catch(() => undefined);
  deepStrictEqual(JSON.parse(await run("pipe", "list", "-o", "json")), []);
  ok(performance.now() - startedAtMs < SOON_MS);
  await engine.stop();
});

test("an engine whose store is full stops while a mirror waits for the store", async (t) => {
  const { engine } = await startStuck(t);
  const startedAtMs = performance.now();
  const { signal } = await engine.stop();
  strictEqual(signal, null, "it need not be killed");
  ok(performance.now() - startedAtMs < SOON_MS);
});

forEachLevel(
  "a creation fails with its reason when a child faults at the flush that ends it",
  { levels: ["uring apart"] },
  async (t, level) => {
    const dataDir = makeTempDir(t);
    const engine = await startEngine(t, dataDir, { level, args: ALONE });
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    t.after(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const legs = ["a", "b"].map((name) => `${join(dataDir, name)}.img?size=8MiB`);
    const text = `mirror(${legs[0]} | fault?flush=error, ${legs[1]}) | nbd://127.0.0.1:${port}/v`;
    const environment = { PENSTOCK_ENGINE: engine.uri };
    const creating = runCommand(PENSTOCK, ["pipe", "create", "vol", text], { environment });
    await rejects(creating, /in use/);
    const { stdout } = await runCommand(PENSTOCK, ["pipe", "list", "-o", "json"], { environment });
    deepStrictEqual(JSON.parse(stdout), []);
    strictEqual((await engine.stop()).signal, null);
  },
);
