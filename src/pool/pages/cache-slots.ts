/**
 * CacheSlots: the memory of a page cache, 4 KiB slots of one slab, what each holds, and which one
 * is given up when another is needed (clock).
 *
 *   free --take--> loading --read--> clean --change--> dirty --freeze--> frozen --written--> clean
 *                     +--neither copy is right--> failed
 *
 * Clean and failed slots may be given up, unless they are pinned by a change that is under way.
 * Owned by the PageCache.
 */

import type { Slab, SlabSpace } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { NumberIndex } from "../number-index.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import { PAGE_WORDS } from "./page-format.ts";

export const SlotState = {
  free: 0,
  loading: 1,
  clean: 2,
  failed: 3,
  dirty: 4,
  frozen: 5,
  /** Frozen, and replaced by now: free as soon as it is written. */
  replaced: 6,
} as const;
export type SlotState = (typeof SlotState)[keyof typeof SlotState];

export class CacheSlots {
  readonly count: number;
  readonly slab: Slab;
  /** Word w of slot s is words[s * 1024 + w]. */
  readonly words: Uint32Array;
  readonly view: DataView;
  readonly states: Uint8Array;
  /** Goes up whenever a slot stops being the page that it was. */
  readonly versions: Uint32Array;
  readonly #space: SlabSpace;
  readonly #index = new NumberIndex();
  /** Address A of the page in it. */
  readonly #addresses: Float64Array;
  readonly #referenced: Uint8Array;
  readonly #pins: Uint8Array;
  readonly #free: Int32Array;
  #freeCount = 0;
  #hand = 0;

  constructor(space: SlabSpace, limitBytes: number) {
    assert(limitBytes % BLOCK_BYTES === 0, "a cache has whole pages");
    this.#space = space;
    this.count = limitBytes / BLOCK_BYTES;
    this.slab = space.allocate(limitBytes);
    const { bytes, view } = this.slab;
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, this.count * PAGE_WORDS);
    this.view = view;
    this.states = new Uint8Array(this.count);
    this.versions = new Uint32Array(this.count);
    this.#addresses = new Float64Array(this.count);
    this.#referenced = new Uint8Array(this.count);
    this.#pins = new Uint8Array(this.count);
    this.#free = new Int32Array(this.count);
    for (let slot = this.count - 1; slot >= 0; slot--) this.#free[this.#freeCount++] = slot;
  }

  /** The slot of the page whose copy A is there, in any state but replaced; -1: none. Hot path. */
  slotOf(address: Address): number {
    const slot = this.#index.get(address);
    if (slot >= 0) this.#referenced[slot] = 1;
    return slot;
  }

  /** Hot path. */
  touch(slot: number): void {
    this.#referenced[slot] = 1;
  }

  /** A slot for another page, in no index yet; -1: all are in use. */
  take(state: SlotState): number {
    const slot = this.#freeCount > 0 ? (this.#free[--this.#freeCount] as number) : this.#evict();
    if (slot < 0) return -1;
    this.states[slot] = state;
    this.#referenced[slot] = 1;
    return slot;
  }

  /** The page in `slot` is found by this address from now on. */
  enter(slot: number, address: Address): void {
    assert(this.#index.get(address) < 0, "an address is in one slot");
    this.#addresses[slot] = address;
    this.#index.set(address, slot);
  }

  /** The page in `slot` goes on under another address, to be entered next. */
  move(slot: number): void {
    this.#leave(slot);
    // Another tree may have looked at it last: what it has there is the page as it was.
    this.versions[slot] = (this.versions[slot] as number) + 1;
  }

  /** Frozen, and another slot has its successor. */
  replace(slot: number): void {
    assert(this.states[slot] === SlotState.frozen, "only frozen pages outlive their successors");
    this.#leave(slot);
    this.states[slot] = SlotState.replaced;
    this.versions[slot] = (this.versions[slot] as number) + 1;
  }

  /** It is in the index, or replaced. */
  release(slot: number): void {
    assert(this.#pins[slot] === 0, "a pinned page stays");
    if (this.states[slot] !== SlotState.replaced) this.#leave(slot);
    this.#empty(slot);
    this.#free[this.#freeCount++] = slot;
  }

  /** It stays while a change that needs it is under way. Counts. */
  pin(slot: number): void {
    this.#pins[slot] = (this.#pins[slot] as number) + 1;
  }

  unpin(slot: number): void {
    assert((this.#pins[slot] as number) > 0, "a pin is taken off once");
    this.#pins[slot] = (this.#pins[slot] as number) - 1;
  }

  /** Nothing points into the memory any more. */
  close(): void {
    this.#space.release(this.slab);
  }

  /** The clock: gives up the first page that was not looked at for a round. */
  #evict(): number {
    for (let step = 2 * this.count; step > 0; step--) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.count ? 0 : slot + 1;
      const state = this.states[slot];
      if (state !== SlotState.clean && state !== SlotState.failed) continue;
      if (this.#pins[slot] !== 0) continue;
      if (this.#referenced[slot] === 1) {
        this.#referenced[slot] = 0;
        continue;
      }
      this.#leave(slot);
      this.#empty(slot);
      return slot;
    }
    return -1;
  }

  /** The page in `slot` is not found any more. */
  #leave(slot: number): void {
    this.#index.delete(this.#addresses[slot] as number);
  }

  #empty(slot: number): void {
    this.states[slot] = SlotState.free;
    this.versions[slot] = (this.versions[slot] as number) + 1;
  }
}
