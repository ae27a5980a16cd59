/**
 * MemoryShare: what a connection's commands hold of the reactor's buffers, against a fair share.
 *
 * Fair share, as in network switches: what a connection holds may be at most a part of what is
 * free, beyond a floor that is kept for new connections. As memory gets short everybody's share
 * shrinks, down to one page, and long reads and writes go on in smaller parts: many greedy or stuck
 * clients leave room for the next one, whatever they do.
 */

import {
  BUFFER_BYTES_MAX,
  BUFFER_BYTES_MIN,
  type BufferPool,
  type BufferReserve,
  type PoolBuffer,
} from "../../reactor/buffer-pool.ts";

const FREE_SHARE = 1 / 4;
/** This part of the pool is for receive windows and single pages. */
const FLOOR_SHARE = 1 / 8;
/** A connection that holds nothing may have this much for what cannot be done in parts. */
const WHOLE_BYTES = 128 * 1024;

export class MemoryShare {
  heldBytes = 0;
  readonly #pool: BufferPool;
  readonly #reserve: BufferReserve;

  constructor(pool: BufferPool, reserve: BufferReserve) {
    this.#pool = pool;
    this.#reserve = reserve;
  }

  /**
   * The most that `acquire` may give now, in bytes: a multiple of the page size, one page at least
   * for a connection that holds nothing, at most the largest buffer. Hot path.
   */
  allowance(): number {
    const { limitBytes, heldBytes } = this.#pool;
    const free = limitBytes - heldBytes - limitBytes * FLOOR_SHARE;
    const share = Math.min(free * FREE_SHARE - this.heldBytes, BUFFER_BYTES_MAX);
    if (share >= BUFFER_BYTES_MIN) return share - (share % BUFFER_BYTES_MIN);
    return this.heldBytes === 0 ? BUFFER_BYTES_MIN : 0;
  }

  /** Memory for one command, or null when there is none or this connection has its share. */
  acquire(lengthBytes: number): PoolBuffer | null {
    if (lengthBytes > this.allowance()) return null;
    const buffer = this.#reserve.acquire(lengthBytes);
    if (buffer !== null) this.heldBytes += buffer.lengthBytes;
    return buffer;
  }

  /** As `acquire`, for what cannot be done in parts: a little of it never waits for others. */
  acquireWhole(lengthBytes: number): PoolBuffer | null {
    const isLittle = this.heldBytes === 0 && lengthBytes <= WHOLE_BYTES;
    return isLittle ? this.acquireBeyond(lengthBytes) : this.acquire(lengthBytes);
  }

  /**
   * Memory beyond the share, as receive windows have theirs: for what must go on so that the
   * connection can give back what it holds. At most one such buffer at a time.
   */
  acquireBeyond(lengthBytes: number): PoolBuffer | null {
    const buffer = this.#reserve.acquire(lengthBytes);
    if (buffer !== null) this.heldBytes += buffer.lengthBytes;
    return buffer;
  }

  /** Drops the holder's reference to a buffer of `acquire` or `acquireWhole`. Hot path. */
  release(buffer: PoolBuffer): void {
    this.heldBytes -= buffer.lengthBytes;
    buffer.release();
  }
}
