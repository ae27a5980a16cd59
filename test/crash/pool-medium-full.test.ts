/**
 * A pool on a sparse file whose file system gets full under it: writes end with an error, the
 * engine stops in time, and what was acknowledged is there when there is space again.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { makeTmpfs } from "../../src/testing/tmpfs.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;
const FILE_SYSTEM_BYTES = 24 * MIB;
const DISK_MIB = 256;
const REPLICA_BYTES = 128 * MIB;
const DEPTH = 16;
const FAILURES = 200;
const STOP_MS_MAX = 20_000;

const ask = <T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>) =>
  askEngine(parseEngineAddress(uri), call);

async function share(engine: PenstockProcess): Promise<NbdRawClient> {
  const { replica } = await ask(engine, ({ replicas }) =>
    replicas.shareReplica({ pool: "p", name: "v", share: "nbd://127.0.0.1:0/v" }),
  );
  return await NbdRawClient.open(replica?.shareUri ?? "");
}

/** Writes random blocks until so many have failed. @returns what was acknowledged last, by block */
async function fill(client: NbdRawClient, prng: Prng): Promise<Map<number, number>> {
  const acknowledged = new Map<number, number>();
  const busy = new Set<number>();
  let failures = 0;
  const work = async (): Promise<void> => {
    while (failures < FAILURES) {
      const block = prng.below(REPLICA_BYTES / BLOCK);
      if (busy.has(block)) continue;
      busy.add(block);
      const value = 1 + prng.below(255);
      try {
        await client.write(block * BLOCK, new Uint8Array(BLOCK).fill(value));
        acknowledged.set(block, value);
      } catch (error) {
        if (client.failure !== undefined) throw error;
        failures++;
      }
      busy.delete(block);
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, work));
  return acknowledged;
}

forEachLevel(
  "an engine whose pool's medium is full stops in time and loses nothing",
  { skip: missingTools("root", "mount"), levels: forLongRun(["uring"], ["uring", "portable"]) },
  async (t, level) => {
    const prng = new Prng(testSeed(t));
    const data = makeTempDir(t);
    const folder = await makeTmpfs(t, FILE_SYSTEM_BYTES);
    const disk = `file://${join(folder, "disk")}?size=${DISK_MIB}MiB`;
    const start = () => startEngine(t, data, { level, args: ["--no-supervisor"] });
    let engine = await start();
    await ask(engine, ({ pools }) => pools.createPool({ name: "p", disks: [disk] }));
    const made = { pool: "p", name: "v", sizeBytes: BigInt(REPLICA_BYTES), thin: true };
    await ask(engine, ({ replicas }) => replicas.createReplica(made));
    const acknowledged = await fill(await share(engine), prng);
    assert.ok(acknowledged.size > 1000, `${acknowledged.size} blocks were written`);
    const stoppingMs = performance.now();
    await engine.stop();
    const stoppedMs = performance.now() - stoppingMs;
    assert.ok(stoppedMs < STOP_MS_MAX, `the engine has stopped after ${stoppedMs} ms`);

    await runCommand("mount", ["-o", `remount,size=${8 * FILE_SYSTEM_BYTES}`, folder]);
    engine = await start();
    const client = await NbdRawClient.open(await sharedAgain(engine));
    for (const [block, value] of acknowledged) {
      const found = await client.read(block * BLOCK, BLOCK);
      assert.ok(
        found.every((byte) => byte === value),
        `block ${block} is as acknowledged`,
      );
    }
    await client.disconnect();
  },
);

/** The pool is opened, and the share of before made, after the engine has begun to answer. */
async function sharedAgain(engine: PenstockProcess): Promise<string> {
  for (;;) {
    const listed = await ask(engine, ({ replicas }) =>
      replicas.getReplica({ pool: "p", name: "v" }),
    ).catch((thrown: unknown) => {
      if ((thrown as { code?: string }).code !== "pool-not-ready") throw thrown;
      return null;
    });
    const uri = listed?.replica?.shareUri ?? "";
    if (uri !== "") return uri;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
