// Streams of snapshots end when their client goes, when their pool is exported and when the engine
// stops: nothing stays open behind them, the engine ends well, and what was received is kept.

import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient, streamToEngine } from "../../src/api/engine-client.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { toPenstockError } from "../../src/util/errors.ts";

const MIB = 2 ** 20;
const POOL = "fast";
const DATA_MIB = 24;
const CHUNK_BYTES = 100_000;

function ask<T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}

/** With a snapshot of 24 MiB that nothing compresses. */
async function startWithSnapshot(t: TestContext): Promise<PenstockProcess> {
  const folder = makeTempDir(t);
  const engine = await startEngine(t, join(folder, "data"), { args: ["--no-supervisor"] });
  const disk = join(folder, "disk");
  writeFileSync(disk, "");
  truncateSync(disk, 160 * MIB);
  await ask(engine, async ({ pools, replicas, snapshots }) => {
    await pools.createPool({ name: POOL, disks: [disk] });
    const sizeBytes = BigInt(DATA_MIB * MIB);
    await replicas.createReplica({ pool: POOL, name: "vol", sizeBytes, thin: true });
    const share = "nbd://127.0.0.1:0/vol";
    const { replica } = await replicas.shareReplica({ pool: POOL, name: "vol", share });
    const client = await NbdRawClient.open(replica?.shareUri ?? "");
    for (let at = 0; at < DATA_MIB; at++) await client.write(at * MIB, randomBytes(MIB));
    await client.disconnect();
    await replicas.unshareReplica({ pool: POOL, name: "vol" });
    await snapshots.createSnapshot({ pool: POOL, snapshot: "vol@one" });
  });
  return engine;
}

async function streamOf(engine: PenstockProcess): Promise<Buffer> {
  return await ask(engine, async ({ snapshots }) => {
    const parts: Uint8Array[] = [];
    const request = { pool: POOL, snapshot: "vol@one" };
    for await (const { data } of snapshots.sendSnapshot(request)) parts.push(data);
    return Buffer.concat(parts);
  });
}

/** A stream's first half, then nothing, until `end` settles. */
async function* half(stream: Buffer, begun: () => void, end: Promise<unknown>) {
  yield { target: { pool: POOL, replica: "copy", thin: true } };
  for (let at = 0; at < stream.length / 2; at += CHUNK_BYTES) {
    yield { data: stream.subarray(at, at + CHUNK_BYTES) };
  }
  begun();
  await end;
  throw new Error("cut");
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "",
    (thrown: unknown) => toPenstockError(thrown).code,
  );
}

/** What a snapshot that nothing holds any more can do. */
async function deleteSoon(engine: PenstockProcess, snapshot: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const code = await codeOf(
      ask(engine, ({ snapshots }) => snapshots.deleteSnapshot({ pool: POOL, snapshot })),
    );
    if (code === "") return;
    strictEqual(code, "volume-in-use");
    ok(tries < 500, "a stream that nobody reads has ended");
    await sleep(20);
  }
}

/** No call was a bug of ours. */
async function stopWell(engine: PenstockProcess): Promise<void> {
  strictEqual((await engine.stop()).code, 0, engine.stderr);
  doesNotMatch(engine.stderr, /internal|TypeError|Assertion/);
}

async function beginReceive(engine: PenstockProcess, stream: Buffer) {
  const begun = Promise.withResolvers<void>();
  const cut = Promise.withResolvers<void>();
  const received = codeOf(
    streamToEngine(parseEngineAddress(engine.uri), (snapshots) =>
      snapshots.receiveSnapshot(half(stream, () => begun.resolve(), cut.promise)),
    ),
  );
  await begun.promise;
  return { received, cut: () => cut.resolve() };
}

test("a send and a receive end with their clients", async (t) => {
  const engine = await startWithSnapshot(t);
  const stream = await streamOf(engine);
  const gone = new AbortController();
  const { signal } = gone;
  const sent = codeOf(
    ask(engine, async ({ snapshots }) => {
      const request = { pool: POOL, snapshot: "vol@one" };
      for await (const _first of snapshots.sendSnapshot(request, { signal })) gone.abort();
    }),
  );
  strictEqual(await sent, "canceled");
  const { received, cut } = await beginReceive(engine, stream);
  strictEqual(
    await codeOf(
      ask(engine, ({ replicas }) => replicas.destroyReplica({ pool: POOL, name: "copy" })),
    ),
    "volume-in-use",
  );
  cut();
  ok((await received) !== "");
  for (;;) {
    const at = { pool: POOL, replica: "copy" };
    const { positionBytes } = await ask(engine, ({ snapshots }) => snapshots.getReceive(at));
    if (positionBytes > 0n) break;
    await sleep(20);
  }
  // The cursor is kept a moment before the volume is let go.
  for (;;) {
    const given = ask(engine, ({ snapshots }) =>
      snapshots.abortReceive({ pool: POOL, replica: "copy" }),
    );
    const code = await codeOf(given);
    if (code === "") break;
    strictEqual(code, "volume-in-use");
    await sleep(20);
  }
  await deleteSoon(engine, "vol@one");
  await stopWell(engine);
});

test("an export ends what runs in its pool, and what has come is kept", async (t) => {
  const engine = await startWithSnapshot(t);
  const stream = await streamOf(engine);
  const disks = await ask(engine, async ({ pools }) => {
    const { pool } = await pools.getPool({ name: POOL });
    return pool?.disks.map(({ device }) => device) ?? [];
  });
  const { received } = await beginReceive(engine, stream);
  const reading = Promise.withResolvers<void>();
  const sent = codeOf(
    ask(engine, async ({ snapshots }) => {
      const request = { pool: POOL, snapshot: "vol@one" };
      for await (const _next of snapshots.sendSnapshot(request)) {
        reading.resolve();
        await sleep(200);
      }
    }),
  );
  await reading.promise;
  await ask(engine, ({ pools }) => pools.exportPool({ name: POOL }));
  match(await sent, /^(aborted|not-ready|pool-not-found)$/);
  // The receiver is told when it sends the next bytes, or by the end of its call.
  void received;
  await ask(engine, ({ pools }) => pools.importPool({ disks }));
  const token = await ask(engine, async ({ snapshots }) => {
    const { resumeToken, positionBytes } = await snapshots.getReceive({
      pool: POOL,
      replica: "copy",
    });
    ok(positionBytes > 5n * BigInt(MIB) && positionBytes < BigInt(DATA_MIB * MIB));
    return resumeToken;
  });
  const rest = await ask(engine, async ({ snapshots }) => {
    const parts: Uint8Array[] = [];
    const request = { pool: POOL, resumeToken: token };
    for await (const { data } of snapshots.sendSnapshot(request)) parts.push(data);
    return Buffer.concat(parts);
  });
  await streamToEngine(parseEngineAddress(engine.uri), (snapshots) =>
    snapshots.receiveSnapshot(
      (async function* () {
        yield { target: { pool: POOL, replica: "copy", thin: true } };
        for (let at = 0; at < rest.length; at += CHUNK_BYTES) {
          yield { data: rest.subarray(at, at + CHUNK_BYTES) };
        }
      })(),
    ),
  );
  await stopWell(engine);
});

test("an engine stops well in the middle of sends, receives, diffs and flattens", async (t) => {
  const engine = await startWithSnapshot(t);
  const stream = await streamOf(engine);
  await ask(engine, ({ snapshots }) =>
    snapshots.cloneSnapshot({ pool: POOL, snapshot: "vol@one", name: "clone" }),
  );
  const { received } = await beginReceive(engine, stream);
  const begun = [0, 1].map(() => Promise.withResolvers<void>());
  const others = [
    ask(engine, async ({ snapshots }) => {
      const request = { pool: POOL, snapshot: "vol@one" };
      for await (const _next of snapshots.sendSnapshot(request)) {
        begun[0]?.resolve();
        await sleep(100);
      }
    }),
    ask(engine, async ({ snapshots }) => {
      for await (const _next of snapshots.flattenReplica({ pool: POOL, name: "clone" })) {
        begun[1]?.resolve();
      }
    }),
  ].map(codeOf);
  await Promise.all(begun.map(({ promise }) => promise));
  const startedMs = performance.now();
  await stopWell(engine);
  ok(performance.now() - startedMs < 20_000);
  ok((await received) !== "");
  ok((await others[0]) !== "");
  await others[1];
});
