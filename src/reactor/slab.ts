/**
 * Slabs: the memory that requests point into.
 *
 * A slab is a page-aligned piece of memory with a process-wide id. With FFI it is a shared
 * anonymous mapping that every worker of the process can see and that is never unmapped; without
 * FFI it is an ordinary ArrayBuffer of one thread. Code above `reactor/` addresses memory only as
 * {slab id, offset, length} and reaches bytes through `bytes`, so it never holds an address.
 */

/** Memory pages are this large on every platform that Penstock runs on. */
export const PAGE_BYTES = 4096;

/** The largest slab: one view of a mapping may not exceed 1 GiB (ARCHITECTURE, memory rule 6). */
export const SLAB_BYTES_MAX = 1024 * 1024 * 1024;

/** One slab. Owned by its `SlabSpace`; views stay valid for the life of the process. */
export interface Slab {
  /** Process-wide id, from 1. */
  readonly id: number;
  /** Address of byte 0 as a double (user addresses are below 2^47), or 0 when there is no FFI. */
  readonly address: number;
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;
}

/** Hands out slabs and finds them by id. One per thread; ids mean the same in all threads. */
export interface SlabSpace {
  /**
   * A slab of at least `lengthBytes` (rounded up to pages), zero-filled.
   * @throws PenstockError `out-of-memory` past the limit of the space or above SLAB_BYTES_MAX
   */
  allocate(lengthBytes: number): Slab;
  /** Gives the memory back to the system; the id may be handed out again, zero-filled. */
  release(slab: Slab): void;
  /** The slab with this id; asserts that it exists. Hot path. */
  get(id: number): Slab;
}
