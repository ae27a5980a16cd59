/**
 * A seeded pseudo-random generator for tests, the simulator and jitter: never for secrets.
 *
 * sfc32 (Chris Doty-Humphrey, PractRand; public domain): 128 bits of state, four additions and
 * three shifts a number, no BigInt. The owner of a generator is whoever made it; hand each actor
 * its own `fork`, so that adding draws in one actor does not change what the others see.
 */

import { assert } from "./assert.ts";

const UINT32_RANGE = 0x1_0000_0000;
const UINT21_RANGE = 0x20_0000;
/** The first draws after seeding are correlated with the seed; PractRand drops 12 or more. */
const WARM_UP_DRAWS = 16;

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /**
   * The same seed gives the same numbers for ever: seeds of fixed bugs stay in the tree.
   * A number must be an integer within 2^53; a string may be anything.
   */
  constructor(seed: number | string) {
    assert(typeof seed === "string" || Number.isSafeInteger(seed), `bad seed: ${seed}`);
    const text = String(seed);
    this.#a = hash32(text, 0x811c_9dc5);
    this.#b = hash32(text, 0x9e37_79b9);
    this.#c = hash32(text, 0x85eb_ca6b);
    for (let draw = 0; draw < WARM_UP_DRAWS; draw += 1) {
      this.nextUint32();
    }
  }

  /** Uniform integer in [0, 2^32). */
  nextUint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** Uniform number in [0, 1), with all 53 bits of the mantissa. */
  float(): number {
    const high = this.nextUint32();
    const low = this.nextUint32() >>> 11;
    return (high * UINT21_RANGE + low) / (UINT32_RANGE * UINT21_RANGE);
  }

  /** Uniform integer in [0, limit); `limit` is an integer from 1 to 2^53 - 1. */
  below(limit: number): number {
    assert(Number.isSafeInteger(limit) && limit >= 1, `bad limit: ${limit}`);
    if (limit > UINT32_RANGE) {
      return Math.floor(this.float() * limit);
    }
    // Rejection keeps it uniform: draws in the last, incomplete stretch of 2^32 are drawn again.
    const usable = UINT32_RANGE - (UINT32_RANGE % limit);
    let draw = this.nextUint32();
    while (draw >= usable) {
      draw = this.nextUint32();
    }
    return draw % limit;
  }

  /** True with the given probability; 0 never, 1 always. Always draws the same amount. */
  chance(probability: number): boolean {
    assert(probability >= 0 && probability <= 1, `bad probability: ${probability}`);
    return this.float() < probability;
  }

  /** One element of a list that is not empty. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, "pick from an empty list");
    // The index is within the list, so the element is a T even where T includes undefined.
    return items[this.below(items.length)] as T;
  }

  /**
   * An independent generator named by `label`. It depends on this generator's state, so two forks
   * with one label taken one after the other differ; taking it costs this generator two draws.
   */
  fork(label: string): Prng {
    const high = this.nextUint32();
    const low = this.nextUint32();
    return new Prng(`${high}:${low}:${label}`);
  }

  /** Overwrites all of `bytes`; the caller keeps owning the buffer. */
  fill(bytes: Uint8Array): void {
    const wholeWords = bytes.length - (bytes.length % 4);
    for (let index = 0; index < wholeWords; index += 4) {
      const word = this.nextUint32();
      bytes[index] = word;
      bytes[index + 1] = word >>> 8;
      bytes[index + 2] = word >>> 16;
      bytes[index + 3] = word >>> 24;
    }
    if (wholeWords < bytes.length) {
      let word = this.nextUint32();
      for (let index = wholeWords; index < bytes.length; index += 1) {
        bytes[index] = word;
        word >>>= 8;
      }
    }
  }
}

/** FNV-1a over UTF-16 code units with a final mix, started from one of several bases. */
function hash32(text: string, basis: number): number {
  let hash = basis;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x0100_0193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
