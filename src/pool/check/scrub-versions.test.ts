// Scrubs and walks of families: each block once, where it was made; healed in all who have it.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { CrashDisk, type DiskImage, spoil } from "../../testing/crash-disk.ts";
import { openForTest, poolEnvironment } from "../../testing/pool-rig.ts";
import { contentOf, stateOf, writeTags } from "../../testing/version-family.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { Pool } from "../pool.ts";
import { BLOCK_BYTES, blockOf } from "../pool-layout.ts";
import { addressOfEntry } from "../volumes/mapping-entry.ts";
import { TreeStep } from "../volumes/tree-step.ts";
import { MappingWord } from "../volumes/volume-state.ts";
import { walkPool } from "./pool-walk.ts";

const MIB = 2 ** 20;
const BLOCKS = 700;

function diskOf(reactor: Reactor, image?: DiskImage): CrashDisk {
  const options = { name: "disk", sizeBytes: 32 * MIB, instanceId: uuidOfName("disk") };
  return new CrashDisk(reactor, image === undefined ? options : { ...options, image });
}

/** A volume, a snapshot of it, a clone of that, and what both have of their own. */
async function family(reactor: Reactor): Promise<{ pool: Pool; disk: CrashDisk }> {
  const disk = diskOf(reactor);
  const environment = poolEnvironment(reactor, "family");
  const pool = await Pool.create(environment, [disk], { name: "p", cacheBytes: MIB });
  await pool.createVolume({ name: "v", sizeBytes: BLOCKS * BLOCK_BYTES });
  const tags = Array.from({ length: BLOCKS }, (_, index) => index + 1);
  await writeTags(pool, "v", [{ first: 0, tags }]);
  await pool.createSnapshot("v", "s");
  await pool.cloneSnapshot("v@s", { name: "c" });
  await writeTags(pool, "v", [{ first: 10, tags: [1010, 1011] }]);
  await writeTags(pool, "c", [{ first: 20, tags: [2020] }]);
  return { pool, disk };
}

async function placeOf(pool: Pool, name: string, key: number): Promise<number> {
  const step = new TreeStep(pool.parts.environment.reactor);
  const at = await step.find(stateOf(pool, name).tree, key);
  return blockOf(addressOfEntry(pool.parts.cache.words, at)) * BLOCK_BYTES;
}

test("a scrub reads each block of a family once", () =>
  withReactor("fake", async ({ reactor }) => {
    const { pool } = await family(reactor);
    await pool.parts.checkpointer.run("in use");
    const { doneBytes, damagedCount, badCopies } = await pool.scrub().done;
    strictEqual(damagedCount + badCopies, 0);
    const { dataBlocks, pageBlocks } = pool.parts.space;
    strictEqual(dataBlocks, BLOCKS + 3);
    ok(doneBytes >= dataBlocks * BLOCK_BYTES);
    ok(doneBytes <= (dataBlocks + pageBlocks) * BLOCK_BYTES, `${doneBytes} bytes`);
    await pool.close();
  }));

for (const isGhost of [false, true]) {
  const of = isGhost ? "deleted snapshot that others need" : "snapshot";
  test(`a damaged block of a ${of} is found once, and healed in all that have it`, () =>
    withReactor("fake", async ({ reactor }) => {
      const { pool: first, disk } = await family(reactor);
      if (isGhost) await first.deleteVolume("v@s");
      const places = [await placeOf(first, "c", 300), await placeOf(first, "c", 10)];
      await first.close();
      let image = disk.image();
      for (const place of places) image = spoil(image, place + 7, (byte) => byte ^ 1);
      const environment = poolEnvironment(reactor, "again");
      const disks = [diskOf(reactor, image)];
      const pool = await Pool.import(environment, disks, { cacheBytes: MIB });
      const heal = {
        read: async (_uuid: string, offset: number, into: Uint8Array) => {
          new Uint32Array(into.buffer, into.byteOffset, BLOCK_BYTES / 4).fill(
            offset / BLOCK_BYTES + 1,
          );
          return true;
        },
      };
      const { damaged } = await pool.scrub({ heal }).done;
      const found = damaged
        .map(({ volume, offset, healed }) => `${volume} ${offset / BLOCK_BYTES} ${healed}`)
        .sort();
      // v has block 10 anew since the snapshot.
      const healed = ["c 10 true", "c 300 true", "v 300 true"];
      deepStrictEqual(found, [...healed, "v@s 10 false", "v@s 300 false"]);
      deepStrictEqual((await walkPool(pool.parts)).problems, []);
      const clone = await contentOf(pool, stateOf(pool, "c"));
      deepStrictEqual([clone.get(10), clone.get(20), clone.get(300)], [11, 2020, 301]);
      const device = await openForTest(pool, "v");
      const bytes = await device.readAt(300 * BLOCK_BYTES, BLOCK_BYTES);
      strictEqual(bytes[0], 301 & 0xff);
      await device.close();
      await pool.close();
    }));
}

test("a walk finds what a version takes for its own and its origin has, and the other way", () =>
  withReactor("fake", async ({ reactor }) => {
    const { pool } = await family(reactor);
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    const { sharing } = stateOf(pool, "c").tree;
    const { through } = sharing;
    sharing.through = 0;
    const twice = (await walkPool(pool.parts)).problems.join("\n");
    match(twice, /block \d+ of c: block \d+ of disk 0 is used twice/);
    sharing.through = 1000;
    const absent = (await walkPool(pool.parts)).problems.join("\n");
    match(absent, /volume c: the page at \d+ is of epoch \d+, and not in v@s/);
    sharing.through = through;
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    await pool.close();
  }));

test("a walk finds a block that a version has in another place than its origin", () =>
  withReactor("fake", async ({ reactor }) => {
    const { pool } = await family(reactor);
    await walkPool(pool.parts);
    const { words } = pool.parts.cache;
    const { tree } = stateOf(pool, "c");
    const at = tree.find(21);
    words[at + MappingWord.addressLow] = words[tree.find(23) + MappingWord.addressLow] as number;
    const { problems } = await walkPool(pool.parts);
    match(problems.join("\n"), /volume c: block 21 is of epoch \d+, and not in v@s/);
  }));
