/**
 * Sequences of blocks: where the next operation goes. Each belongs to one load.
 */

import type { Prng } from "../util/prng.ts";
import type { BlockMap } from "./block-map.ts";
import { ANY_GENERATION } from "./sector-stamp.ts";

export interface Sequence {
  /** The next block, from 0 on; -1: there is none any more. Hot path. */
  next(): number;
}

/** In order; from the beginning again, or once. */
export class InOrder implements Sequence {
  #at = 0;
  readonly #blockCount: number;
  readonly #wraps: boolean;

  constructor(blockCount: number, wraps: boolean) {
    this.#blockCount = blockCount;
    this.#wraps = wraps;
  }

  next(): number {
    if (this.#at === this.#blockCount) {
      if (!this.#wraps) return -1;
      this.#at = 0;
    }
    return this.#at++;
  }
}

/** Uniformly at random, for ever. */
export class AtRandom implements Sequence {
  readonly #blockCount: number;
  readonly #prng: Prng;

  constructor(blockCount: number, prng: Prng) {
    this.#blockCount = blockCount;
    this.#prng = prng;
  }

  next(): number {
    return Math.floor(this.#prng.float() * this.#blockCount);
  }
}

/** In order and once, those whose content is known. */
export class KnownOnes implements Sequence {
  #at = 0;
  readonly #blockCount: number;
  readonly #map: BlockMap;

  constructor(blockCount: number, map: BlockMap) {
    this.#blockCount = blockCount;
    this.#map = map;
  }

  next(): number {
    while (this.#at < this.#blockCount) {
      const block = this.#at++;
      if (this.#map.generationOf(block) !== ANY_GENERATION) return block;
    }
    return -1;
  }
}
