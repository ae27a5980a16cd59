/**
 * FixedSlabs: which slabs an Io's ring keeps hold of (`OperationQueue.fixBuffer`), for direct I/O.
 *
 *   unseen --first direct read or write in it--> fixed --released--> unseen
 *                                            \--> not fixed: there is no more room
 *
 * Only slabs of this Io's own space, since it hears of it before they are emptied. A slab that
 * another thread empties would have the kernel go on with pages that nobody else sees.
 */

import type { OperationQueue } from "../sys/operation-queue.ts";
import type { Slab } from "./slab.ts";
import type { SharedSlabSpace } from "./slab-space-shared.ts";

/** Memory of buffers comes in slabs of 1 MiB. Larger ones are disks of their own: not pinned. */
const FIXED_BYTES_MAX = 1024 * 1024;
/** Smaller ones hold what is rarely written. */
const FIXED_BYTES_MIN = 64 * 1024;

export class FixedSlabs {
  readonly #queue: OperationQueue;
  readonly #slabs: SharedSlabSpace;
  /** By slab id: the number of its buffer; -1: none, undefined: nobody has looked. */
  readonly #buffers: (number | undefined)[] = [];

  constructor(queue: OperationQueue, slabs: SharedSlabSpace) {
    this.#queue = queue;
    this.#slabs = slabs;
    slabs.onRelease = (slab) => this.#released(slab);
  }

  /** The number of the slab's buffer, -1 when it has none. Hot path. */
  bufferOf(slab: Slab): number {
    return this.#buffers[slab.id] ?? this.#fix(slab);
  }

  /** The ring is about to be closed, which lets go of all of them. */
  close(): void {
    this.#slabs.onRelease = null;
  }

  #fix(slab: Slab): number {
    const { id, address, lengthBytes } = slab;
    while (this.#buffers.length <= id) this.#buffers.push(undefined);
    const isFit = lengthBytes >= FIXED_BYTES_MIN && lengthBytes <= FIXED_BYTES_MAX;
    const isOwn = this.#slabs.owns(slab);
    const buffer = isFit && isOwn ? this.#queue.fixBuffer(address, lengthBytes) : -1;
    this.#buffers[id] = buffer;
    return buffer;
  }

  #released(slab: Slab): void {
    const buffer = this.#buffers[slab.id];
    if (buffer === undefined) return;
    this.#buffers[slab.id] = undefined;
    if (buffer >= 0) this.#queue.freeBuffer(buffer);
  }
}
