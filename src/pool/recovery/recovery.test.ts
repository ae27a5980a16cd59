// Checkpoints and imports that end at any moment: after each event of the fake machine.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import { areaStarts, slotOf } from "../disks/label-areas.ts";
import type { Pool } from "../pool.ts";

const MIB = 2 ** 20;
const VOLUME_BYTES = 2 * MIB;
const BLOCK = 4096;
/** More than a checkpoint or an import of these pools takes. */
const EVENTS_MAX = 4000;
/** From the writing of an import's labels to its end. */
const LABEL_EVENTS = 8;
/** Everyday runs end them after every so many events, long ones after each. */
const EVENTS_STEP = process.env.PENSTOCK_LONG === "1" ? 1 : 4;

type Ending = (world: PoolWorld) => void;

const ENDINGS: readonly [string, Ending][] = [
  ["a kill", (world) => world.kill()],
  ["a power loss that loses all", (world) => world.powerLoss(0)],
  ["a power loss", (world) => world.powerLoss()],
];

/** A pool with a volume, written to at random in two checkpoints, all flushed. */
async function begin(
  seed: number,
  diskCount: number,
): Promise<{ world: PoolWorld; pool: Pool; model: Uint8Array }> {
  const diskBytes = new Array<number>(diskCount).fill(32 * MIB);
  const world = new PoolWorld({ seed, diskBytes, cacheBytes: MIB });
  const model = new Uint8Array(VOLUME_BYTES);
  const prng = new Prng(seed);
  const pool = await world.run(async () => {
    const made = await world.open();
    await made.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
    const device = await openForTest(made, "v");
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 12; count++) {
        const offset = prng.below(VOLUME_BYTES / BLOCK - 8) * BLOCK;
        const length = (1 + prng.below(8)) * BLOCK;
        model.fill(prng.below(256), offset, offset + length);
        await device.writeAt(offset, model.subarray(offset, offset + length));
      }
      if (round < 2) await made.parts.checkpointer.run("in use");
    }
    const first = prng.below(100) * BLOCK;
    model.fill(0, first, first + 20 * BLOCK);
    await device.discard(first, 20 * BLOCK);
    await device.flush();
    await device.close();
    return made;
  });
  return { world, pool, model };
}

async function verify(world: PoolWorld, model: Uint8Array, what: string): Promise<void> {
  await world.run(async () => {
    const pool = await world.open();
    const device = await openForTest(pool, "v");
    const bytes = await device.readAt(0, VOLUME_BYTES);
    strictEqual(Buffer.compare(bytes, model), 0, what);
    const { space } = pool.parts;
    const { problems, ...walked } = await walkPool(pool.parts);
    deepStrictEqual(problems, [], what);
    const { freeBlocks, dataBlocks, pageBlocks, heldBlocks } = space;
    deepStrictEqual(walked, { freeBlocks, dataBlocks, pageBlocks, heldBlocks }, what);
    const mapped = pool.volumes()[0]?.usedBytes ?? -1;
    strictEqual(dataBlocks * BLOCK, mapped, `${what}: blocks in use are those that are mapped`);
    // All of it can be written again: nothing is lost, and nothing is used twice.
    await device.writeAt(0, new Uint8Array(MIB).fill(0xaa));
    const written = await device.readAt(0, VOLUME_BYTES);
    ok(
      written.subarray(0, MIB).every((byte) => byte === 0xaa),
      what,
    );
    strictEqual(Buffer.compare(written.subarray(MIB), model.subarray(MIB)), 0, what);
    await device.close();
    await world.exported(pool);
  });
}

/** Lets so many events happen. @returns true: the promise has settled by then */
async function partly(world: PoolWorld, promise: Promise<unknown>, events: number) {
  try {
    await world.world.runUntil(promise, { eventCountMax: events });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "world-stuck") throw error;
    return false;
  }
}

/** The newest label of the last disk is torn, as if it had not got there: both of its copies. */
function tearLabel(world: PoolWorld, { parts }: Pool): void {
  const { label } = parts.checkpointer;
  const last = label.disks.length - 1;
  const file = world.world.disk("local").file(`/disk${last}`);
  for (const start of areaStarts(label.disks[last]?.blocks ?? 0)) {
    file?.corrupt((start + slotOf(label.generation)) * BLOCK + 512, 512);
  }
}

for (const [what, end] of ENDINGS) {
  for (const diskCount of [1, 2]) {
    test(`a checkpoint that ${what} ends is harmless, disks: ${diskCount}`, async () => {
      let isOver = false;
      for (let events = 1; !isOver; events += EVENTS_STEP) {
        ok(events < EVENTS_MAX, "a checkpoint comes to its end");
        const { world, pool, model } = await begin(1000 + diskCount, diskCount);
        isOver = await partly(world, pool.parts.checkpointer.run("in use"), events);
        end(world);
        await verify(world, model, `after ${events} events`);
      }
    });
  }

  test(`an import ended by ${what} after any event is made again and finds the same`, async () => {
    let isOver = false;
    for (let events = 1; !isOver; events += EVENTS_STEP) {
      ok(events < EVENTS_MAX, "an import comes to its end");
      const { world, model } = await begin(77, 1);
      end(world);
      isOver = await partly(world, world.open(), events);
      end(world);
      await verify(world, model, `after ${events} events`);
    }
  });
}

test("a label that not all disks have is on all before the next one is written", async () => {
  for (let seed = 1; seed <= 2; seed++) {
    let events = 0;
    // Once to its end, then ended at each of its last events: labels are written, not yet synced.
    for (let left = 0; left <= LABEL_EVENTS; left++) {
      const { world, pool, model } = await begin(seed, 2);
      tearLabel(world, pool);
      world.powerLoss(0);
      const before = world.world.eventCount;
      if (left === 0) await world.run(() => world.open());
      else ok(!(await partly(world, world.open(), events - left)), "it has not come to its end");
      if (left === 0) events = world.world.eventCount - before;
      world.powerLoss(0.5);
      await verify(world, model, `seed ${seed}, ${left} of ${events} events before the end`);
    }
  }
});
