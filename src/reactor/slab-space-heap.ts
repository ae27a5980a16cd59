/**
 * HeapSlabSpace: slabs that are ordinary ArrayBuffers of one thread, for the fake and the portable
 * Io. The space owns the table of slabs; released ids are handed out again. The engine gives the
 * memory of a large ArrayBuffer only when it is touched, so a big empty slab costs nothing.
 */

import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { PAGE_BYTES, SLAB_BYTES_MAX, type Slab, type SlabSpace } from "./slab.ts";

/** Default limit of a space: enough for every test, small enough to notice a leak. */
export const HEAP_SLAB_LIMIT_BYTES_DEFAULT = 8 * 1024 * 1024 * 1024;

export interface HeapSlabSpaceOptions {
  /** All slabs together, bytes. */
  readonly limitBytes?: number;
}

export class HeapSlabSpace implements SlabSpace {
  readonly limitBytes: number;
  /** Memory in slabs now. */
  allocatedBytes = 0;
  /** Indexed by id; ids start at 1. */
  readonly #slabs: (HeapSlab | null)[] = [null];
  readonly #freeIds: number[] = [];

  constructor(options: HeapSlabSpaceOptions = {}) {
    this.limitBytes = options.limitBytes ?? HEAP_SLAB_LIMIT_BYTES_DEFAULT;
  }

  allocate(lengthBytes: number): Slab {
    assert(Number.isSafeInteger(lengthBytes) && lengthBytes > 0, `slab of ${lengthBytes} bytes`);
    const rounded = Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
    if (rounded > SLAB_BYTES_MAX || this.allocatedBytes + rounded > this.limitBytes) {
      throw outOfMemory(rounded, this);
    }
    const id = this.#freeIds.pop() ?? this.#slabs.length;
    const slab = new HeapSlab(id, rounded);
    this.#slabs[id] = slab;
    this.allocatedBytes += rounded;
    return slab;
  }

  release(slab: Slab): void {
    assert(this.#slabs[slab.id] === slab, `slab ${slab.id} is released once, by its own space`);
    this.#slabs[slab.id] = null;
    this.#freeIds.push(slab.id);
    this.allocatedBytes -= slab.lengthBytes;
  }

  // hot path
  get(id: number): Slab {
    const slab = this.#slabs[id];
    assert(slab !== null && slab !== undefined, "a slab id names a slab");
    return slab;
  }
}

class HeapSlab implements Slab {
  readonly id: number;
  /** No addresses without FFI. */
  readonly address = 0;
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;

  constructor(id: number, lengthBytes: number) {
    const memory = new ArrayBuffer(lengthBytes);
    this.id = id;
    this.lengthBytes = lengthBytes;
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.view = new DataView(memory);
  }
}

function outOfMemory(wantedBytes: number, space: HeapSlabSpace): PenstockError {
  const { allocatedBytes, limitBytes } = space;
  return new PenstockError({
    code: "out-of-memory",
    message:
      `no slab of ${wantedBytes} bytes: ${allocatedBytes} of ${limitBytes} are in use, ` +
      `and one slab is at most ${SLAB_BYTES_MAX}`,
    details: { wantedBytes, allocatedBytes, limitBytes },
  });
}
