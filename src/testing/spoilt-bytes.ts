/** Garbage for parsers: noise, valid bytes with some changed, valid parts in any order. */

import type { Prng } from "../util/prng.ts";

const NOISE_BYTES_MAX = 3000;
const CHANGES_MAX = 6;

export function noise(prng: Prng): Buffer {
  const bytes = Buffer.alloc(1 + prng.below(NOISE_BYTES_MAX));
  prng.fill(bytes);
  return bytes;
}

/** A copy; the values are those at which mistakes show. */
export function changed(valid: Buffer, prng: Prng): Buffer {
  const bytes = Buffer.from(valid);
  const count = 1 + prng.below(CHANGES_MAX);
  for (let index = 0; index < count; index += 1) {
    const at = prng.below(bytes.length);
    bytes[at] = prng.pick([0, 1, 0x7f, 0x80, 0xff, prng.below(256)]);
  }
  return bytes;
}

export function shuffled(parts: readonly Buffer[], prng: Prng): Buffer[] {
  const left = [...parts];
  const result: Buffer[] = [];
  while (left.length > 0) {
    result.push(...left.splice(prng.below(left.length), 1));
  }
  return result;
}
