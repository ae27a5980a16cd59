// Deleting versions: what it costs, in pools that are full, and with pages that are lost.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { CrashDisk, type DiskImage, spoil } from "../../testing/crash-disk.ts";
import { openForTest, poolEnvironment, type TestPoolEnvironment } from "../../testing/pool-rig.ts";
import { contentOf, stateOf, writeTags } from "../../testing/version-family.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { walkPool } from "../check/pool-walk.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import { Pool } from "../pool.ts";
import { BLOCK_BYTES, blockOf } from "../pool-layout.ts";

const MIB = 2 ** 20;

interface Opened {
  readonly pool: Pool;
  readonly disk: CrashDisk;
  readonly environment: TestPoolEnvironment;
}

async function open(reactor: Reactor, sizeBytes: number, image?: DiskImage): Promise<Opened> {
  const environment = poolEnvironment(reactor, image === undefined ? "new" : "again");
  const options = { name: "disk", sizeBytes, instanceId: uuidOfName("disk") };
  const disk = new CrashDisk(reactor, image === undefined ? options : { ...options, image });
  const pool =
    image === undefined
      ? await Pool.create(environment, [disk], { name: "p", cacheBytes: 8 * MIB })
      : await Pool.import(environment, [disk], { cacheBytes: 8 * MIB });
  return { pool, disk, environment };
}

/** Runs of 64 blocks, every other one first: leaves that are half full. */
async function fill(pool: Pool, blocks: number): Promise<void> {
  const run = 64;
  for (const start of [run, 0]) {
    for (let first = start; first < blocks; first += 2 * run) {
      const tags = Array.from({ length: run }, (_, index) => first + index + 1);
      await writeTags(pool, "v", [{ first, tags }]);
    }
  }
}

test("VolumeReaper takes a snapshot of a deep tree away in as many records as it differs by", () =>
  withReactor("fake", async ({ reactor }) => {
    const { pool } = await open(reactor, 160 * MIB);
    const blocks = 24_576;
    await pool.createVolume({ name: "v", sizeBytes: blocks * BLOCK_BYTES });
    await fill(pool, blocks);
    strictEqual(stateOf(pool, "v").tree.root.level, 2, "the tree has three levels");
    await pool.createSnapshot("v", "s");
    const before = await contentOf(pool, stateOf(pool, "v@s"));
    const changed = [5, 6, 9000, blocks - 1];
    await writeTags(
      pool,
      "v",
      changed.map((first) => ({ first, tags: [first + 1_000_000] })),
    );
    strictEqual(pool.parts.space.dataBlocks, blocks + changed.length);
    await pool.parts.checkpointer.run("in use");
    const { log } = pool.parts;
    await pool.deleteVolume("v@s");
    await pool.deleted();
    // Its deletion, three leaves in twos, what is behind them, and that it is gone.
    ok(log.recordCount <= 6, `${log.recordCount} records`);
    strictEqual(pool.parts.space.dataBlocks, blocks);
    const after = await contentOf(pool, stateOf(pool, "v"));
    for (const key of changed) before.set(key, key + 1_000_000);
    deepStrictEqual(after, before);
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await pool.close();
  }));

test("VolumeReaper gives the space of a snapshot back in a pool that is full", () =>
  withReactor("fake", async ({ reactor }) => {
    const { pool } = await open(reactor, 48 * MIB);
    await pool.createVolume({ name: "v", sizeBytes: 256 * MIB });
    const device = await openForTest(pool, "v");
    const piece = new Uint8Array(MIB).fill(1);
    const writeUntilFull = async (): Promise<number> => {
      for (let at = 0; ; at += MIB) {
        try {
          await device.writeAt(at, piece);
        } catch (error) {
          match(String(error), /no-space|no space/i);
          return at;
        }
      }
    };
    const filled = await writeUntilFull();
    await pool.createSnapshot("v", "s");
    // What the snapshot has cannot be written anew any more.
    await rejects(device.writeAt(0, new Uint8Array(2 * MIB).fill(2)));
    await device.discard(0, filled);
    await rejects(device.writeAt(0, new Uint8Array(4 * MIB).fill(2)));
    await pool.deleteVolume("v@s");
    await pool.deleted();
    await device.flush();
    ok((await writeUntilFull()) >= filled - MIB, "all of it can be written again");
    await device.close();
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await pool.close();
  }));

test("VolumeReaper leaves what lies below a lost page, says so, and ends", () =>
  withReactor("fake", async ({ reactor }) => {
    const first = await open(reactor, 64 * MIB);
    const blocks = 2048;
    await first.pool.createVolume({ name: "v", sizeBytes: blocks * BLOCK_BYTES });
    await fill(first.pool, blocks);
    await first.pool.createSnapshot("v", "s");
    await fill(first.pool, blocks);
    const leaf = emptyPointer();
    await first.pool.parts.checkpointer.run("in use");
    strictEqual(stateOf(first.pool, "v@s").tree.pointerAt(700, 0, leaf), 0);
    await first.pool.close();
    let image = first.disk.image();
    for (const address of [leaf.a, leaf.b]) {
      image = spoil(image, blockOf(address) * BLOCK_BYTES + 99, (byte) => byte ^ 1);
    }
    const { pool, environment } = await open(reactor, 64 * MIB, image);
    await pool.deleteVolume("v@s");
    await pool.deleted();
    strictEqual(pool.parts.catalogue.byName("v@s"), undefined);
    strictEqual([...pool.parts.catalogue.all()].length, 1);
    const told = environment.events.find(({ message }) => message.includes("not all of its space"));
    strictEqual(told?.code, "pool-damage-found");
    const left = pool.parts.space.dataBlocks - blocks;
    ok(left > 0 && left <= 201, `${left} blocks of one leaf stay in use`);
    strictEqual((await contentOf(pool, stateOf(pool, "v"))).size, blocks);
    const { problems } = await walkPool(pool.parts);
    ok(problems.length > 0 && problems.every((problem) => !problem.includes("twice")));
    await pool.close();
  }));
