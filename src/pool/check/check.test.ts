// Walks and scrubs of pools, right ones and damaged ones.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { CrashDisk, type DiskImage, spoil } from "../../testing/crash-disk.ts";
import { sleepOn } from "../../testing/mirror-rig.ts";
import { poolEnvironment, type TestPoolEnvironment } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { Pool } from "../pool.ts";
import { BLOCK_BYTES, blockOf } from "../pool-layout.ts";
import { addressOfEntry } from "../volumes/mapping-entry.ts";
import { walkPool } from "./pool-walk.ts";

const MIB = 2 ** 20;
const SIZE = 32 * MIB;
const BLOCKS = 700;

interface Opened {
  readonly pool: Pool;
  readonly disk: CrashDisk;
  readonly environment: TestPoolEnvironment;
}

async function open(reactor: Reactor, image: DiskImage | null): Promise<Opened> {
  const environment = poolEnvironment(reactor, "check");
  const of = image === null ? {} : { image };
  const options = { name: "disk", sizeBytes: SIZE, instanceId: uuidOfName("one"), ...of };
  const disk = new CrashDisk(reactor, options);
  const pool =
    image === null
      ? await Pool.create(environment, [disk], { name: "pool", cacheBytes: MIB })
      : await Pool.import(environment, [disk], { cacheBytes: MIB });
  return { pool, disk, environment };
}

/** A pool with one volume of known content, exported. */
async function makeImage(reactor: Reactor): Promise<{ image: DiskImage; content: Uint8Array }> {
  const { pool, disk } = await open(reactor, null);
  const content = new Uint8Array(BLOCKS * BLOCK_BYTES);
  new Prng(1).fill(content);
  await pool.createVolume({ name: "v", sizeBytes: content.length });
  const device = new PromiseDevice(await pool.openVolume("v", { stageName: "v" }));
  await device.writeAt(0, Uint8Array.from(content));
  await device.close();
  await pool.export();
  return { image: disk.image(), content };
}

/** Where a block of the volume lies on the disk. */
async function placeOf(reactor: Reactor, image: DiskImage, block: number): Promise<number> {
  const { pool } = await open(reactor, image);
  const [volume] = [...pool.parts.catalogue.all()];
  ok(volume !== undefined);
  const device = new PromiseDevice(await pool.openVolume("v", { stageName: "v" }));
  await device.readAt(block * BLOCK_BYTES, BLOCK_BYTES);
  const address = addressOfEntry(pool.parts.cache.words, volume.tree.find(block));
  await device.close();
  await pool.close();
  return blockOf(address);
}

test("a walk gives the pool's own four figures, and no problem", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const { pool } = await open(reactor, image);
    const walk = await walkPool(pool.parts);
    deepStrictEqual(walk.problems, []);
    strictEqual(walk.dataBlocks, BLOCKS);
    const { pageBlocks, heldBlocks, freeBlocks } = walk;
    ok(pageBlocks >= 6, "objects, map and mapping have pages");
    strictEqual(BLOCKS + pageBlocks + heldBlocks + freeBlocks, SIZE / BLOCK_BYTES);
    await pool.close();
  }));

test("a walk finds blocks that are in use by nobody, and a wrong count", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const { pool } = await open(reactor, image);
    const { space } = pool.parts;
    const taken = { address: 0, count: 0 };
    while (space.take(3, taken) === "wait") await sleepOn(reactor, 1);
    space.markUsed(taken.address, taken.count);
    const { problems } = await walkPool(pool.parts);
    match(problems.join("\n"), /disk 0: 3 blocks from \d+ on: in use by the map, found nowhere/);
    match(problems.join("\n"), /dataBlocks are 700, and counted as 703/);
  }));

test("a walk finds a block that two entries refer to", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const { pool } = await open(reactor, image);
    const [volume] = [...pool.parts.catalogue.all()];
    ok(volume !== undefined);
    await walkPool(pool.parts);
    const { words } = pool.parts.cache;
    const [one, other] = [volume.tree.find(3), volume.tree.find(4)];
    words[one + 1] = words[other + 1] as number;
    const { problems } = await walkPool(pool.parts);
    match(problems.join("\n"), /block 4 of v: block \d+ of disk 0 is used twice/);
    match(problems.join("\n"), /1 blocks from \d+ on: in use by the map, found nowhere/);
  }));

test("a scrub of a right pool reads all of it, says so, and keeps nothing to go on from", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const { pool, environment } = await open(reactor, image);
    const progress = await pool.scrub().done;
    strictEqual(progress.state, "finished");
    ok(progress.doneBytes >= BLOCKS * BLOCK_BYTES);
    strictEqual(progress.damagedCount + progress.badCopies, 0);
    strictEqual(environment.events.at(-1)?.code, "scrub-finished");
    strictEqual(pool.properties(null).has("scrub"), false);
    await pool.close();
  }));

test("a scrub finds damaged blocks, and heals them from somebody who has them", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image, content } = await makeImage(reactor);
    const place = await placeOf(reactor, image, 77);
    const spoilt = spoil(image, place * BLOCK_BYTES + 5, (byte) => byte ^ 1);
    const { pool } = await open(reactor, spoilt);
    const found = await pool.scrub().done;
    deepStrictEqual(found.damaged, [{ volume: "v", offset: 77 * BLOCK_BYTES, healed: false }]);
    const stale = { read: async () => true };
    strictEqual((await pool.scrub({ heal: stale, restart: true }).done).healedCount, 0);
    const heal = {
      read: async (_uuid: string, offset: number, into: Uint8Array) => {
        into.set(content.subarray(offset, offset + BLOCK_BYTES));
        return true;
      },
    };
    const healed = await pool.scrub({ heal, restart: true }).done;
    deepStrictEqual(healed.damaged, [{ volume: "v", offset: 77 * BLOCK_BYTES, healed: true }]);
    strictEqual((await pool.scrub({ restart: true }).done).damagedCount, 0);
    const device = new PromiseDevice(await pool.openVolume("v", { stageName: "v" }));
    deepStrictEqual(await device.readAt(0, content.length), content);
    await device.close();
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await pool.close();
  }));

test("a scrub finds the bad copy of a page, and it is written anew", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const pages = [...image].filter(([, bytes]) => bytes[0] === 0x50 && bytes[2] === 0x53);
    let found = 0;
    for (const [block] of pages) {
      const { pool, environment } = await open(
        reactor,
        spoil(image, block * BLOCK_BYTES + 3000, (byte) => byte ^ 1),
      );
      const { badCopies } = await pool.scrub().done;
      const told = environment.events.some(({ code }) => code === "pool-copy-repaired");
      if (badCopies > 0 || told) found++;
      await pool.parts.checkpointer.run("in use");
      strictEqual((await pool.scrub({ restart: true }).done).badCopies, 0, `page at ${block}`);
      await pool.close();
    }
    ok(found >= 4, "pages of the last checkpoint have two copies each");
  }));

test("a scrub finds a bad copy of a label, which is written anew", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    let bad = 0;
    for (const block of [4, 12, SIZE / BLOCK_BYTES - 12, SIZE / BLOCK_BYTES - 4]) {
      const { pool } = await open(
        reactor,
        spoil(image, block * BLOCK_BYTES + 3000, (byte) => byte ^ 1),
      );
      const { badCopies } = await pool.scrub().done;
      await pool.parts.checkpointer.run("in use");
      strictEqual((await pool.scrub({ restart: true }).done).badCopies, 0);
      bad += badCopies;
      await pool.close();
    }
    ok(bad >= 2, "the import writes one of the two slots anew, the other one is left");
  }));

test("a scrub discards all free space when it is asked to, and nothing else", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image, content } = await makeImage(reactor);
    // What a crash has left in free space.
    const left = new Map(image);
    const garbage = Array.from({ length: 2000 }, (_, index) => 4096 + index);
    for (const block of garbage) left.set(block, new Uint8Array(BLOCK_BYTES).fill(7));
    const { pool, disk } = await open(reactor, left);
    await pool.createVolume({ name: "w", sizeBytes: content.length });
    const device = new PromiseDevice(await pool.openVolume("w", { stageName: "w" }));
    // While it is at it, others write: they wait for space that is held, and get it.
    const scrub = pool.scrub({ trim: true });
    await device.writeAt(0, Uint8Array.from(content));
    const { state, trimmedBytes } = await scrub.done;
    deepStrictEqual([state, trimmedBytes > SIZE / 2], ["finished", true]);
    deepStrictEqual(await device.readAt(0, content.length), content);
    await device.close();
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    strictEqual((await pool.scrub({ restart: true }).done).damagedCount, 0);
    const after = disk.image();
    const kept = garbage.filter((block) => after.get(block)?.every((byte) => byte === 7) === true);
    // But for the chunks that pages and data come out of next.
    ok(kept.length <= 3 * 256, `${kept.length} blocks were not discarded`);
    await pool.close();
  }));

test("a scrub pauses, goes on in another process where it was, and keeps to its rate", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const first = await open(reactor, image);
    const startMs = reactor.clock.nowMs();
    const scrub = first.pool.scrub({ bytesPerSecond: MIB });
    await sleepOn(reactor, 1500);
    await scrub.pause();
    strictEqual(scrub.progress.state, "paused");
    const { doneBytes } = scrub.progress;
    ok(doneBytes > MIB && doneBytes < 2.5 * MIB, `${doneBytes} bytes in 1.5 seconds`);
    await sleepOn(reactor, 1000);
    strictEqual(scrub.progress.doneBytes, doneBytes);
    await first.pool.close();
    strictEqual((await scrub.done).state, "paused");
    const second = await open(reactor, first.disk.image());
    const { state, doneBytes: kept } = second.pool.keptScrub ?? { state: "", doneBytes: 0 };
    deepStrictEqual([state, kept >= doneBytes], ["paused", true]);
    const rest = await second.pool.scrub({ bytesPerSecond: 100 * MIB }).done;
    strictEqual(rest.state, "finished");
    ok(rest.doneBytes < 1.5 * BLOCKS * BLOCK_BYTES, "it has not begun anew");
    ok(reactor.clock.nowMs() - startMs > 2500);
    strictEqual(second.pool.keptScrub, null);
    await second.pool.close();
  }));

test("a volume that is deleted under a scrub does not disturb it", () =>
  withReactor("fake", async ({ reactor }) => {
    const { image } = await makeImage(reactor);
    const { pool } = await open(reactor, image);
    const scrub = pool.scrub({ bytesPerSecond: MIB });
    await sleepOn(reactor, 500);
    await pool.deleteVolume("v");
    const { state, damagedCount } = await scrub.done;
    deepStrictEqual([state, damagedCount], ["finished", 0]);
    await rejects(pool.openVolume("v", { stageName: "v" }), { code: "volume-not-found" });
    await pool.close();
  }));
