/** What a volume's requests cost the disk: merged writes, merged reads. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../../block/operation.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { mallocDisks, poolEnvironment } from "../../testing/pool-rig.ts";
import { TimedRequest } from "../../testing/timed-load.ts";
import { Pool } from "../pool.ts";
import type { VolumeDevice } from "./volume-device.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;

interface Bench {
  readonly pool: Pool;
  readonly volume: VolumeDevice;
  /** Reads and writes that the pool's disk has seen since the last call. */
  seen(): { reads: number; writes: number };
  /** Submits all in one turn; settles when all have ended. */
  run(asks: readonly { operation: Operation; offset: number; length: number }[]): Promise<void>;
}

function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  return withReactor("fake", async ({ reactor, seed }) => {
    const [disk] = await mallocDisks(reactor, [64 * MIB]);
    if (disk === undefined) return;
    const pool = await Pool.create(poolEnvironment(reactor, seed), [disk], { name: "p" });
    await pool.createVolume({ name: "v", sizeBytes: 16 * MIB });
    const volume = await pool.openVolume("v", { stageName: "lvol:///p/v" });
    let before = disk.meter.counts();
    const seen = (): { reads: number; writes: number } => {
      const { reads, writes } = before;
      before = disk.meter.counts();
      return { reads: before.reads - reads, writes: before.writes - writes };
    };
    const run: Bench["run"] = (asks) => runAll(reactor, volume, asks);
    await run([{ operation: Operation.write, offset: 15 * MIB, length: BLOCK }]);
    seen();
    await body({ pool, volume, seen, run });
    await volume.close();
    await pool.export();
  });
}

async function runAll(
  reactor: Reactor,
  volume: VolumeDevice,
  asks: Parameters<Bench["run"]>[0],
): Promise<void> {
  const requests = await Promise.all(asks.map((ask) => new TimedRequest(reactor, ask).run(volume)));
  deepStrictEqual(
    requests.map(({ status }) => status),
    asks.map(() => 0),
  );
}

test("writes of one turn become one write of data and one frame", () =>
  withBench(async ({ seen, run }) => {
    const asks = Array.from({ length: 32 }, (_, index) => ({
      operation: Operation.write,
      offset: index * 7 * BLOCK,
      length: BLOCK,
    }));
    await run(asks);
    deepStrictEqual(seen(), { reads: 0, writes: 2 });
    await run([{ operation: Operation.write, offset: MIB, length: MIB }]);
    strictEqual(seen().writes <= 3, true);
  }));

test("what was written in one go is read in one go, holes cost nothing", () =>
  withBench(async ({ seen, run }) => {
    await run([{ operation: Operation.write, offset: 0, length: 64 * 1024 }]);
    seen();
    await run([{ operation: Operation.read, offset: 0, length: 64 * 1024 }]);
    deepStrictEqual(seen(), { reads: 1, writes: 0 });
    await run([{ operation: Operation.discard, offset: 16 * 1024, length: 8 * 1024 }]);
    seen();
    await run([{ operation: Operation.read, offset: 0, length: 128 * 1024 }]);
    deepStrictEqual(seen(), { reads: 2, writes: 0 });
    await run([{ operation: Operation.read, offset: 8 * MIB, length: MIB }]);
    deepStrictEqual(seen(), { reads: 0, writes: 0 });
  }));

test("a write of a part of a block reads it first, unless it is a hole", () =>
  withBench(async ({ seen, run }) => {
    await run([{ operation: Operation.write, offset: 512, length: 512 }]);
    deepStrictEqual(seen(), { reads: 0, writes: 2 });
    await run([{ operation: Operation.write, offset: 1024, length: 512 }]);
    deepStrictEqual(seen(), { reads: 1, writes: 2 });
    await run([{ operation: Operation.writeZeroes, offset: 10 * BLOCK + 512, length: 1024 }]);
    deepStrictEqual(seen(), { reads: 0, writes: 0 });
  }));

test("writes to one block at once end in their order, and leave no block behind", () =>
  withBench(async ({ pool, run }) => {
    const used = pool.info.usedBytes;
    const ask = { operation: Operation.write, offset: 0, length: 512 };
    await run(Array.from({ length: 50 }, () => ask));
    strictEqual(pool.info.usedBytes, used + BLOCK);
  }));
