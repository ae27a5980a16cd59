/**
 * SlabSpace over shared anonymous mappings: ids and memory are common to all workers.
 *
 * A table in a SharedArrayBuffer holds address and length of each id; a thread views a slab the
 * first time it meets its id. Released slabs are emptied and handed out again by size, so that
 * no view of anybody ever dangles (ARCHITECTURE, memory rule 6).
 */

import { emptyShared, mapShared, viewShared } from "../sys/memory.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { PAGE_BYTES, SLAB_BYTES_MAX, type Slab, type SlabSpace } from "./slab.ts";

/** Slabs per process. With 1 MiB buffer slabs and 1 GiB malloc slabs this is plenty. */
export const SLAB_COUNT_MAX = 65_536;

const HEADER_WORDS = 2;

/** What workers share: pass it in `workerData`. */
export interface SharedSlabTable {
  /** [0] the last id given. */
  readonly counters: SharedArrayBuffer;
  /** By id: address, length; both doubles. Length is 0 until the entry is complete. */
  readonly entries: SharedArrayBuffer;
}

export function createSharedSlabTable(): SharedSlabTable {
  return {
    counters: new SharedArrayBuffer(HEADER_WORDS * 4),
    entries: new SharedArrayBuffer(SLAB_COUNT_MAX * 16),
  };
}

export class SharedSlabSpace implements SlabSpace {
  /** For the spaces of other threads. */
  readonly table: SharedSlabTable;
  readonly #counters: Int32Array;
  readonly #entries: Float64Array;
  readonly #slabs: (Slab | undefined)[] = [];
  /** The slabs that this space has made: it alone empties them. */
  readonly #own = new Set<Slab>();
  /** Told of each slab before it is emptied. */
  onRelease: ((slab: Slab) => void) | null = null;
  /** Released slabs of this thread by length, ready for use again. */
  readonly #released = new Map<number, Slab[]>();

  constructor(table: SharedSlabTable) {
    this.table = table;
    this.#counters = new Int32Array(table.counters);
    this.#entries = new Float64Array(table.entries);
  }

  allocate(lengthBytes: number): Slab {
    const rounded = Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
    if (!(rounded > 0) || rounded > SLAB_BYTES_MAX) {
      throw new PenstockError({
        code: "out-of-memory",
        message: `a slab of ${lengthBytes} bytes: 1 to ${SLAB_BYTES_MAX} are allowed`,
      });
    }
    const again = this.#released.get(rounded)?.pop();
    if (again !== undefined) return again;
    const id = Atomics.add(this.#counters, 0, 1) + 1;
    if (id >= SLAB_COUNT_MAX) {
      throw new PenstockError({
        code: "out-of-memory",
        message: `this process has its ${SLAB_COUNT_MAX} slabs already`,
      });
    }
    const memory = mapShared(rounded);
    this.#entries[id * 2] = memory.address;
    this.#entries[id * 2 + 1] = rounded;
    const slab = this.#keep(id, memory);
    this.#own.add(slab);
    return slab;
  }

  /** True for a slab of this space's own making: no other thread empties it. */
  owns(slab: Slab): boolean {
    return this.#own.has(slab);
  }

  release(slab: Slab): void {
    assert(this.owns(slab), "a slab is released where it was allocated");
    this.onRelease?.(slab);
    emptyShared(slab);
    const list = this.#released.get(slab.lengthBytes) ?? [];
    list.push(slab);
    this.#released.set(slab.lengthBytes, list);
  }

  // hot path
  get(id: number): Slab {
    return this.#slabs[id] ?? this.#view(id);
  }

  #view(id: number): Slab {
    const address = this.#entries[id * 2] ?? 0;
    const lengthBytes = this.#entries[id * 2 + 1] ?? 0;
    assert(address > 0 && lengthBytes > 0, `slab ${id} exists`);
    return this.#keep(id, viewShared(address, lengthBytes));
  }

  #keep(
    id: number,
    memory: {
      readonly address: number;
      readonly lengthBytes: number;
      readonly buffer: ArrayBuffer;
    },
  ): Slab {
    const slab: Slab = {
      id,
      address: memory.address,
      lengthBytes: memory.lengthBytes,
      bytes: new Uint8Array(memory.buffer),
      words: new Int32Array(memory.buffer),
      view: new DataView(memory.buffer),
    };
    // Dense from the start: a sparse index would make this array a dictionary.
    while (this.#slabs.length <= id) this.#slabs.push(undefined);
    this.#slabs[id] = slab;
    return slab;
  }
}
