/** Pools as who uses them sees them: volumes, properties, space, disks. Over fake machines. */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../devices/file.ts";
import { mallocDisks, openForTest, poolEnvironment, PoolWorld } from "../testing/pool-rig.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { Prng } from "../util/prng.ts";
import { walkPool } from "./check/pool-walk.ts";
import { Pool } from "./pool.ts";

const MIB = 2 ** 20;

test("Pool.create makes an empty pool with the capacity that the format says", () =>
  withReactor("fake", async ({ reactor, seed }) => {
    const environment = poolEnvironment(reactor, seed);
    const devices = await mallocDisks(reactor, [100 * MIB]);
    const pool = await Pool.create(environment, devices, { name: "pool1" });
    const { name, state, capacityBytes, usedBytes, disks } = pool.info;
    deepStrictEqual([name, state, capacityBytes, usedBytes], ["pool1", "online", 96 * MIB, 0]);
    strictEqual(disks.length, 1);
    deepStrictEqual(pool.volumes(), []);
    await pool.export();
  }));

test("a page cache that is too small, or no size, is refused by name", () =>
  withReactor("fake", async ({ reactor, seed }) => {
    const environment = poolEnvironment(reactor, seed);
    for (const cacheBytes of [0, 2 ** 16 - 1, MIB + 0.5, 17 * 2 ** 30, Number.NaN]) {
      const devices = await mallocDisks(reactor, [100 * MIB]);
      const creating = Pool.create(environment, devices, { name: "pool1", cacheBytes });
      await rejects(creating, { code: "cache-size-invalid" });
    }
    const devices = await mallocDisks(reactor, [100 * MIB]);
    await (await Pool.create(environment, devices, { name: "pool1", cacheBytes: MIB })).export();
  }));

test("a volume keeps bytes, size, name and properties over export and import", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    const properties = new Map([["owner", Uint8Array.of(1, 2, 3)]]);
    await pool.createVolume({ name: "a", sizeBytes: 8 * MIB, properties });
    await pool.createVolume({ name: "b", sizeBytes: 5 * 512, isThin: false });
    const device = await openForTest(pool, "a");
    await device.writeAt(4096, new Uint8Array(10_240).fill(7));
    await device.writeAt(512, new Uint8Array(512).fill(9));
    await device.close();
    await world.exported(pool);
  });
  await world.run(async () => {
    const pool = await world.open();
    deepStrictEqual(
      pool.volumes().map(({ name, sizeBytes, isThin }) => [name, sizeBytes, isThin]),
      [
        ["a", 8 * MIB, true],
        ["b", 5 * 512, false],
      ],
    );
    strictEqual(pool.findings.wasClean, true);
    deepStrictEqual([...pool.properties("a")], [["owner", Uint8Array.of(1, 2, 3)]]);
    const device = await openForTest(pool, "a");
    const bytes = await device.readAt(0, 20_480);
    const expected = new Uint8Array(20_480);
    expected.fill(9, 512, 1024).fill(7, 4096, 4096 + 10_240);
    deepStrictEqual(Buffer.from(bytes), Buffer.from(expected));
    strictEqual(pool.info.usedBytes, 4 * 4096);
    await device.close();
    await world.exported(pool);
  });
});

for (const diskCount of [1, 2]) {
  test(`what was acknowledged is there after kills, over ${diskCount} disks`, async () => {
    const diskBytes = new Array<number>(diskCount).fill(64 * MIB);
    const world = new PoolWorld({ seed: 2 + diskCount, diskBytes, cacheBytes: MIB });
    const model = new Uint8Array(8 * MIB);
    const prng = new Prng(3);
    for (let session = 0; session < 6; session++) {
      await world.run(async () => {
        const pool = await world.open();
        if (session === 0) await pool.createVolume({ name: "v", sizeBytes: model.length });
        const device = await openForTest(pool, "v");
        const before = await device.readAt(0, model.length);
        strictEqual(Buffer.compare(before, model), 0, `session ${session}`);
        await changeAtRandom(device, model, prng, 60);
        world.kill();
      });
    }
  });
}

test("what was flushed is there after power losses, and nothing is there in halves", async () => {
  const world = new PoolWorld({ seed: 7, diskBytes: [64 * MIB], cacheBytes: MIB });
  const model = new Uint8Array(4 * MIB);
  const prng = new Prng(8);
  for (let session = 0; session < 8; session++) {
    await world.run(async () => {
      const pool = await world.open();
      if (session === 0) await pool.createVolume({ name: "v", sizeBytes: model.length });
      const device = await openForTest(pool, "v");
      const before = await device.readAt(0, model.length);
      strictEqual(Buffer.compare(before, model), 0, `session ${session}`);
      await changeAtRandom(device, model, prng, 40);
      await device.flush();
      world.powerLoss();
    });
  }
});

test("a deleted volume is gone, its space comes back, and its bytes show nowhere", async () => {
  const world = new PoolWorld({ seed: 5, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "a", sizeBytes: 16 * MIB });
    const a = await openForTest(pool, "a");
    await a.writeAt(0, new Uint8Array(4 * MIB).fill(1));
    await rejects(pool.deleteVolume("a"), { code: "volume-in-use" });
    await a.close();
    strictEqual(pool.info.usedBytes, 4 * MIB);
    await pool.deleteVolume("a");
    await pool.deleted();
    strictEqual(pool.info.usedBytes, 0);
    deepStrictEqual(pool.volumes(), []);
    await rejects(pool.openVolume("a", { stageName: "x" }), { code: "volume-not-found" });
    await pool.createVolume({ name: "a", sizeBytes: 16 * MIB });
    const again = await openForTest(pool, "a");
    ok((await again.readAt(0, 8 * MIB)).every((byte) => byte === 0));
    await again.close();
    await world.exported(pool);
  });
});

test("what shrinking cuts off reads as zeroes when the volume has grown again", async () => {
  const world = new PoolWorld({ seed: 6, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "a", sizeBytes: 2 * MIB });
    const a = await openForTest(pool, "a");
    await a.writeAt(0, new Uint8Array(2 * MIB).fill(1));
    await rejects(pool.resizeVolume("a", MIB), { code: "volume-in-use" });
    await a.close();
    await pool.resizeVolume("a", MIB + 512);
    await pool.resizeVolume("a", 3 * MIB);
    const again = await openForTest(pool, "a");
    const bytes = await again.readAt(0, 3 * MIB);
    const kept = MIB + 512;
    ok(bytes.every((byte, index) => byte === (index < kept ? 1 : 0)));
    await again.close();
    await world.exported(pool);
  });
});

test("a full pool says no-space, takes overwrites, and goes on when space is free", async () => {
  const world = new PoolWorld({ seed: 9, diskBytes: [32 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "a", sizeBytes: 256 * MIB });
    const a = await openForTest(pool, "a");
    const block = new Uint8Array(MIB).fill(3);
    let written = 0;
    const fill = async (): Promise<void> => {
      for (; written < 256; written++) await a.writeAt(written * MIB, block);
    };
    await rejects(fill(), { code: "no-space" });
    ok(written * MIB > 0.8 * pool.info.capacityBytes, `${written} MiB`);
    for (let round = 0; round < 3 * written; round++)
      await a.writeAt((round % written) * MIB, block);
    await a.discard(0, 8 * MIB);
    await a.writeAt(200 * MIB, block);
    await a.close();
    await world.exported(pool);
  });
});

test("a thick volume has its space for sure", async () => {
  const world = new PoolWorld({ seed: 10, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "thick", sizeBytes: 24 * MIB, isThin: false });
    await rejects(pool.createVolume({ name: "x", sizeBytes: 60 * MIB, isThin: false }), {
      code: "no-space",
    });
    await pool.createVolume({ name: "thin", sizeBytes: 256 * MIB });
    const thin = await openForTest(pool, "thin");
    const block = new Uint8Array(MIB).fill(3);
    const fill = async (): Promise<void> => {
      for (let at = 0; at < 256; at++) await thin.writeAt(at * MIB, block);
    };
    await rejects(fill(), { code: "no-space" });
    const thick = await openForTest(pool, "thick");
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 24; at++) await thick.writeAt(at * MIB, block);
    }
    await thin.close();
    await thick.close();
    await world.exported(pool);
  });
});

test("a pool takes one more disk, and the new sizes of those that it has", async () => {
  const world = new PoolWorld({ seed: 13, diskBytes: [32 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 128 * MIB });
    const device = await openForTest(pool, "v");
    const { reactor } = device.device;
    const block = new Uint8Array(MIB).fill(3);
    const fill = async (): Promise<void> => {
      for (let at = 0; at < 128; at++) await device.writeAt(at * MIB, block);
    };
    await rejects(fill(), { code: "no-space" });
    const { capacityBytes } = pool.info;
    await pool.addDisk(await FileDevice.open(reactor, { path: "/disk1", sizeBytes: 40 * MIB }));
    strictEqual(pool.info.disks.length, 2);
    strictEqual(pool.info.capacityBytes, capacityBytes + 39 * MIB);
    await rejects(fill(), { code: "no-space" });
    strictEqual(Math.floor(pool.info.usedBytes / MIB) >= 0.9 * 68, true);
    await pool.parts.disks.at(0).device.grow(64 * MIB);
    await pool.grow();
    strictEqual(pool.info.capacityBytes, capacityBytes + 71 * MIB);
    await rejects(fill(), { code: "no-space" });
    ok(pool.info.usedBytes > 0.9 * 100 * MIB);
    await device.readAt(0, 8 * MIB);
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await device.close();
    await world.exported(pool);
  });
});

test("names, sizes and properties that cannot be are refused", async () => {
  const world = new PoolWorld({ seed: 11, diskBytes: [32 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    const sizeBytes = MIB;
    await pool.createVolume({ name: "a", sizeBytes });
    await rejects(pool.createVolume({ name: "a", sizeBytes }), { code: "volume-exists" });
    await rejects(pool.createVolume({ name: "a/b", sizeBytes }), { code: "name-invalid" });
    await rejects(pool.createVolume({ name: "c", sizeBytes: 5 }), { code: "size-invalid" });
    await rejects(pool.deleteVolume("c"), { code: "volume-not-found" });
    const large = new Map([["k", new Uint8Array(70_000)]]);
    await rejects(pool.setProperties("a", large), { code: "properties-too-large" });
    await pool.setProperties("a", new Map([["k", new Uint8Array(50_000).fill(1)]]));
    await pool.setProperties(null, new Map([["user.x", Uint8Array.of(5)]]));
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.properties("a").get("k")?.length, 50_000);
    deepStrictEqual(pool.properties(null).get("user.x"), Uint8Array.of(5));
    await pool.setProperties("a", new Map([["k", null]]));
    await world.exported(pool);
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.properties("a").size, 0);
    deepStrictEqual(pool.properties(null).get("user.x"), Uint8Array.of(5));
    await world.exported(pool);
  });
});

test("many volumes come and go with a cache that does not hold their pages", async () => {
  const world = new PoolWorld({ seed: 12, diskBytes: [64 * MIB], cacheBytes: MIB });
  const count = 240;
  const owner = (index: number): Uint8Array => new Uint8Array(2000).fill(index);
  await world.run(async () => {
    const pool = await world.open();
    for (let index = 0; index < count; index++) {
      const properties = new Map([["owner", owner(index)]]);
      await pool.createVolume({ name: `v${index}`, sizeBytes: MIB, properties });
      const device = await openForTest(pool, `v${index}`);
      await device.writeAt(0, new Uint8Array(4096).fill(index));
      await device.close();
    }
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.volumes().length, count);
    for (let index = 0; index < count; index++) {
      const device = await openForTest(pool, `v${index}`);
      ok((await device.readAt(0, 4096)).every((byte) => byte === index));
      deepStrictEqual(pool.properties(`v${index}`).get("owner"), owner(index));
      await device.close();
    }
    for (let index = 0; index < count; index += 2) await pool.deleteVolume(`v${index}`);
    await pool.deleted();
    await world.exported(pool);
  });
  await world.run(async () => {
    const pool = await world.open();
    strictEqual(pool.volumes().length, count / 2);
    strictEqual(pool.info.usedBytes, (count / 2) * 4096);
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await world.exported(pool);
  });
});

/** Writes, zeroes and discards, one after the other and in groups, of any alignment. */
async function changeAtRandom(
  device: Awaited<ReturnType<typeof openForTest>>,
  model: Uint8Array,
  prng: Prng,
  count: number,
): Promise<void> {
  for (let step = 0; step < count; step++) {
    const sectors = 1 + prng.below(prng.chance(0.2) ? 512 : 24);
    const offset = prng.below(model.length / 512 - sectors) * 512;
    const length = sectors * 512;
    if (prng.chance(0.15)) {
      await device.discard(offset, length);
      model.fill(0, offset, offset + length);
    } else if (prng.chance(0.1)) {
      await device.writeZeroes(offset, length);
      model.fill(0, offset, offset + length);
    } else {
      const bytes = new Uint8Array(length);
      prng.fill(bytes);
      await device.writeAt(offset, bytes);
      model.set(bytes, offset);
    }
    if (prng.chance(0.05)) await device.flush();
  }
}
