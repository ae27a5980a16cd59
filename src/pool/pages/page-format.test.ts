// Tests of the codecs of pages and pointers: what is written is right, every flipped byte is
// found, and every expectation is looked at.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { addressOf, BLOCK_BYTES } from "../pool-layout.ts";
import {
  checkPage,
  entriesMax,
  HEADER_WORDS,
  type PageHeader,
  readHeader,
  sealPage,
  writeHeader,
} from "./page-format.ts";
import {
  emptyPointer,
  readPointer,
  readPointerWords,
  writePointer,
  writePointerWords,
} from "./root-pointer.ts";

const POOL = "0011223344556677";
const HEADER: PageHeader = {
  kind: 1,
  level: 0,
  tree: 77,
  a: addressOf(31, 2 ** 42 - 1),
  b: addressOf(3, 5),
  generation: 2 ** 47 + 9,
  epoch: 4,
  count: 3,
  entryWords: 5,
  firstKey: 10,
  lastKey: 4_294_967_295,
};
const KEYS = [10, 500, 4_294_967_295];

/** A right page at byte 4096 of a larger memory. */
function page(header: PageHeader = HEADER, keys: readonly number[] = KEYS): DataView {
  const view = new DataView(new ArrayBuffer(3 * BLOCK_BYTES));
  writeHeader(view, BLOCK_BYTES, header, POOL);
  for (const [index, key] of keys.entries()) {
    const at = BLOCK_BYTES + (HEADER_WORDS + index * header.entryWords) * 4;
    view.setUint32(at, key, true);
    view.setUint32(at + 4, key ^ 0x5555, true);
  }
  sealPage(view, BLOCK_BYTES);
  return view;
}

test("a page that was sealed is right, and its header comes back", () => {
  const view = page();
  strictEqual(checkPage(view, BLOCK_BYTES, HEADER, POOL), null);
  deepStrictEqual(readHeader(view, BLOCK_BYTES), HEADER);
});

test("every flipped byte is found", () => {
  const view = page();
  for (let at = BLOCK_BYTES; at < 2 * BLOCK_BYTES; at++) {
    view.setUint8(at, view.getUint8(at) ^ 0x10);
    ok(checkPage(view, BLOCK_BYTES, HEADER, POOL) !== null, `byte ${at - BLOCK_BYTES}`);
    view.setUint8(at, view.getUint8(at) ^ 0x10);
  }
  strictEqual(checkPage(view, BLOCK_BYTES, HEADER, POOL), null);
});

test("a page that is another one is not taken for the one expected", () => {
  const view = page();
  const others: readonly [Partial<PageHeader>, string][] = [
    [{ a: 5 }, "address"],
    [{ b: 5 }, "address"],
    [{ generation: 8 }, "generation"],
    [{ kind: 2 }, "kind"],
    [{ level: 1 }, "kind"],
    [{ tree: 78 }, "tree"],
    [{ epoch: 5 }, "tree"],
    [{ entryWords: 6 }, "count"],
    [{ firstKey: 11 }, "bounds"],
    [{ lastKey: 600 }, "bounds"],
  ];
  for (const [other, problem] of others) {
    strictEqual(checkPage(view, BLOCK_BYTES, { ...HEADER, ...other }, POOL), problem);
  }
  strictEqual(checkPage(view, BLOCK_BYTES, HEADER, "ff11223344556677"), "pool");
  strictEqual(checkPage(view, 0, HEADER, POOL), "magic");
});

test("entries out of order, of bounds, or too many are found whatever the checksum says", () => {
  const check = (header: PageHeader, keys: readonly number[]) =>
    checkPage(page(header, keys), BLOCK_BYTES, { ...HEADER, count: 0 }, POOL);
  strictEqual(check(HEADER, [10, 10, 11]), "order");
  strictEqual(check(HEADER, [10, 9, 11]), "order");
  strictEqual(check(HEADER, [9, 10, 11]), "bounds");
  strictEqual(check({ ...HEADER, lastKey: 400 }, [10, 11, 500]), "bounds");
  strictEqual(check({ ...HEADER, count: 0 }, []), "count");
  strictEqual(check({ ...HEADER, count: entriesMax(5) + 1 }, KEYS), "count");
});

test("a page holds as many entries as the format says", () => {
  deepStrictEqual([7, 5, 9, 33, 128, 251, 2].map(entriesMax), [144, 201, 112, 30, 7, 4, 504]);
});

test("pointers come back, in bytes and in words, the same", () => {
  const pointer = {
    a: addressOf(31, 2 ** 42 - 1),
    b: addressOf(30, 2 ** 41 + 3),
    generation: 2 ** 48 - 2,
    level: 3,
    epoch: 2 ** 32 - 1,
  };
  const words = new Uint32Array(8);
  const view = new DataView(words.buffer);
  for (const expected of [pointer, emptyPointer(), { ...pointer, a: 1, b: 2, generation: 1 }]) {
    const [first, second] = [{ ...pointer }, { ...pointer }];
    writePointer(view, 4, expected);
    readPointer(view, 4, first);
    readPointerWords(words, 1, second);
    deepStrictEqual(first, expected);
    deepStrictEqual(second, expected);
    const bytes = words.slice();
    writePointerWords(words, 1, expected);
    deepStrictEqual(words, bytes);
  }
});
