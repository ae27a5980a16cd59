// Disks of pools whose bytes were changed by nobody of ours: one byte anywhere is found and costs
// at most the block that it is in; whatever is there, no read gives what was never written.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { withReactor } from "../../src/reactor/test-reactor.ts";
import type { DiskImage } from "../../src/testing/crash-disk.ts";
import { spoil } from "../../src/testing/crash-disk.ts";
import { makePoolImages, type PoolImages, tryImages } from "../../src/testing/pool-images.ts";
import { Prng } from "../../src/util/prng.ts";

const IS_LONG = process.env.PENSTOCK_LONG === "1";
const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;
const AREA_BLOCKS = 16;
/** Everyday runs look at one byte of so many, at other places in each region. */
const STRIDE = IS_LONG ? 1 : 1997;
const DATA_STRIDE = 97;
const GARBAGE_ROUNDS = IS_LONG ? 2000 : 30;
const SIZES = [32 * MIB];
/** What an import may say of a disk full of garbage. */
const REFUSALS = [
  "log-damaged",
  "label-damaged",
  "not-a-pool",
  "pool-newer",
  "pool-damaged",
  "pool-faulted",
];

/** Blocks of the first disk by what they are. */
interface Regions {
  readonly labels: number[];
  readonly ring: number[];
  readonly pages: number[];
  readonly data: number[];
}

function regionsOf({ disks, sizesBytes }: PoolImages): Regions {
  const [image, sizeBytes] = [disks[0] as DiskImage, sizesBytes[0] as number];
  const regions: Regions = { labels: [], ring: [], pages: [], data: [] };
  const back = sizeBytes / BLOCK_BYTES - AREA_BLOCKS;
  const ringEnd = AREA_BLOCKS + MIB / BLOCK_BYTES;
  for (const [block, bytes] of [...image].sort(([a], [b]) => a - b)) {
    if (bytes.every((byte) => byte === 0)) continue;
    const magic = Buffer.from(bytes.subarray(0, 4)).toString("latin1");
    if (block < AREA_BLOCKS || block >= back) regions.labels.push(block);
    else if (magic === "PGSP") regions.pages.push(block);
    else if (block < ringEnd) regions.ring.push(block);
    else regions.data.push(block);
  }
  return regions;
}

function withByte(images: PoolImages, offset: number): PoolImages {
  const [first, ...others] = images.disks as [DiskImage, ...DiskImage[]];
  const bit = 1 << (offset % 8);
  return { ...images, disks: [spoil(first, offset, (byte) => byte ^ bit), ...others] };
}

function withGarbage(images: PoolImages, block: number, random: Prng): PoolImages {
  const [first, ...others] = images.disks as [DiskImage, ...DiskImage[]];
  const bytes = new Uint8Array(BLOCK_BYTES);
  random.fill(bytes);
  return { ...images, disks: [new Map(first).set(block, bytes), ...others] };
}

function* offsetsIn(blocks: readonly number[], stride: number): Iterable<number> {
  let skip = 0;
  for (const block of blocks) {
    let at = skip;
    for (; at < BLOCK_BYTES; at += stride) yield block * BLOCK_BYTES + at;
    skip = at - BLOCK_BYTES;
  }
}

for (const end of ["kill", "export"] as const) {
  test(`one changed byte of labels, log or pages costs nothing, after ${end}`, () =>
    withReactor("fake", async ({ reactor }) => {
      const images = await makePoolImages(reactor, SIZES, end);
      const { labels, ring, pages } = regionsOf(images);
      ok(labels.length >= 4 && ring.length > 4 && pages.length > 8, "all regions are there");
      for (const [name, blocks] of Object.entries({ labels, ring, pages })) {
        for (const offset of offsetsIn(blocks, STRIDE)) {
          const spoilt = withByte(images, offset);
          const { refused, lost, wrong, gone } = await tryImages(reactor, spoilt, "before");
          deepStrictEqual({ refused, lost, wrong, gone }, WELL, `${name}, byte ${offset}`);
        }
      }
    }));
}

const WELL = { refused: null, lost: [], wrong: [], gone: [] };

test("one changed byte of data costs its block, and nothing else", () =>
  withReactor("fake", async ({ reactor }) => {
    const images = await makePoolImages(reactor, SIZES, "kill");
    const { data } = regionsOf(images);
    let found = 0;
    for (const offset of offsetsIn(data, IS_LONG ? DATA_STRIDE : DATA_STRIDE * 301)) {
      const outcome = await tryImages(reactor, withByte(images, offset), "before");
      strictEqual(outcome.refused, null);
      deepStrictEqual([outcome.wrong, outcome.gone], [[], []], `byte ${offset}`);
      ok(outcome.lost.length <= 1, `byte ${offset} costs ${outcome.lost}`);
      found += outcome.lost.length;
      const events = outcome.environment.events.filter(({ code }) => code === "pool-damage-found");
      strictEqual(events.length, outcome.lost.length, "each lost block is told once");
    }
    ok(found > 0, "some of the blocks are mapped");
  }));

test("after a power loss, changed data of the tail is dropped and named, or a media error", () =>
  withReactor("fake", async ({ reactor }) => {
    const images = await makePoolImages(reactor, SIZES, "kill");
    const { data } = regionsOf(images);
    let dropped = 0;
    for (const offset of offsetsIn(data, IS_LONG ? DATA_STRIDE * 10 : DATA_STRIDE * 301)) {
      const outcome = await tryImages(reactor, withByte(images, offset), "after");
      strictEqual(outcome.refused, null);
      const named = outcome.findings?.recordsDropped.length ?? 0;
      ok(outcome.lost.length + outcome.wrong.length <= 1, "one byte is in one block");
      ok(outcome.wrong.length <= named, `byte ${offset}: ${outcome.wrong} is not named`);
      dropped += named;
    }
    ok(dropped > 0, "some of the blocks are the tail's");
  }));

test("garbage in place of blocks gives no wrong data: right, media-error, or no import", () =>
  withReactor("fake", async ({ reactor, seed }) => {
    const random = new Prng(seed);
    const images = await makePoolImages(reactor, SIZES, "kill");
    const regions = regionsOf(images);
    const frames = (await tryImages(reactor, images, "before")).findings?.framesReplayed ?? 0;
    for (let round = 0; round < GARBAGE_ROUNDS; round++) {
      const [name, blocks] = Object.entries(regions)[random.below(4)] as [string, number[]];
      let spoilt = images;
      for (let count = 1 + random.below(6); count > 0; count--) {
        spoilt = withGarbage(spoilt, blocks[random.below(blocks.length)] as number, random);
      }
      const force = random.chance(0.5);
      const outcome = await tryImages(reactor, spoilt, "before", { force });
      if (outcome.refused !== null) {
        ok(REFUSALS.includes(outcome.refused), `${name}: ${outcome.refused}`);
        continue;
      }
      // Without a part of its log it has an older state, and says so; labels go back at most one.
      // Where both copies of its last frames are gone, that no flush has covered, nothing tells of
      // them: the log ends before them.
      const { logLost, framesReplayed } = outcome.findings ?? { logLost: null, framesReplayed: 0 };
      const isShorter = name === "ring" && framesReplayed < frames;
      const isOlder = logLost !== null || isShorter;
      if (!isOlder) deepStrictEqual(outcome.wrong, [], `garbage in ${name}, round ${round}`);
      if (outcome.gone.length === 0) continue;
      ok(isOlder || outcome.environment.events.length > 0, `${outcome.gone} are gone silently`);
    }
  }));
