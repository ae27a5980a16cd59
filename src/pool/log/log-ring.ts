/**
 * LogRing: where the next frame goes, and whether there is room. Pure arithmetic.
 *
 * Places are counted from when the ring was made and only grow; where one lies in the ring is its
 * remainder. A frame never wraps: the units before the ring's end that it leaves out count as used.
 *
 *   | free | tail: needed by an import ... captured by a checkpoint ... head | free |
 */

import { assert } from "../../util/assert.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";

/** Where the ring lies. */
export interface RingPlace {
  /** Of its first block, on the first disk. */
  readonly address: Address;
  readonly blocks: number;
  /** Unit of frames: 512 or 4096 bytes. */
  readonly unitBytes: number;
}

export class LogRing {
  readonly units: number;
  #tail = 0;
  #head = 0;

  constructor({ blocks, unitBytes }: RingPlace) {
    assert(BLOCK_BYTES % unitBytes === 0 && blocks > 0, "a ring is made of whole units");
    this.units = (blocks * BLOCK_BYTES) / unitBytes;
  }

  /** Empty; the next frame goes to `position`. */
  reset(position: number): void {
    assert(position >= 0 && position < this.units, "a position lies in the ring");
    this.#tail = position;
    this.#head = position;
  }

  /** Counts on, and never comes back. */
  get head(): number {
    return this.#head;
  }

  get usedUnits(): number {
    return this.#head - this.#tail;
  }

  /** Units from the ring's start to where the next frame is looked for. */
  get position(): number {
    return this.#head % this.units;
  }

  /** Is there room for a frame of so many units in both copies together? Hot path. */
  hasRoom(units: number): boolean {
    return this.usedUnits + this.#gap(units) + units <= this.units;
  }

  /** @returns where it goes, in units from the ring's start. Hot path. */
  take(units: number): number {
    assert(this.hasRoom(units), "room for a frame is looked at first");
    const start = this.#head + this.#gap(units);
    this.#head = start + units;
    return start % this.units;
  }

  /** Nothing before `head`, as it was once, is needed any more. */
  release(head: number): void {
    assert(head >= this.#tail && head <= this.#head, "the ring's start only moves on");
    this.#tail = head;
  }

  /** Units that are left out before the ring's end. */
  #gap(units: number): number {
    const left = this.units - this.position;
    return units <= left ? 0 : left;
  }
}
