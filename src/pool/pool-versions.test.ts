// Snapshots and clones as their users see them: content, names, order, space. Fake machines.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { PromiseDevice } from "../block/promise-device.ts";
import { openForTest, PoolWorld } from "../testing/pool-rig.ts";
import { walkPool } from "./check/pool-walk.ts";
import type { Pool } from "./pool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;

async function fill(device: PromiseDevice, first: number, count: number, byte: number) {
  await device.writeAt(first * BLOCK, new Uint8Array(count * BLOCK).fill(byte));
}

/** The first byte of each of so many blocks, after making sure that all of a block is like it. */
async function bytesOf(pool: Pool, name: string, count: number): Promise<number[]> {
  const device = await openForTest(pool, name);
  const bytes = await device.readAt(0, count * BLOCK);
  await device.close();
  return Array.from({ length: count }, (_, index) => {
    const block = bytes.subarray(index * BLOCK, (index + 1) * BLOCK);
    ok(
      block.every((byte) => byte === block[0]),
      `block ${index} of ${name} is of one kind`,
    );
    return block[0] as number;
  });
}

async function checkWalk(pool: Pool): Promise<void> {
  deepStrictEqual((await walkPool(pool.parts)).problems, []);
}

async function withPool(body: (pool: Pool, world: PoolWorld) => Promise<void>): Promise<void> {
  const world = new PoolWorld({ seed: 11, diskBytes: [64 * MIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    await body(pool, world);
    world.kill();
  });
}

test("a snapshot stays what it was, whatever becomes of its volume", async () => {
  const world = new PoolWorld({ seed: 12, diskBytes: [64 * MIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    await fill(device, 0, 4, 1);
    const info = await pool.createSnapshot("v", "one");
    deepStrictEqual([info.name, info.volume, info.usedBytes], ["v@one", "v", 4 * BLOCK]);
    await fill(device, 1, 1, 2);
    await pool.createSnapshot("v", "two");
    await device.discard(2 * BLOCK, BLOCK);
    await fill(device, 3, 2, 3);
    strictEqual(pool.info.usedBytes, 7 * BLOCK);
    await device.close();
    await checkWalk(pool);
    world.kill();
  });
  const check = async (pool: Pool) => {
    deepStrictEqual(await bytesOf(pool, "v", 5), [1, 2, 0, 3, 3]);
    deepStrictEqual(await bytesOf(pool, "v@one", 5), [1, 1, 1, 1, 0]);
    deepStrictEqual(await bytesOf(pool, "v@two", 5), [1, 2, 1, 1, 0]);
    deepStrictEqual(
      pool.snapshots().map(({ name }) => name),
      ["v@one", "v@two"],
    );
    strictEqual(pool.info.usedBytes, 7 * BLOCK);
    await checkWalk(pool);
  };
  await world.run(async () => {
    const pool = await world.open();
    await check(pool);
    await world.exported(pool);
  });
  await world.run(async () => {
    const pool = await world.open();
    await check(pool);
    strictEqual(pool.parts.checkpointer.label.incompat, 1);
    world.kill();
  });
});

test("clones begin with what their snapshot has, and go their own ways", () =>
  withPool(async (pool) => {
    await pool.createVolume({ name: "v", sizeBytes: 4 * MIB });
    const device = await openForTest(pool, "v");
    await fill(device, 0, 3, 1);
    await pool.createSnapshot("v", "s");
    await fill(device, 0, 1, 9);
    await device.close();
    for (const name of ["a", "b"]) {
      const info = await pool.cloneSnapshot("v@s", { name });
      deepStrictEqual([info.origin, info.usedBytes, info.isThin], ["v@s", 3 * BLOCK, true]);
      const clone = await openForTest(pool, name);
      await fill(clone, 1, 1, name === "a" ? 2 : 3);
      await clone.close();
    }
    deepStrictEqual(await bytesOf(pool, "a", 3), [1, 2, 1]);
    deepStrictEqual(await bytesOf(pool, "b", 3), [1, 3, 1]);
    deepStrictEqual(await bytesOf(pool, "v", 3), [9, 1, 1]);
    strictEqual(pool.snapshots()[0]?.clones, 2);
    strictEqual(pool.info.usedBytes, 6 * BLOCK);
    await checkWalk(pool);
    await pool.deleteVolume("v");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 5 * BLOCK);
    deepStrictEqual(await bytesOf(pool, "a", 3), [1, 2, 1]);
    await pool.deleteVolume("v@s");
    await pool.deleted();
    // Two clones need it still.
    strictEqual(pool.info.usedBytes, 5 * BLOCK);
    deepStrictEqual(pool.snapshots(), []);
    await pool.deleteVolume("a");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 3 * BLOCK);
    deepStrictEqual(await bytesOf(pool, "b", 3), [1, 3, 1]);
    strictEqual(pool.volume("b")?.origin, "");
    await checkWalk(pool);
    await pool.deleteVolume("b");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 0);
    await checkWalk(pool);
  }));

test("rollback gives a volume back what it was; what was written since is freed", () =>
  withPool(async (pool) => {
    await pool.createVolume({ name: "v", sizeBytes: 4 * MIB });
    const { uuid } = pool.volume("v") ?? {};
    const device = await openForTest(pool, "v");
    await fill(device, 0, 3, 1);
    await pool.createSnapshot("v", "one");
    await fill(device, 0, 1, 2);
    await pool.createSnapshot("v", "two");
    await fill(device, 0, 2, 3);
    await rejects(pool.rollback("v@one"), { code: "volume-in-use" });
    await device.close();
    await pool.resizeVolume("v", 8 * MIB);
    await pool.rollback("v@one");
    await pool.deleted();
    deepStrictEqual(await bytesOf(pool, "v", 3), [1, 1, 1]);
    deepStrictEqual([pool.volume("v")?.uuid, pool.volume("v")?.sizeBytes], [uuid, 4 * MIB]);
    strictEqual(pool.info.usedBytes, 4 * BLOCK);
    // The later one is on a branch of its own, and can be had as well.
    deepStrictEqual(await bytesOf(pool, "v@two", 3), [2, 1, 1]);
    await checkWalk(pool);
    await pool.rollback("v@two");
    await pool.deleted();
    deepStrictEqual(await bytesOf(pool, "v", 3), [2, 1, 1]);
    strictEqual(pool.volume("v")?.snapshots, 2);
    strictEqual(pool.volume("v")?.origin, "");
    await checkWalk(pool);
  }));

test("promote gives a clone the snapshots that it began with", () =>
  withPool(async (pool) => {
    await pool.createVolume({ name: "v", sizeBytes: 4 * MIB });
    for (let index = 0; index < 7; index++) await pool.createSnapshot("v", `s${index}`);
    await pool.cloneSnapshot("v@s5", { name: "c" });
    await pool.createSnapshot("c", "own");
    await rejects(pool.promote("v"), { code: "not-a-clone" });
    await pool.createSnapshot("c", "s4");
    await rejects(pool.promote("c"), { code: "snapshot-exists" });
    await pool.deleteVolume("c@s4");
    await pool.deleted();
    strictEqual((await pool.promote("c")).origin, "");
    const names = (volume: string) => pool.snapshots(volume).map(({ name }) => name);
    deepStrictEqual(names("v"), ["v@s6"]);
    deepStrictEqual(names("c"), [0, 1, 2, 3, 4, 5].map((index) => `c@s${index}`).concat("c@own"));
    strictEqual(pool.volume("v")?.origin, "c@s5");
    deepStrictEqual([pool.volume("c")?.snapshots, pool.volume("v")?.snapshots], [7, 1]);
    strictEqual(pool.snapshots("c").find(({ name }) => name === "c@s5")?.clones, 1);
  }));

test("names, and what cannot be done with snapshots", () =>
  withPool(async (pool) => {
    await pool.createVolume({ name: "v", sizeBytes: MIB });
    await pool.createSnapshot("v", "s");
    await rejects(pool.createSnapshot("v", "s"), { code: "snapshot-exists" });
    await rejects(pool.createSnapshot("w", "s"), { code: "volume-not-found" });
    await rejects(pool.createSnapshot("v@s", "t"), { code: "volume-not-found" });
    for (const name of ["", "a@b", "/", "x".repeat(128)]) {
      await rejects(pool.createSnapshot("v", name), { code: "name-invalid" });
    }
    await rejects(pool.cloneSnapshot("v@t", { name: "c" }), { code: "snapshot-not-found" });
    await rejects(pool.cloneSnapshot("v@s", { name: "v" }), { code: "volume-exists" });
    await rejects(pool.resizeVolume("v@s", 2 * MIB), { code: "volume-not-found" });
    await rejects(pool.rollback("v@t"), { code: "snapshot-not-found" });
    const readers = [await openForTest(pool, "v@s"), await openForTest(pool, "v@s")];
    await rejects(fill(readers[0] as PromiseDevice, 0, 1, 1));
    await rejects(pool.deleteVolume("v@s"), { code: "volume-in-use" });
    for (const reader of readers) await reader.close();
    const properties = new Map([["user.a", Uint8Array.of(1)]]);
    await pool.setProperties("v@s", properties);
    await pool.createSnapshot("v", "t", { properties });
    for (const name of ["v@s", "v@t"]) deepStrictEqual(pool.properties(name), properties);
    await pool.deleteVolume("v");
    await pool.deleted();
    await rejects(pool.rollback("v@s"), { code: "not-an-ancestor" });
    await pool.createVolume({ name: "v", sizeBytes: MIB });
    await rejects(pool.createSnapshot("v", "s"), { code: "snapshot-exists" });
    await rejects(pool.rollback("v@s"), { code: "not-an-ancestor" });
    deepStrictEqual(
      pool.volumes().map(({ name, snapshots }) => [name, snapshots]),
      [["v", 0]],
    );
  }));

test("a snapshot of a thick volume reserves what the volume maps", async () => {
  const world = new PoolWorld({ seed: 13, diskBytes: [64 * MIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 32 * MIB, isThin: false });
    const device = await openForTest(pool, "v");
    await fill(device, 0, (20 * MIB) / BLOCK, 1);
    const reserved = () => pool.info.reservedBytes / MIB;
    strictEqual(reserved(), 12);
    await pool.createSnapshot("v", "one");
    strictEqual(reserved(), 32);
    await fill(device, 0, (4 * MIB) / BLOCK, 2);
    strictEqual(reserved(), 28);
    await pool.createSnapshot("v", "two");
    strictEqual(reserved(), 32);
    // All of it can be overwritten, and there is no space for that once more.
    await rejects(pool.createVolume({ name: "w", sizeBytes: 8 * MIB, isThin: false }), {
      code: "no-space",
    });
    await fill(device, 0, (32 * MIB) / BLOCK, 3);
    strictEqual(reserved(), 0);
    await rejects(pool.createSnapshot("v", "three"), { code: "no-space" });
    await pool.deleteVolume("v@two");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 52 * MIB);
    await device.close();
    await pool.deleteVolume("v@one");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 32 * MIB);
    await checkWalk(pool);
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.info.reservedBytes, 0);
    strictEqual(pool.info.usedBytes, 32 * MIB);
    await checkWalk(pool);
    world.kill();
  });
});

test("hundreds of versions in one checkpoint are there after kills", async () => {
  const world = new PoolWorld({ seed: 14, diskBytes: [64 * MIB], cacheBytes: MIB });
  const count = 300;
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: MIB });
    const device = await openForTest(pool, "v");
    for (let index = 0; index < count; index++) {
      if (index % 50 === 0) await fill(device, 0, 1, 1 + index / 50);
      await pool.createSnapshot("v", `s${index}`);
    }
    await device.close();
    // Objects come while others are being put into their tree.
    const checkpoint = pool.parts.checkpointer.run("in use");
    for (let index = 0; index < 20; index++) {
      await pool.cloneSnapshot(`v@s${index * 10}`, { name: `c${index}` });
    }
    await checkpoint;
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    const names = pool.snapshots().map(({ name }) => name);
    deepStrictEqual(
      names,
      Array.from({ length: count }, (_, index) => `v@s${index}`),
    );
    for (const [name, byte] of [
      ["v@s49", 1],
      ["v@s50", 2],
      ["c19", 4],
      ["v", 6],
    ] as const) {
      deepStrictEqual(await bytesOf(pool, name, 1), [byte]);
    }
    await checkWalk(pool);
    for (const name of names) await pool.deleteVolume(name);
    await pool.deleted();
    // The clones' begins are left, and what the volume has.
    deepStrictEqual(pool.snapshots(), []);
    await checkWalk(pool);
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    await pool.deleted();
    strictEqual(pool.volumes().length, 21);
    deepStrictEqual(await bytesOf(pool, "c19", 1), [4]);
    await checkWalk(pool);
    for (const { name } of pool.volumes()) await pool.deleteVolume(name);
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 0);
    await checkWalk(pool);
    world.kill();
  });
});

test("bursts of versions fit into the smallest cache: created, promoted and deleted", async () => {
  const world = new PoolWorld({ seed: 15, diskBytes: [2048 * MIB], cacheBytes: MIB });
  const count = 2000;
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: MIB });
    for (let index = 0; index < count; index++) await pool.createSnapshot("v", `s${index}`);
    await pool.cloneSnapshot(`v@s${count - 1}`, { name: "c" });
    await pool.promote("c");
    strictEqual(pool.snapshots("c").length, count);
    await checkWalk(pool);
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.snapshots("c").length, count);
    for (const { name } of pool.snapshots()) await pool.deleteVolume(name);
    await pool.deleted();
    await checkWalk(pool);
    await world.exported(pool);
  });
  await world.run(async () => {
    const pool = await world.open();
    deepStrictEqual(pool.snapshots(), []);
    // What two volumes began with is kept for them.
    strictEqual([...pool.parts.catalogue.all()].length, 3);
    await checkWalk(pool);
    world.kill();
  });
});
