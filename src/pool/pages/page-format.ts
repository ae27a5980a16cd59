/**
 * The codec of pages: header, checksum and what makes a page right. Pure.
 *
 * | word | field |
 * |---|---|
 * | 0 | magic "PGSP" |
 * | 1 | CRC32C of the 4096 bytes |
 * | 2, 3 | first half of the pool's uuid |
 * | 4..6 | A low, B low, A high and B high << 16 |
 * | 7, 8 | generation low; generation high, level << 16, kind << 24 |
 * | 9, 10 | epoch, tree |
 * | 11 | entries, words per entry << 16 |
 * | 12, 13 | smallest and largest key that may be in it |
 * | 14, 15 | reserved |
 * | 16.. | entries |
 *
 * spec: docs/internals/pool-format.md, "Pointers and pages"
 */

import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import { getU48, putU48, putHex64, getHex64 } from "../fixed-record.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";

export const PAGE_WORDS = BLOCK_BYTES / 4;
/** Entries begin here. */
export const HEADER_WORDS = 16;
export const ENTRY_AREA_WORDS = PAGE_WORDS - HEADER_WORDS;

/** Words of the header that trees look at. */
export const HeaderWord = { epoch: 9, count: 11, firstKey: 12, lastKey: 13 } as const;

export const PageKind = {
  mapping: 1,
  space: 2,
  objects: 3,
  properties: 4,
} as const;
export type PageKind = (typeof PageKind)[keyof typeof PageKind];

/** Of all pages above the leaves: key and pointer. */
export const INNER_ENTRY_WORDS = 7;

export interface PageHeader {
  kind: number;
  level: number;
  tree: number;
  a: Address;
  b: Address;
  generation: number;
  epoch: number;
  count: number;
  entryWords: number;
  firstKey: number;
  lastKey: number;
}

export type PageProblem =
  | "magic"
  | "crc"
  | "pool"
  | "address"
  | "generation"
  | "kind"
  | "tree"
  | "count"
  | "order"
  | "bounds";

/** A copy of a page that was not what it should be. */
export interface PageDamage {
  readonly kind: number;
  readonly tree: number;
  readonly address: Address;
  readonly problem: PageProblem | "unreadable";
  /** Both copies are bad. */
  readonly isLost: boolean;
}

const MAGIC = 0x50534750; // "PGSP" as a little-endian word
const CRC_AT = 4;
const EMPTY_CRC = new Uint8Array(4);

/** Entries of so many words that a page holds. */
export function entriesMax(entryWords: number): number {
  assert(entryWords >= 1 && entryWords <= ENTRY_AREA_WORDS, "an entry fits into a page");
  return Math.floor(ENTRY_AREA_WORDS / entryWords);
}

/** Writes the header, all but the checksum. `pool` is the first 16 hex digits of its uuid. */
export function writeHeader(view: DataView, at: number, header: PageHeader, pool: string): void {
  view.setUint32(at, MAGIC, true);
  view.setUint32(at + CRC_AT, 0, true);
  putHex64(view, at + 8, pool);
  writeAddresses(view, at, header.a, header.b);
  putU48(view, at + 28, header.generation);
  view.setUint8(at + 34, header.level);
  view.setUint8(at + 35, header.kind);
  view.setUint32(at + 36, header.epoch, true);
  view.setUint32(at + 40, header.tree, true);
  view.setUint16(at + 44, header.count, true);
  view.setUint16(at + 46, header.entryWords, true);
  view.setUint32(at + 48, header.firstKey, true);
  view.setUint32(at + 52, header.lastKey, true);
  view.setUint32(at + 56, 0, true);
  view.setUint32(at + 60, 0, true);
}

export function readHeader(view: DataView, at: number): PageHeader {
  const highs = view.getUint32(at + 24, true);
  return {
    kind: view.getUint8(at + 35),
    level: view.getUint8(at + 34),
    tree: view.getUint32(at + 40, true),
    a: view.getUint32(at + 16, true) + (highs & 0xffff) * 2 ** 32,
    b: view.getUint32(at + 20, true) + (highs >>> 16) * 2 ** 32,
    generation: getU48(view, at + 28),
    epoch: view.getUint32(at + 36, true),
    count: view.getUint16(at + 44, true),
    entryWords: view.getUint16(at + 46, true),
    firstKey: view.getUint32(at + 48, true),
    lastKey: view.getUint32(at + 52, true),
  };
}

function writeAddresses(view: DataView, at: number, a: Address, b: Address): void {
  const highs = Math.floor(a / 2 ** 32) + Math.floor(b / 2 ** 32) * 2 ** 16;
  view.setUint32(at + 16, a % 2 ** 32, true);
  view.setUint32(at + 20, b % 2 ** 32, true);
  view.setUint32(at + 24, highs, true);
}

/** Puts the checksum in, last of all. */
export function sealPage(view: DataView, at: number): void {
  view.setUint32(at + CRC_AT, crcOf(view, at), true);
}

/**
 * What is wrong with the page at `at`, or null. Compared with `expected`: addresses, generation,
 * kind, level, tree, words per entry; its keys must lie within the bounds expected, in order.
 */
export function checkPage(
  view: DataView,
  at: number,
  expected: PageHeader,
  pool: string,
): PageProblem | null {
  if (view.getUint32(at, true) !== MAGIC) return "magic";
  if (view.getUint32(at + CRC_AT, true) !== crcOf(view, at)) return "crc";
  if (getHex64(view, at + 8) !== pool) return "pool";
  const found = readHeader(view, at);
  if (found.a !== expected.a || found.b !== expected.b) return "address";
  if (found.generation !== expected.generation) return "generation";
  if (found.kind !== expected.kind || found.level !== expected.level) return "kind";
  if (found.tree !== expected.tree || found.epoch !== expected.epoch) return "tree";
  if (found.entryWords !== expected.entryWords) return "count";
  // An empty page is not kept: its entry above goes with it.
  if (found.count === 0 || found.count > entriesMax(found.entryWords)) return "count";
  if (found.firstKey < expected.firstKey || found.lastKey > expected.lastKey) return "bounds";
  return checkKeys(view, at, found);
}

function checkKeys(view: DataView, at: number, header: PageHeader): PageProblem | null {
  const stride = header.entryWords * 4;
  let previous = -1;
  for (let index = 0; index < header.count; index++) {
    const key = view.getUint32(at + HEADER_WORDS * 4 + index * stride, true);
    if (key <= previous) return "order";
    previous = key;
    if (key < header.firstKey || key > header.lastKey) return "bounds";
  }
  return null;
}

/** The checksum's own field counts as zero. */
function crcOf(view: DataView, at: number): number {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, BLOCK_BYTES);
  const head = crc32c(bytes, 0, CRC_AT);
  const gap = crc32c(EMPTY_CRC, 0, EMPTY_CRC.length, head);
  return crc32c(bytes, CRC_AT + 4, BLOCK_BYTES - CRC_AT - 4, gap);
}
