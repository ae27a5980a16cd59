/**
 * ReplacedPages: blocks of pages that have a successor, by the generation in which they got it:
 * they are free when that one's label is durable. Pure.
 */

import type { Address } from "../pool-layout.ts";

export class ReplacedPages {
  /** In all. */
  count = 0;
  /** In the open generation, and in closed ones, oldest first. */
  #open: Address[] = [];
  readonly #closed: { readonly generation: number; readonly blocks: readonly Address[] }[] = [];

  add(address: Address): void {
    this.#open.push(address);
    this.count++;
  }

  /** Later ones belong to the next generation. */
  frozen(generation: number): void {
    this.#closed.push({ generation, blocks: this.#open });
    this.#open = [];
  }

  /** @returns what is free now */
  committed(generation: number): Address[] {
    const free: Address[] = [];
    for (let closed = this.#closed[0]; closed !== undefined; closed = this.#closed[0]) {
      if (closed.generation > generation) break;
      this.#closed.shift();
      for (const address of closed.blocks) free.push(address);
    }
    this.count -= free.length;
    return free;
  }

  /** All that still wait. */
  *all(): Generator<Address> {
    for (const { blocks } of this.#closed) yield* blocks;
    yield* this.#open;
  }
}
