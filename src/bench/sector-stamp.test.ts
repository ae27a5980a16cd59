// Tests of SectorStamp: what is written is found good, and whatever else is found is named.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ANY_GENERATION, SECTOR_BYTES, SectorStamp } from "./sector-stamp.ts";

const WORDS = SECTOR_BYTES / 4;
const GIB = 2 ** 30;
const SEED = 2 ** 40 + 12_345;

const anySeed = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const anyOffset = fc
  .integer({ min: 0, max: Math.floor(Number.MAX_SAFE_INTEGER / SECTOR_BYTES) - 16 })
  .map((sector) => sector * SECTOR_BYTES);
const anyGeneration = fc.integer({ min: 0, max: 2 ** 31 - 1 });

function stamped(seed: number, offset: number, generation: number, sectors = 1): Int32Array {
  const words = new Int32Array(WORDS * sectors);
  new SectorStamp(seed).write(words, 0, words.byteLength, { offset, generation });
  return words;
}

test("what is written is good, in its place and generation, and in no other", () => {
  fc.assert(
    fc.property(anySeed, anyOffset, anyGeneration, (seed, offset, generation) => {
      const stamp = new SectorStamp(seed);
      const words = stamped(seed, offset, generation, 3);
      const bad = (place: { offset: number; generation: number }): number =>
        stamp.countBad(words, 0, words.byteLength, place);
      strictEqual(bad({ offset, generation }), 0);
      strictEqual(bad({ offset, generation: ANY_GENERATION }), 0);
      strictEqual(bad({ offset, generation: generation ^ 1 }), 3);
      strictEqual(bad({ offset: offset + SECTOR_BYTES, generation }), 3);
      strictEqual(stamp.commonGeneration(words, 0, words.byteLength), generation);
      strictEqual(
        new SectorStamp(seed === 0 ? 1 : seed - 1).examine(words, 0, {
          offset,
          generation,
        })?.kind,
        "other-seed",
      );
    }),
  );
});

test("every single bit counts, in every generation asked for", () => {
  const place = { offset: 5 * GIB, generation: 3 };
  const stamp = new SectorStamp(SEED);
  const words = stamped(SEED, place.offset, place.generation);
  for (let bit = 0; bit < SECTOR_BYTES * 8; bit++) {
    const at = bit >> 5;
    words[at] = (words[at] as number) ^ (1 << (bit & 31));
    strictEqual(stamp.countBad(words, 0, SECTOR_BYTES, place), 1, `bit ${bit}`);
    const whatever = { ...place, generation: ANY_GENERATION };
    strictEqual(
      stamp.countBad(words, 0, SECTOR_BYTES, whatever),
      1,
      `bit ${bit} of any generation`,
    );
    words[at] = (words[at] as number) ^ (1 << (bit & 31));
  }
  strictEqual(stamp.countBad(words, 0, SECTOR_BYTES, place), 0);
});

test("one bad sector among good ones is the one that is examined as bad", () => {
  const words = stamped(SEED, GIB, 0, 8);
  words[5 * WORDS + 100] = 1;
  const stamp = new SectorStamp(SEED);
  strictEqual(stamp.countBad(words, 0, words.byteLength, { offset: GIB, generation: 0 }), 1);
  const kinds = Array.from({ length: 8 }, (_, sector) => {
    const place = { offset: GIB + sector * SECTOR_BYTES, generation: 0 };
    return stamp.examine(words, sector * WORDS, place)?.kind ?? null;
  });
  deepStrictEqual(kinds, [null, null, null, null, null, "corrupt", null, null]);
});

test("examine names what is there", () => {
  const stamp = new SectorStamp(SEED);
  const place = { offset: GIB, generation: 7 };
  const look = (words: Int32Array): unknown => stamp.examine(words, 0, place);
  deepStrictEqual(look(stamped(SEED, GIB, 6)), {
    kind: "stale",
    found: { seed: SEED, offset: GIB, generation: 6 },
  });
  deepStrictEqual(look(stamped(SEED, 3 * GIB, 7)), {
    kind: "misplaced",
    found: { seed: SEED, offset: 3 * GIB, generation: 7 },
  });
  deepStrictEqual(look(stamped(2, GIB, 7)), {
    kind: "other-seed",
    found: { seed: 2, offset: GIB, generation: 7 },
  });
  deepStrictEqual(look(new Int32Array(WORDS)), { kind: "zeroes" });
  const foreign = new Int32Array(WORDS).fill(0x01020304);
  deepStrictEqual(look(foreign), { kind: "foreign", beginsWith: "04030201".repeat(4) });
  const corrupt = stamped(SEED, GIB, 7);
  const bytes = new Uint8Array(corrupt.buffer);
  const before = bytes[300] as number;
  bytes[300] = before ^ 0x10;
  bytes[301] = (bytes[301] as number) ^ 1;
  deepStrictEqual(look(corrupt), {
    kind: "corrupt",
    differingBytes: 2,
    firstByte: 300,
    expectedByte: before,
    foundByte: before ^ 0x10,
  });
});

test("sectors of two generations have none in common", () => {
  const words = stamped(SEED, 0, 4, 2);
  words.set(stamped(SEED, SECTOR_BYTES, 5), WORDS);
  const stamp = new SectorStamp(SEED);
  strictEqual(stamp.commonGeneration(words, 0, words.byteLength), ANY_GENERATION);
  strictEqual(
    stamp.countBad(words, 0, words.byteLength, { offset: 0, generation: ANY_GENERATION }),
    0,
  );
});

test("no two of many stamps are alike in any half", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 4; seed++) {
    for (let sector = 0; sector < 32; sector++) {
      for (let generation = 0; generation < 4; generation++) {
        const words = stamped(seed, sector * SECTOR_BYTES, generation);
        seen.add(words.subarray(WORDS / 2).join());
      }
    }
  }
  ok(seen.size === 4 * 32 * 4, `${seen.size} different ones`);
});
