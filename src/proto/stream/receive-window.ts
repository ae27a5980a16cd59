/**
 * ReceiveWindow: the buffer that a connection's bytes arrive in, and what of it is not read yet.
 *
 *   |  read  |  unread: start..end  |  room  |
 *
 * Payloads are used where they lie: a write in flight holds a reference to the buffer, and the
 * window moves on to another one instead of waiting. The buffer's size follows the traffic: 4 KiB
 * for an idle or reading client, up to 256 KiB for one that sends many small writes at once.
 */

import { BUFFER_BYTES_MIN, type BufferPool, type PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";

const WINDOW_BYTES_MAX = 256 * 1024;
const GROWTH = 4;
/** The window shrinks after this many receives in a row that filled little of it. */
const SMALL_RECEIVES = 4;
const SMALL_SHARE = 16;
/** Windows grow while this part of the pool stays free; payloads are what memory is for. */
const PLENTY_SHARE = 1 / 4;
/** Less room than this at the end is not worth a receive. */
const ROOM_BYTES_MIN = 2048;

export class ReceiveWindow {
  buffer: PoolBuffer;
  /** Of the first unread byte, within the buffer. */
  start = 0;
  /** Behind the last received byte, within the buffer. */
  end = 0;
  readonly #pool: BufferPool;
  #targetBytes = BUFFER_BYTES_MIN;
  #smallReceives = 0;

  /** Takes over the caller's reference to `buffer`. */
  constructor(pool: BufferPool, buffer: PoolBuffer) {
    this.#pool = pool;
    this.buffer = buffer;
  }

  /** Unread bytes. */
  get unread(): number {
    return this.end - this.start;
  }

  get room(): number {
    return this.buffer.lengthBytes - this.end;
  }

  /** `length` bytes have arrived at `end`. Hot path. */
  received(length: number): void {
    assert(length <= this.room, "a receive stays within its room");
    if (length === this.room) {
      this.#targetBytes = Math.min(this.#targetBytes * GROWTH, WINDOW_BYTES_MAX);
      this.#smallReceives = 0;
    } else if (length * SMALL_SHARE > this.#targetBytes) {
      this.#smallReceives = 0;
    } else if (++this.#smallReceives >= SMALL_RECEIVES) {
      this.shrink();
    }
    this.end += length;
  }

  /** Large payloads have their own buffers: what is between them needs little room. */
  shrink(): void {
    this.#targetBytes = BUFFER_BYTES_MIN;
    this.#smallReceives = 0;
  }

  /**
   * Makes room for a receive, such that `needed` bytes from `start` on fit in all.
   * @returns false when that takes memory that is not there now. Hot path.
   */
  prepare(needed: number): boolean {
    const { buffer } = this;
    const alone = buffer.references === 1;
    if (alone && this.start === this.end) {
      this.start = 0;
      this.end = 0;
      if (buffer.lengthBytes === this.#targetBytes && needed <= buffer.lengthBytes) return true;
    } else if (this.room >= ROOM_BYTES_MIN && buffer.lengthBytes - this.start >= needed) {
      return true;
    }
    const wanted = Math.max(this.#targetBytes, needed);
    if (alone && wanted === buffer.lengthBytes) {
      this.#compact();
      return true;
    }
    return this.#replace(wanted) || (alone && this.#compactFor(needed));
  }

  /** Drops the window's reference. */
  release(): void {
    this.buffer.release();
  }

  #compactFor(needed: number): boolean {
    if (needed > this.buffer.lengthBytes) return false;
    this.#compact();
    return this.room > 0;
  }

  #compact(): void {
    const { slab, offset } = this.buffer;
    slab.bytes.copyWithin(offset, offset + this.start, offset + this.end);
    this.end -= this.start;
    this.start = 0;
  }

  #replace(wanted: number): boolean {
    const { limitBytes, heldBytes } = this.#pool;
    const isPlenty = limitBytes - heldBytes - wanted >= limitBytes * PLENTY_SHARE;
    if (wanted > this.buffer.lengthBytes && wanted > BUFFER_BYTES_MIN && !isPlenty) return false;
    const next = this.#pool.acquire(wanted);
    if (next === null) return false;
    const { slab, offset } = this.buffer;
    const unread = slab.bytes.subarray(offset + this.start, offset + this.end);
    next.slab.bytes.set(unread, next.offset);
    this.buffer.release();
    this.buffer = next;
    this.end -= this.start;
    this.start = 0;
    return true;
  }
}
