// What an import makes of disks that rot, lie, or fail to sync.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../../devices/file.ts";
import { Errno } from "../../reactor/errno.ts";
import { Reactor } from "../../reactor/reactor.ts";
import { testUuid } from "../../testing/pool-disks-rig.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { decodeLabel, LABEL_BYTES, LabelState, type PoolLabel } from "../disks/label-format.ts";
import type { Pool } from "../pool.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { findPool } from "./importer.ts";

const MIB = 2 ** 20;
const DISK_BYTES = 32 * MIB;
const BLOCKS = DISK_BYTES / BLOCK_BYTES;
const SLOTS = [4, 12, BLOCKS - 12, BLOCKS - 4];
const PATH = "/disk0";

interface Scene {
  readonly world: PoolWorld;
  /** Writes one block at a time, each in a frame of its own. */
  write(pool: Pool, first: number, values: readonly number[], flush?: boolean): Promise<void>;
  /** The value of each block. */
  read(pool: Pool, count: number): Promise<number[]>;
}

function scene(seed: number, diskCount = 1): Scene {
  const diskBytes = new Array<number>(diskCount).fill(DISK_BYTES);
  const world = new PoolWorld({ seed, diskBytes, cacheBytes: MIB });
  return {
    world,
    async write(pool, first, values, flush = false) {
      const device = await openForTest(pool, "v");
      for (const [index, value] of values.entries()) {
        const bytes = new Uint8Array(BLOCK_BYTES).fill(value);
        await device.writeAt((first + index) * BLOCK_BYTES, bytes);
      }
      if (flush) await device.flush();
      await device.close();
    },
    async read(pool, count) {
      const device = await openForTest(pool, "v");
      const bytes = await device.readAt(0, count * BLOCK_BYTES);
      await device.close();
      return Array.from({ length: count }, (_, index) => bytes[index * BLOCK_BYTES] as number);
    },
  };
}

async function create({ world }: Scene): Promise<Pool> {
  const pool = await world.open();
  await pool.createVolume({ name: "v", sizeBytes: MIB });
  return pool;
}

function fileOf({ world }: Scene) {
  const file = world.world.disk().file(PATH);
  ok(file !== undefined);
  return file;
}

/** Labels by slot, as processes see them. */
function labelsOn(place: Scene): (PoolLabel | null)[] {
  return SLOTS.map((slot) => {
    const bytes = new Uint8Array(LABEL_BYTES);
    fileOf(place).read(slot * BLOCK_BYTES, bytes, 0, LABEL_BYTES);
    const label = decodeLabel(bytes);
    return typeof label === "string" ? null : label;
  });
}

/** Byte of the disk at which a frame begins, and the size of a copy. */
function frameAt(place: Scene, label: PoolLabel, sequence: number): [number, number] {
  const start = label.logAddress * BLOCK_BYTES;
  const ring = new Uint8Array(label.logBlocks * BLOCK_BYTES);
  fileOf(place).read(start, ring, 0, ring.length);
  const view = new DataView(ring.buffer);
  for (let at = 0; at < ring.length; at += label.logUnitBytes) {
    const isFrame = view.getUint32(at, true) === 0x474f_4c50;
    if (isFrame && view.getUint32(at + 24, true) === sequence) {
      return [start + at, view.getUint32(at + 48, true)];
    }
  }
  throw new Error(`there is no frame ${sequence}`);
}

test("an import goes on with any one copy of the label, and writes the others anew", async () => {
  for (const spared of [0, 1, 2, 3]) {
    const place = scene(10 + spared);
    const { world } = place;
    await world.run(async () => {
      const pool = await create(place);
      await place.write(pool, 0, [1, 2, 3]);
      await world.exported(pool);
    });
    const newest = Math.max(...labelsOn(place).map((label) => label?.generation ?? 0));
    const copies = labelsOn(place).map((label) => label?.generation === newest);
    if (copies[spared] !== true) continue;
    for (const [index, slot] of SLOTS.entries()) {
      if (index !== spared) fileOf(place).corrupt(slot * BLOCK_BYTES + 777, 1);
    }
    await world.run(async () => {
      const pool = await world.open();
      deepStrictEqual(await place.read(pool, 4), [1, 2, 3, 0]);
      strictEqual(pool.findings.copiesRepaired, 3);
      await pool.parts.checkpointer.run("in use");
      await world.exported(pool);
    });
    ok(labelsOn(place).every((label) => label !== null));
  }
});

test("an import without the newest label is refused, as frames tell of it", async () => {
  const place = scene(20);
  const { world } = place;
  await world.run(async () => {
    const pool = await create(place);
    await place.write(pool, 0, [1, 2, 3], true);
    await pool.parts.checkpointer.run("in use");
    await place.write(pool, 3, [4]);
    world.kill();
  });
  const newest = Math.max(...labelsOn(place).map((label) => label?.generation ?? 0));
  for (const [index, label] of labelsOn(place).entries()) {
    if (label?.generation !== newest) continue;
    fileOf(place).corrupt((SLOTS[index] as number) * BLOCK_BYTES + 300, 1);
  }
  await world.run(async () => {
    await rejects(world.open(), { code: "log-damaged", message: /newest label/ });
    world.kill();
  });
});

test("frames missing in the middle of the log refuse an import, unless forced", async () => {
  const place = scene(30);
  const { world } = place;
  let label: PoolLabel | undefined;
  let sequence = 0;
  await world.run(async () => {
    const pool = await create(place);
    await place.write(pool, 0, [1, 2, 3, 4, 5]);
    label = pool.parts.checkpointer.label;
    sequence = pool.parts.log.writtenSequence;
    world.kill();
  });
  ok(label !== undefined);
  const [at, lengthBytes] = frameAt(place, label, sequence - 2);
  fileOf(place).corrupt(at + 70, 1);
  await world.run(async () => {
    // One copy is enough.
    const pool = await world.open();
    deepStrictEqual(await place.read(pool, 5), [1, 2, 3, 4, 5]);
    ok(pool.findings.copiesRepaired > 0);
    await place.write(pool, 0, [11, 12, 13, 14, 15]);
    label = pool.parts.checkpointer.label;
    sequence = pool.parts.log.writtenSequence;
    world.kill();
  });
  const [again] = frameAt(place, label, sequence - 2);
  fileOf(place).corrupt(again + 70, 1);
  fileOf(place).corrupt(again + lengthBytes + 70, 1);
  await world.run(async () => {
    await rejects(world.open(), { code: "log-damaged" });
    world.kill();
    world.force = true;
    const pool = await world.open();
    deepStrictEqual(await place.read(pool, 5), [11, 12, 3, 4, 5]);
    deepStrictEqual(pool.findings.logLost, { first: sequence - 2, last: sequence });
    deepStrictEqual(
      world.events.map(({ code }) => code),
      ["pool-log-lost"],
    );
    strictEqual(pool.parts.checkpointer.label.losses, label?.losses === 0 ? 1 : -1);
    await place.write(pool, 0, [21, 22]);
    await world.exported(pool);
  });
});

test("a failed sync is remembered: what it dropped is not believed later", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const diskCount = 1 + (seed % 2);
    const place = scene(100 + seed, diskCount);
    const { world } = place;
    await world.run(async () => {
      const pool = await create(place);
      await place.write(pool, 0, [1, 2, 3, 4, 5], true);
      await place.write(pool, 0, [11, 12, 13, 14, 15]);
      world.world.disk().faults.inject({
        effect: { kind: "error", errno: Errno.EIO },
        operations: ["sync"],
        path: `/disk${diskCount - 1}`,
        count: 1,
      });
      const device = await openForTest(pool, "v");
      await rejects(device.flush(), { code: "media-error" });
      strictEqual(pool.info.state, "faulted");
      await rejects(device.writeAt(0, new Uint8Array(4096)), { code: "media-error" });
      await pool.parts.checkpointer.idle();
      await new Promise<void>((resolve) => {
        pool.parts.environment.reactor.clock.startTimer(20, resolve);
      });
      await pool.parts.checkpointer.idle();
      ok(world.events.some(({ code }) => code === "pool-flush-failed"));
      world.kill();
    });
    const newest = labelsOn(place).reduce((one, other) =>
      (other?.generation ?? 0) > (one?.generation ?? 0) ? other : one,
    );
    // The disk that failed takes nothing any more; its next instance id tells, too.
    const told = diskCount === 1 ? LabelState.inUse : LabelState.syncFailed;
    strictEqual(newest?.state, told);
    // The kernel lets go of what it could not write.
    for (const path of world.world.disk().paths) world.world.disk().file(path)?.dropCache();
    await world.run(async () => {
      const pool = await world.open();
      const values = await place.read(pool, 5);
      for (const [index, value] of values.entries()) {
        ok([index + 1, index + 11].includes(value), `block ${index} is ${value}`);
      }
      strictEqual(pool.parts.checkpointer.label.losses, 1);
      await place.write(pool, 0, [21, 22]);
      await world.exported(pool);
    });
  }
});

test("a checkpoint that fails for any reason is the pool's fault, and says why", async () => {
  const place = scene(50);
  await place.world.run(async () => {
    const pool = await create(place);
    const { checkpointer } = pool.parts;
    const failing = checkpointer.run("in use", () => {
      throw new Error("no such thing");
    });
    await rejects(failing, { message: "no such thing" });
    await rejects(checkpointer.run("in use"), { code: "pool-faulted", message: /no such thing/ });
    strictEqual(pool.info.state, "faulted");
    const device = await openForTest(pool, "v");
    await rejects(device.writeAt(0, new Uint8Array(4096)));
    place.world.kill();
  });
});

test("findPool refuses a disk that has become smaller, or has larger blocks", async () => {
  const place = scene(60);
  const { world } = place;
  await world.run(async () => world.exported(await create(place)));
  await world.run(async () => {
    const reactor = new Reactor({ id: 0, io: world.world.process().io });
    const how = { force: false, engineUuid: testUuid(1) };
    const coarse = await FileDevice.open(reactor, { path: PATH, blockSizeBytes: 4096 });
    await rejects(findPool([coarse], how), { code: "block-size-invalid" });
    await rejects(findPool([coarse, coarse], how), { code: "disk-in-pool" });
    await coarse.close();
    const whole = await FileDevice.open(reactor, { path: PATH });
    const info = { ...whole.info, sizeBytes: DISK_BYTES - BLOCK_BYTES };
    Object.assign(whole, { info });
    await rejects(findPool([whole], how), { code: "disk-too-small" });
    await whole.close();
  });
});

test("an exported pool that is imported again finds nothing to do", async () => {
  const place = scene(40);
  const { world } = place;
  await world.run(async () => {
    const pool = await create(place);
    await place.write(pool, 0, [1, 2]);
    await world.exported(pool);
  });
  world.powerLoss(0);
  await world.run(async () => {
    const pool = await world.open();
    deepStrictEqual(await place.read(pool, 2), [1, 2]);
    const { wasClean, framesReplayed, copiesRepaired, logLost } = pool.findings;
    deepStrictEqual([wasClean, framesReplayed, copiesRepaired, logLost], [true, 0, 0, null]);
    strictEqual(pool.parts.checkpointer.label.losses, 0);
    await world.exported(pool);
  });
});

test("a pool whose map of free space is lost serves reads, and fails changes by name", async () => {
  const place = scene(70);
  const { world } = place;
  await world.run(async () => {
    const pool = await create(place);
    await place.write(pool, 0, [1, 2]);
    await world.exported(pool);
  });
  const [label] = labelsOn(place)
    .filter((each) => each !== null)
    .sort((one, other) => other.generation - one.generation);
  const { a, b } = label?.disks[0]?.spaceRoot ?? { a: 0, b: 0 };
  ok(a > 0 && b > 0);
  for (const address of [a, b]) fileOf(place).corrupt(address * BLOCK_BYTES, 512);
  await world.run(async () => {
    const pool = await world.open();
    deepStrictEqual(await place.read(pool, 2), [1, 2]);
    await rejects(place.write(pool, 2, [3]), { code: "media-error" });
    strictEqual(pool.info.state, "faulted");
    ok(pool.info.reason.includes("map of free space"), pool.info.reason);
  });
});
