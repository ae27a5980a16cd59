/**
 * Pointers to pages: six words, in labels, object records and pages above the leaves. Pure.
 *
 * | word | low 16 bits .. | |
 * |---|---|---|
 * | 0, 1 | A low, B low | addresses of the two copies |
 * | 2 | A high | B high << 16 |
 * | 3, 4 | generation low | generation high, level << 16 |
 * | 5 | epoch | in which the page was made |
 *
 * spec: docs/internals/pool-format.md, "Pointers and pages"
 */

import { assert } from "../../util/assert.ts";
import type { Address } from "../pool-layout.ts";

const UINT16_RANGE = 2 ** 16;
const UINT32_RANGE = 2 ** 32;
const GENERATION_RANGE = 2 ** 48;

/** Where a tree begins; owned and changed by its PageTree. All zero: an empty tree. */
export interface RootPointer {
  a: Address;
  b: Address;
  generation: number;
  level: number;
  epoch: number;
}

/** Of an empty tree. */
export function emptyPointer(): RootPointer {
  return { a: 0, b: 0, generation: 0, level: 0, epoch: 0 };
}

export function copyPointer(from: RootPointer, into: RootPointer): void {
  into.a = from.a;
  into.b = from.b;
  into.generation = from.generation;
  into.level = from.level;
  into.epoch = from.epoch;
}

export function readPointer(view: DataView, at: number, into: RootPointer): void {
  const high = view.getUint32(at + 8, true);
  const last = view.getUint32(at + 16, true);
  into.a = view.getUint32(at, true) + (high & 0xffff) * UINT32_RANGE;
  into.b = view.getUint32(at + 4, true) + (high >>> 16) * UINT32_RANGE;
  into.generation = view.getUint32(at + 12, true) + (last & 0xffff) * UINT32_RANGE;
  into.level = last >>> 16;
  into.epoch = view.getUint32(at + 20, true);
}

export function writePointer(view: DataView, at: number, pointer: RootPointer): void {
  const { a, b, generation, level } = pointer;
  assert(generation >= 0 && generation < GENERATION_RANGE, "a generation has 48 bits");
  assert(level >= 0 && level < UINT16_RANGE, "a level has 16 bits");
  view.setUint32(at, a % UINT32_RANGE, true);
  view.setUint32(at + 4, b % UINT32_RANGE, true);
  view.setUint32(at + 8, highs(a, b), true);
  view.setUint32(at + 12, generation % UINT32_RANGE, true);
  view.setUint32(at + 16, Math.floor(generation / UINT32_RANGE) + level * UINT16_RANGE, true);
  view.setUint32(at + 20, pointer.epoch, true);
}

/** As `readPointer`, of the words from `at` on. Hot path. */
export function readPointerWords(words: Uint32Array, at: number, into: RootPointer): void {
  const high = words[at + 2] as number;
  const last = words[at + 4] as number;
  into.a = (words[at] as number) + (high & 0xffff) * UINT32_RANGE;
  into.b = (words[at + 1] as number) + (high >>> 16) * UINT32_RANGE;
  into.generation = (words[at + 3] as number) + (last & 0xffff) * UINT32_RANGE;
  into.level = last >>> 16;
  into.epoch = words[at + 5] as number;
}

/** As `writePointer`, to the words from `at` on. Hot path. */
export function writePointerWords(words: Uint32Array, at: number, pointer: RootPointer): void {
  const { a, b, generation } = pointer;
  words[at] = a % UINT32_RANGE;
  words[at + 1] = b % UINT32_RANGE;
  words[at + 2] = highs(a, b);
  words[at + 3] = generation % UINT32_RANGE;
  words[at + 4] = Math.floor(generation / UINT32_RANGE) + pointer.level * UINT16_RANGE;
  words[at + 5] = pointer.epoch;
}

function highs(a: Address, b: Address): number {
  return Math.floor(a / UINT32_RANGE) + Math.floor(b / UINT32_RANGE) * UINT16_RANGE;
}
