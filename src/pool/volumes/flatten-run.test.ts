// Flattening: what it copies, what ends it, and power losses at any moment of it.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PoolWorld } from "../../testing/pool-rig.ts";
import { contentOf, stateOf, writeTags } from "../../testing/version-family.ts";
import { walkPool } from "../check/pool-walk.ts";
import type { Pool } from "../pool.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";

const MIB = 2 ** 20;
const BLOCKS = 400;
/** More than a flattening of these volumes takes. */
const EVENTS_MAX = 4000;
const EVENTS_STEP = process.env.PENSTOCK_LONG === "1" ? 1 : 2;

/** A clone that has three blocks of its own. */
async function begin(world: PoolWorld): Promise<Pool> {
  const pool = await world.open();
  await pool.createVolume({ name: "v", sizeBytes: BLOCKS * BLOCK_BYTES });
  const tags = Array.from({ length: BLOCKS }, (_, index) => index + 1);
  await writeTags(pool, "v", [{ first: 0, tags }]);
  await pool.createSnapshot("v", "s");
  await pool.cloneSnapshot("v@s", { name: "c" });
  await writeTags(pool, "c", [{ first: 100, tags: [1100, 1101, 1102] }]);
  await pool.parts.checkpointer.run("in use");
  return pool;
}

async function check(pool: Pool, what: string): Promise<void> {
  deepStrictEqual((await walkPool(pool.parts)).problems, [], what);
  const [original, copy] = [stateOf(pool, "v"), stateOf(pool, "c")];
  const [found, clone] = [await contentOf(pool, original), await contentOf(pool, copy)];
  for (let key = 0; key < BLOCKS; key++) {
    strictEqual(found.get(key), key + 1, `${what}: block ${key} of v`);
    const tag = key >= 100 && key < 103 ? key + 1000 : key + 1;
    strictEqual(clone.get(key), tag, `${what}: block ${key} of c`);
  }
}

function worldOf(seed: number): PoolWorld {
  return new PoolWorld({ seed, diskBytes: [48 * MIB], cacheBytes: MIB });
}

test("a flattened clone has all blocks for itself, and its snapshot can go", async () => {
  const world = worldOf(1);
  await world.run(async () => {
    const pool = await begin(world);
    const told: number[] = [];
    const onProgress = (done: number, all: number): void => {
      ok(done <= all);
      told.push(done);
    };
    await pool.flatten("c", { onProgress });
    strictEqual(told.at(-1), BLOCKS - 3);
    strictEqual(pool.volume("c")?.origin, "");
    strictEqual(pool.parts.space.dataBlocks, 2 * BLOCKS);
    await check(pool, "flat");
    deepStrictEqual(await pool.measure("c"), {
      ownBytes: BLOCKS * BLOCK_BYTES,
      sharedBytes: 0,
      wouldFreeBytes: BLOCKS * BLOCK_BYTES,
    });
    await rejects(pool.flatten("c"), { code: "not-a-clone" });
    await rejects(pool.flatten("v"), { code: "not-a-clone" });
    await rejects(pool.flatten("x"), { code: "volume-not-found" });
    await pool.deleteVolume("v@s");
    await pool.deleted();
    strictEqual(pool.parts.space.dataBlocks, 2 * BLOCKS);
    await check(pool, "without the snapshot");
    await world.exported(pool);
  });
});

test("a flattening ends when it is told to, and with its volume and its pool", async () => {
  const world = worldOf(2);
  await world.run(async () => {
    const pool = await begin(world);
    const stop = new AbortController();
    stop.abort();
    await rejects(pool.flatten("c", { signal: stop.signal }), { code: "aborted" });
    await pool.cloneSnapshot("v@s", { name: "d" });
    const [ended, deleted] = [pool.flatten("d"), pool.deleteVolume("d")];
    await rejects(ended, { code: "volume-not-found" });
    await deleted;
    await pool.deleted();
    await check(pool, "after a deletion");
    const closed = pool.flatten("c");
    const [, result] = await Promise.allSettled([world.exported(pool), closed]);
    strictEqual(result.status === "rejected" ? result.reason.code : "aborted", "aborted");
    const again = await world.open();
    await check(again, "after an export");
    await world.exported(again);
  });
});

for (const how of ["kill", "power loss"] as const) {
  test(`a ${how} at any moment of a flattening leaves a clone or a flat volume`, async () => {
    let isOver = false;
    let flat = 0;
    for (let events = 2; !isOver && events < EVENTS_MAX; events += EVENTS_STEP) {
      const world = worldOf(events);
      const pool = await world.run(() => begin(world));
      const flattened = pool.flatten("c");
      isOver = await partly(world, flattened, events);
      if (how === "kill") world.kill();
      // Most of what was not synced is there: all of the log, not all of the data.
      else world.powerLoss(0.97);
      await world.run(async () => {
        const again = await world.open();
        if (stateOf(again, "c").origin === null) flat++;
        await check(again, `after ${events} events`);
        world.kill();
      });
    }
    ok(isOver && flat > 0, "it comes to its end");
  });
}

/** Lets so many events happen. @returns true: the promise has settled by then */
async function partly(world: PoolWorld, promise: Promise<unknown>, events: number) {
  promise.catch(() => undefined);
  try {
    await world.world.runUntil(promise, { eventCountMax: events });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "world-stuck") throw error;
    return false;
  }
}
