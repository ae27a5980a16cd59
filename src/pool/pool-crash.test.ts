/** What a pool keeps when its process, the power or a disk fails, in the middle of work. */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { PromiseDevice } from "../block/promise-device.ts";
import { Errno } from "../reactor/errno.ts";
import { sleepOn } from "../testing/mirror-rig.ts";
import { openForTest, PoolWorld } from "../testing/pool-rig.ts";
import { testSeed } from "../testing/test-seed.ts";
import { Prng } from "../util/prng.ts";
import { walkPool } from "./check/pool-walk.ts";
import type { Pool } from "./pool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;
const BLOCKS = 2000;
const WORKERS = 24;

/** Of each block: versions that a read may show, oldest first. */
class Versions {
  /** Written, in their order; those before `acknowledged` are over. */
  readonly #sent = new Array<number[]>(BLOCKS).fill([]).map(() => [0]);
  readonly #acknowledged = new Array<number>(BLOCKS).fill(0);
  #next = 1;

  send(block: number): number {
    const version = this.#next++;
    this.#sent[block]?.push(version);
    return version;
  }

  acknowledge(block: number, version: number): void {
    this.#acknowledged[block] = version;
  }

  /** Checks what a read shows after a crash, which decides what there is from now on. */
  settle(block: number, found: number): void {
    const acknowledged = this.#acknowledged[block] as number;
    const sent = this.#sent[block] as number[];
    ok(found >= acknowledged, `block ${block} shows ${found}, ${acknowledged} was acknowledged`);
    ok(sent.includes(found), `block ${block} shows ${found}, which was never written`);
    this.#sent[block] = [found];
    this.#acknowledged[block] = found;
  }
}

function versionOf(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(0, true);
  for (let at = 0; at < BLOCK; at += 512) {
    strictEqual(view.getUint32(at, true), version, "a block is written wholly or not at all");
  }
  return version;
}

function stamped(version: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < BLOCK; at += 512) view.setUint32(at, version, true);
  return bytes;
}

/** Writes, and discards, for ever, one block after the other, until its process is gone. */
async function work(
  device: PromiseDevice,
  versions: Versions,
  { prng, first, flushes }: { prng: Prng; first: number; flushes: boolean },
): Promise<void> {
  for (;;) {
    const block = first + WORKERS * prng.below(Math.floor(BLOCKS / WORKERS));
    const version = versions.send(block);
    await device.writeAt(block * BLOCK, stamped(version), { fua: flushes });
    versions.acknowledge(block, version);
    if (prng.chance(0.05)) await device.readAt(block * BLOCK, BLOCK);
  }
}

async function check(pool: Pool, versions: Versions): Promise<void> {
  const { problems } = await walkPool(pool.parts);
  strictEqual(problems.join("; "), "");
  const device = await openForTest(pool, "v");
  for (let block = 0; block < BLOCKS; block++) {
    versions.settle(block, versionOf(await device.readAt(block * BLOCK, BLOCK)));
  }
  await device.close();
}

for (const [how, diskBytes, cacheBytes] of [
  ["killed", [64 * MIB], MIB],
  ["killed", [40 * MIB, 64 * MIB], MIB],
  ["without power", [64 * MIB], MIB],
  ["without power", [40 * MIB, 32 * MIB, 36 * MIB], 16 * MIB],
] as const) {
  test(`a pool on ${diskBytes.length} disks ${how} at any moment keeps what it said`, async (t) => {
    const seed = testSeed(t);
    const world = new PoolWorld({ seed, diskBytes, cacheBytes });
    const versions = new Versions();
    const prng = new Prng(seed);
    for (let session = 0; session < 8; session++) {
      await world.run(async () => {
        const pool = await world.open();
        if (session === 0) await pool.createVolume({ name: "v", sizeBytes: BLOCKS * BLOCK });
        await check(pool, versions);
        const device = await openForTest(pool, "v");
        const flushes = how !== "killed";
        for (let first = 0; first < WORKERS; first++) {
          const how = { prng: prng.fork(`${first}`), first, flushes };
          void work(device, versions, how).catch(() => undefined);
        }
        if (prng.chance(0.5)) {
          await sleepOn(device.device.reactor, prng.below(50));
          void pool.parts.checkpointer.run("in use").catch(() => undefined);
        }
        await sleepOn(device.device.reactor, prng.float() * prng.pick([5, 50, 300]));
        if (how === "killed") world.kill();
        else world.powerLoss();
      });
    }
  });
}

test("a pool whose sync fails changes nothing more until it is imported again", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [64 * MIB] });
  const { faults } = world.world.disk();
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    await device.writeAt(0, stamped(1));
    await device.flush();
    await device.writeAt(BLOCK, stamped(2));
    const effect = { kind: "error", errno: Errno.EIO } as const;
    const fault = faults.inject({ effect, operations: ["sync"], count: 1 });
    await rejects(device.flush(), { code: "media-error" });
    fault.remove();
    await rejects(device.flush(), { code: "media-error" });
    await rejects(device.writeAt(0, stamped(3)), { code: "media-error" });
    strictEqual(pool.info.state, "faulted");
    await rejects(pool.createVolume({ name: "w", sizeBytes: MIB }), { code: "pool-faulted" });
    await device.close();
    await pool.close();
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    const device = await openForTest(pool, "v");
    strictEqual(versionOf(await device.readAt(0, BLOCK)), 1);
    await device.writeAt(0, stamped(3));
    await device.close();
    await world.exported(pool);
  });
});

test("a block whose bytes have changed on the disk is a media-error with its place", async () => {
  const world = new PoolWorld({ seed: 2, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    await device.writeAt(0, new Uint8Array(64 * 1024).fill(5));
    await device.flush();
    const volume = pool.parts.catalogue.byName("v");
    const at = volume?.tree.find(3) ?? -1;
    const low = pool.parts.cache.words[at + 1] ?? 0;
    world.world
      .disk()
      .file("/disk0")
      ?.corrupt(low * BLOCK + 100, 1);
    const details = { code: "media-error" };
    await rejects(device.readAt(0, 64 * 1024), (error: { details: { errorOffset: number } }) => {
      strictEqual(error.details.errorOffset, 3 * BLOCK);
      return true;
    });
    await rejects(device.readAt(3 * BLOCK + 512, 512), details);
    await rejects(device.writeAt(3 * BLOCK + 512, new Uint8Array(512)), details);
    strictEqual((await device.readAt(4 * BLOCK, 512))[0], 5);
    strictEqual(world.events.filter(({ code }) => code === "pool-damage-found").length, 1);
    await device.writeAt(3 * BLOCK, stamped(1));
    strictEqual(versionOf(await device.readAt(3 * BLOCK, BLOCK)), 1);
    await device.close();
    await world.exported(pool);
  });
});

test("what is being deleted when the process dies is gone after the next import", async () => {
  const world = new PoolWorld({ seed: 4, diskBytes: [64 * MIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 24 * MIB });
    const device = await openForTest(pool, "v");
    for (let at = 0; at < 24; at++) await device.writeAt(at * MIB, new Uint8Array(MIB).fill(1));
    await device.close();
    await pool.deleteVolume("v");
    world.kill();
  });
  for (let session = 0; session < 3; session++) {
    await world.run(async () => {
      const pool = await world.open();
      strictEqual(pool.volumes().length, 0);
      await sleepOn(pool.parts.environment.reactor, session);
      if (session === 2) await pool.deleted();
      if (session === 2) strictEqual(pool.info.usedBytes, 0);
      world.kill();
    });
  }
});

test("a pool that is open for reading only shows what was acknowledged", async () => {
  const world = new PoolWorld({ seed: 5, diskBytes: [64 * MIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    for (let block = 0; block < 50; block++) await device.writeAt(block * BLOCK, stamped(block));
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open({ readOnly: true });
    const device = await openForTest(pool, "v");
    for (let block = 0; block < 50; block++) {
      strictEqual(versionOf(await device.readAt(block * BLOCK, BLOCK)), block);
    }
    await rejects(device.writeAt(0, stamped(1)), { code: "read-only" });
    await device.flush();
    await rejects(pool.createVolume({ name: "w", sizeBytes: MIB }), { code: "pool-read-only" });
    await device.close();
    await pool.close();
    world.kill();
  });
});

test("a volume is another instance after a power loss, not after a kill or an export", async () => {
  const world = new PoolWorld({ seed: 6, diskBytes: [64 * MIB] });
  const ids: string[] = [];
  const session = async (end: (pool: Pool) => Promise<void> | void): Promise<void> => {
    await world.run(async () => {
      const pool = await world.open();
      if (ids.length === 0) await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
      const device = await openForTest(pool, "v");
      ids.push(device.device.info.instanceId);
      await device.writeAt(0, stamped(1));
      await device.close();
      await end(pool);
    });
  };
  await session(() => world.kill());
  await session((pool) => world.exported(pool));
  await session(() => world.powerLoss());
  await session(() => world.kill());
  const [first, second, third, fourth] = ids;
  strictEqual(second, first);
  strictEqual(third, first);
  ok(fourth !== first);
});

test("a data write that fails fails its request only", async () => {
  const world = new PoolWorld({ seed: 3, diskBytes: [64 * MIB] });
  const { faults } = world.world.disk();
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    const data = { offset: 2 * MIB, length: 61 * MIB };
    const effect = { kind: "error", errno: Errno.EIO } as const;
    const fault = faults.inject({ effect, operations: ["write"], range: data, count: 2 });
    const ends = await Promise.allSettled([
      device.writeAt(0, stamped(1)),
      device.writeAt(BLOCK, stamped(2)),
    ]);
    fault.remove();
    ok(ends.some(({ status }) => status === "rejected"));
    await device.writeAt(0, stamped(3));
    strictEqual(versionOf(await device.readAt(0, BLOCK)), 3);
    strictEqual(pool.info.state, "online");
    await device.close();
    const { problems } = await walkPool(pool.parts);
    strictEqual(problems.join("; "), "");
    await world.exported(pool);
  });
});

test("a data write that ends without an answer faults the pool, and all who wait end", async () => {
  const world = new PoolWorld({ seed: 7, diskBytes: [64 * MIB] });
  const { faults } = world.world.disk();
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    await device.writeAt(0, stamped(1));
    const data = { offset: 2 * MIB, length: 61 * MIB };
    const effect = { kind: "error", errno: Errno.ETIMEDOUT } as const;
    const fault = faults.inject({ effect, operations: ["write"], range: data });
    const writes = Array.from({ length: 50 }, (_, block) => {
      return device.writeAt(MIB + 2 * block * BLOCK, stamped(9));
    });
    const ends = await Promise.allSettled([
      ...writes,
      device.discard(2 * MIB, MIB),
      device.flush(),
    ]);
    fault.remove();
    ok(ends.some(({ status }) => status === "rejected"));
    strictEqual(pool.info.state, "faulted");
    await rejects(device.writeAt(0, stamped(2)), { code: "media-error" });
    strictEqual(versionOf(await device.readAt(0, BLOCK)), 1);
    await device.close();
    await pool.close();
    world.kill();
  });
  await world.run(async () => {
    const pool = await world.open();
    const device = await openForTest(pool, "v");
    strictEqual(versionOf(await device.readAt(0, BLOCK)), 1);
    await device.close();
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await world.exported(pool);
  });
});
