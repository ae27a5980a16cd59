// More disks and larger ones, and crashes meanwhile.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { PromiseDevice } from "../../block/promise-device.ts";
import { FileDevice } from "../../devices/file.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import type { Pool } from "../pool.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { addDisk, growDisks } from "./change-disks.ts";

const MIB = 2 ** 20;
const VOLUME_BYTES = 24 * MIB;
const EVENTS_MAX = 3000;
/** What the volume begins with. */
const ONES = new Uint8Array(5 * MIB).fill(1, 0, 4 * MIB);

/** A pool on one disk of 32 MiB, with a volume of 24 MiB that has 4 MiB of ones. */
async function begin(seed: number): Promise<{ world: PoolWorld; pool: Pool }> {
  const world = new PoolWorld({ seed, diskBytes: [32 * MIB], cacheBytes: MIB });
  const pool = await world.run(async () => {
    const made = await world.open();
    await made.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
    const device = await openForTest(made, "v");
    await device.writeAt(0, new Uint8Array(4 * MIB).fill(1));
    await device.flush();
    await device.close();
    return made;
  });
  return { world, pool };
}

/** The next disk of the machine. */
function newDisk(pool: Pool, sizeBytes = 32 * MIB): Promise<FileDevice> {
  return FileDevice.open(pool.parts.environment.reactor, { path: "/disk1", sizeBytes });
}

async function fill(device: PromiseDevice, value: number): Promise<void> {
  for (let offset = 0; offset < VOLUME_BYTES; offset += MIB) {
    await device.writeAt(offset, new Uint8Array(MIB).fill(value));
  }
}

function checkAccounts({ parts }: Pool): void {
  const { space, disks } = parts;
  let blocks = 0;
  for (let index = 0; index < disks.count; index++) blocks += disks.at(index).blocks;
  const { freeBlocks, dataBlocks, pageBlocks, heldBlocks } = space;
  strictEqual(freeBlocks + dataBlocks + pageBlocks + heldBlocks, blocks);
}

test("a disk that was added is written to, and is the pool's after a kill", async () => {
  const { world, pool } = await begin(1);
  await world.run(async () => {
    const before = pool.info.capacityBytes;
    await addDisk(pool.parts, await newDisk(pool), { force: false });
    ok(pool.info.capacityBytes > before + 30 * MIB);
    deepStrictEqual(pool.parts.disks.count, 2);
    const device = await openForTest(pool, "v");
    await fill(device, 2);
    checkAccounts(pool);
    ok(pool.parts.space.freeOf(1) < (32 * MIB) / BLOCK_BYTES - 32, "it is written to");
    world.kill();
  });
  world.diskBytes = [32 * MIB, 32 * MIB];
  await world.run(async () => {
    const again = await world.open();
    const device = await openForTest(again, "v");
    ok((await device.readAt(0, VOLUME_BYTES)).every((byte) => byte === 2));
    checkAccounts(again);
    await device.close();
    await world.exported(again);
  });
});

test("a disk is added wholly or not at all, whatever ends it after any event", async () => {
  let isOver = false;
  for (let events = 1; !isOver; events += 5) {
    ok(events < EVENTS_MAX, "it comes to its end");
    const { world, pool } = await begin(events);
    const adding = newDisk(pool).then((disk) => addDisk(pool.parts, disk, { force: false }));
    isOver = await partly(world, adding, events);
    if (events % 2 === 1) world.kill();
    else world.powerLoss();
    const open = async (diskBytes: number[]): Promise<Pool | null> => {
      world.diskBytes = diskBytes;
      try {
        return await world.run(() => world.open());
      } catch (error) {
        world.kill();
        const { code } = error as { code: string };
        ok(["pool-incomplete", "not-a-pool", "label-damaged", "disk-in-pool"].includes(code), code);
        return null;
      }
    };
    // Without the disk where it has not become the pool's, else with it.
    const alone = isOver ? null : await open([32 * MIB]);
    const again = alone ?? (await open([32 * MIB, 32 * MIB]));
    ok(again !== null, `after ${events} events`);
    await world.run(async () => {
      const device = await openForTest(again, "v");
      const bytes = await device.readAt(0, 5 * MIB);
      strictEqual(Buffer.compare(bytes, ONES), 0, `after ${events} events`);
      await device.writeAt(4 * MIB, new Uint8Array(4 * MIB).fill(3));
      checkAccounts(again);
      await device.close();
      await world.exported(again);
    });
  }
});

test("addDisk refuses disks that are too small, not empty, or of a pool", async () => {
  const { world, pool } = await begin(3);
  await world.run(async () => {
    const small = await newDisk(pool, 15 * MIB);
    await rejects(addDisk(pool.parts, small, { force: false }), { code: "disk-too-small" });
    await small.close();
    const disk = await newDisk(pool, 16 * MIB);
    await addDisk(pool.parts, disk, { force: false });
    await rejects(addDisk(pool.parts, disk, { force: false }), { code: "disk-in-pool" });
    checkAccounts(pool);
    await world.exported(pool);
  });
});

test("a pool takes the size that its disk has by now, before and after a kill", async () => {
  const { world, pool } = await begin(4);
  const { device: disk } = pool.parts.disks.at(0);
  await world.run(async () => {
    await growDisks(pool.parts);
    strictEqual(pool.parts.disks.at(0).blocks * BLOCK_BYTES, 32 * MIB);
    await disk.grow(48 * MIB);
    const device = await openForTest(pool, "v");
    const writing = fill(device, 5);
    await growDisks(pool.parts);
    await writing;
    strictEqual(pool.parts.disks.at(0).blocks * BLOCK_BYTES, 48 * MIB);
    ok(pool.info.capacityBytes >= 44 * MIB);
    checkAccounts(pool);
    // Of the label before, one area is where the disk ended then: no copy of it is damaged.
    strictEqual((await pool.scrub({ trim: true }).done).badCopies, 0);
    world.kill();
  });
  world.diskBytes = [48 * MIB];
  await world.run(async () => {
    const again = await world.open();
    const device = await openForTest(again, "v");
    ok((await device.readAt(0, VOLUME_BYTES)).every((byte) => byte === 5));
    checkAccounts(again);
    await device.close();
    await world.exported(again);
  });
});

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
