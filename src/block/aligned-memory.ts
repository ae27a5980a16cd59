/**
 * AlignedMemory: memory that callers of the promise API fill and read themselves and that devices
 * reach without a copy.
 *
 *   allocate() --> idle --retain()--> in use by calls --release() by each--> idle --free()--> gone
 *
 * Each piece is a slab of its own, a power of two long, so that a system that wants many different
 * lengths over time needs no more than a few classes of them. Bounded; zero-filled. It owns the
 * slabs; a piece in use is never freed.
 */

import { PAGE_BYTES, SLAB_BYTES_MAX, type Slab, type SlabSpace } from "../reactor/slab.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";

/** One piece. */
export class AlignedPiece {
  readonly slab: Slab;
  /** Calls that move bytes from or to it. */
  uses = 0;

  constructor(slab: Slab) {
    this.slab = slab;
  }
}

export class AlignedMemory {
  readonly limitBytes: number;
  /** What is allocated now, as rounded up. */
  allocatedBytes = 0;
  readonly #slabs: SlabSpace;
  readonly #pieces = new Map<ArrayBufferLike, AlignedPiece>();

  constructor(slabs: SlabSpace, options: { readonly limitBytes: number }) {
    this.#slabs = slabs;
    this.limitBytes = options.limitBytes;
  }

  /**
   * Zeroes, at the start of a page.
   * @throws PenstockError `length-too-large`, `out-of-memory`
   */
  allocate(lengthBytes: number): Uint8Array<ArrayBuffer> {
    assert(Number.isSafeInteger(lengthBytes) && lengthBytes > 0, "a length of 1 byte or more");
    if (lengthBytes > SLAB_BYTES_MAX) {
      const limit = `at most ${SLAB_BYTES_MAX} in one buffer`;
      const message = `found ${lengthBytes} bytes, expected ${limit}`;
      throw new PenstockError({ code: "length-too-large", message, details: { lengthBytes } });
    }
    const wanted = classBytes(lengthBytes);
    const { allocatedBytes, limitBytes } = this;
    if (allocatedBytes + wanted > limitBytes) {
      const message =
        `found no room for an aligned buffer of ${lengthBytes} bytes (${wanted} as rounded up): ` +
        `${allocatedBytes} of ${limitBytes} are taken`;
      const details = { lengthBytes, allocatedBytes, limitBytes };
      throw new PenstockError({ code: "out-of-memory", message, details });
    }
    const slab = this.#slabs.allocate(wanted);
    // No slab is a SharedArrayBuffer.
    const buffer = slab.bytes.buffer as ArrayBuffer;
    this.#pieces.set(buffer, new AlignedPiece(slab));
    this.allocatedBytes += slab.lengthBytes;
    return new Uint8Array(buffer, 0, lengthBytes);
  }

  /** The piece that `bytes` lie in, if they start at a page of it; else they are to be copied. */
  find(bytes: Uint8Array): AlignedPiece | null {
    if (this.#pieces.size === 0 || bytes.byteOffset % PAGE_BYTES !== 0) return null;
    return this.#pieces.get(bytes.buffer) ?? null;
  }

  /**
   * Gives a piece back; freed already: nothing happens.
   * @throws PenstockError `buffer-in-use`
   */
  free(buffer: ArrayBufferLike): void {
    const piece = this.#pieces.get(buffer);
    if (piece === undefined) return;
    if (piece.uses > 0) {
      const message = `found a buffer in use by ${piece.uses} calls, expected them to have ended`;
      throw new PenstockError({ code: "buffer-in-use", message, details: { uses: piece.uses } });
    }
    this.#drop(buffer, piece);
  }

  /** Gives all pieces back; none is in use. */
  freeAll(): void {
    for (const [buffer, piece] of this.#pieces) {
      assert(piece.uses === 0, "no call is under way");
      this.#drop(buffer, piece);
    }
  }

  #drop(buffer: ArrayBufferLike, piece: AlignedPiece): void {
    this.#pieces.delete(buffer);
    this.allocatedBytes -= piece.slab.lengthBytes;
    this.#slabs.release(piece.slab);
  }
}

function classBytes(lengthBytes: number): number {
  return Math.max(PAGE_BYTES, 2 ** Math.ceil(Math.log2(lengthBytes)));
}
