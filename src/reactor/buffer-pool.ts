/**
 * BufferPool: the bounded memory that data passes through, in size classes from 4 KiB to 1 MiB.
 *
 * A lazy buddy allocator: released buffers go to a free list of their class; larger ones are split
 * on demand and buddies are joined only when an acquire would fail. Buffers are aligned to their
 * class, counted, and never larger than 1 MiB. When the limit is reached `acquire` says null: the
 * caller stops taking work (stops receiving) and waits; nothing ever grows past the limit.
 */

import { assert } from "../util/assert.ts";
import { PAGE_BYTES, type Slab, type SlabSpace } from "./slab.ts";

/** The smallest and the largest class. */
export const BUFFER_BYTES_MIN = PAGE_BYTES;
export const BUFFER_BYTES_MAX = 1024 * 1024;

const CLASS_COUNT = 9; // 4 KiB << 0 ... 4 KiB << 8
const CLASS_MIN_SHIFT = 12;

/** Whoever a buffer goes back to when its last reference is released. */
export interface BufferHome {
  /** Its buffer keeps its owner going when the pool has none: nobody may hold it for long. */
  readonly isReserve: boolean;
  bufferReleased(buffer: PoolBuffer): void;
}

/** A reference-counted piece of a slab. Starts with one reference, the acquirer's. */
export class PoolBuffer {
  readonly slab: Slab;
  readonly offset: number;
  readonly lengthBytes: number;
  references = 0;
  /** Where it returns to. */
  home: BufferHome;
  /** Free-list link; free for the holder's use while the buffer is held. */
  next: PoolBuffer | null = null;

  constructor(home: BufferHome, slab: Slab, offset: number, lengthBytes: number) {
    this.home = home;
    this.slab = slab;
    this.offset = offset;
    this.lengthBytes = lengthBytes;
  }

  retain(): void {
    assert(this.references > 0, "only a held buffer is retained");
    this.references++;
  }

  /** Drops one reference; the last one gives the buffer back. Hot path. */
  release(): void {
    assert(this.references > 0, "a buffer is released once per reference");
    if (--this.references === 0) this.home.bufferReleased(this);
  }
}

/** Somebody who was told null and wants to hear when trying again makes sense. */
export interface BufferWaiter {
  /** Runs in the reactor's turn. May acquire, and wait again. */
  buffersAvailable(): void;
}

export interface BufferPoolOptions {
  /** All memory of the pool; a multiple of 1 MiB, at least 1 MiB. */
  readonly limitBytes: number;
}

export class BufferPool implements BufferHome {
  readonly isReserve = false;
  #limitBytes: number;
  /** Memory taken from the slab space so far. */
  allocatedBytes = 0;
  /** Memory in buffers that are held now. */
  heldBytes = 0;
  readonly #slabs: SlabSpace;
  readonly #free: (PoolBuffer | null)[] = new Array<PoolBuffer | null>(CLASS_COUNT).fill(null);
  #waiters: BufferWaiter[] = [];
  #releasedSinceWake = false;
  #releasedSinceJoin = false;

  constructor(slabs: SlabSpace, options: BufferPoolOptions) {
    assert(options.limitBytes >= BUFFER_BYTES_MAX, "a pool holds at least one largest buffer");
    this.#slabs = slabs;
    this.#limitBytes = options.limitBytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** Another limit, at least what is allocated: see `trim`. */
  setLimit(limitBytes: number): void {
    assert(limitBytes >= BUFFER_BYTES_MAX, "a pool holds at least one largest buffer");
    assert(limitBytes >= this.allocatedBytes, "a pool keeps what it has allocated");
    this.#limitBytes = limitBytes;
  }

  /** Gives memory in which no buffer is held back to the slab space. Not for the hot path. */
  trim(): void {
    this.#joinBuddies();
    const last = CLASS_COUNT - 1;
    for (let whole = this.#free[last] ?? null; whole !== null; whole = whole.next) {
      this.#slabs.release(whole.slab);
      this.allocatedBytes -= BUFFER_BYTES_MAX;
    }
    this.#free[last] = null;
  }

  /**
   * A buffer of at least `lengthBytes` (1 byte to 1 MiB) with unknown content, or null when the
   * pool is exhausted. Hot path.
   */
  acquire(lengthBytes: number): PoolBuffer | null {
    const index = classOf(lengthBytes);
    const buffer = this.#free[index] ?? this.#refill(index);
    if (buffer === null) return null;
    this.#free[index] = buffer.next;
    buffer.next = null;
    buffer.references = 1;
    this.heldBytes += buffer.lengthBytes;
    return buffer;
  }

  get waiterCount(): number {
    return this.#waiters.length;
  }

  get hasWaiters(): boolean {
    return this.#waiters.length > 0;
  }

  /** Calls the waiter once, in a turn after something has been released. */
  wait(waiter: BufferWaiter): void {
    this.#waiters.push(waiter);
  }

  /** Takes the waiter out of the queue, when it closes. */
  stopWaiting(waiter: BufferWaiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter);
  }

  // hot path
  bufferReleased(buffer: PoolBuffer): void {
    const index = classOf(buffer.lengthBytes);
    this.heldBytes -= buffer.lengthBytes;
    buffer.next = this.#free[index] as PoolBuffer | null;
    this.#free[index] = buffer;
    this.#releasedSinceWake = true;
    this.#releasedSinceJoin = true;
  }

  /** Called by the reactor in each turn; true when waiters ran. */
  wakeWaiters(): boolean {
    if (this.#waiters.length === 0 || !this.#releasedSinceWake) return false;
    this.#releasedSinceWake = false;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.buffersAvailable();
    return true;
  }

  /** Lets waiters try again although no buffer of the pool itself came back (a reserve's did). */
  noteAvailable(): void {
    this.#releasedSinceWake = true;
  }

  #refill(index: number): PoolBuffer | null {
    const found = this.#splitLarger(index) ?? this.#grow(index);
    if (found !== null || !this.#releasedSinceJoin) return found;
    this.#joinBuddies();
    return this.#free[index] ?? this.#splitLarger(index);
  }

  /** Puts two or more buffers of class `index` on its list, out of the next larger free one. */
  #splitLarger(index: number): PoolBuffer | null {
    for (let larger = index + 1; larger < CLASS_COUNT; larger++) {
      const whole = this.#free[larger] ?? null;
      if (whole === null) continue;
      this.#free[larger] = whole.next;
      this.#split(whole, larger, index);
      return this.#free[index] ?? null;
    }
    return null;
  }

  #split(whole: PoolBuffer, from: number, to: number): void {
    let half = whole.lengthBytes;
    for (let index = from - 1; index >= to; index--) {
      half /= 2;
      this.#addFree(index, new PoolBuffer(this, whole.slab, whole.offset + half, half));
    }
    this.#addFree(to, new PoolBuffer(this, whole.slab, whole.offset, half));
  }

  #grow(index: number): PoolBuffer | null {
    if (this.allocatedBytes + BUFFER_BYTES_MAX > this.limitBytes) return null;
    const slab = this.#slabs.allocate(BUFFER_BYTES_MAX);
    this.allocatedBytes += BUFFER_BYTES_MAX;
    this.#addFree(CLASS_COUNT - 1, new PoolBuffer(this, slab, 0, BUFFER_BYTES_MAX));
    return index === CLASS_COUNT - 1 ? (this.#free[index] ?? null) : this.#splitLarger(index);
  }

  #addFree(index: number, buffer: PoolBuffer): void {
    buffer.next = this.#free[index] ?? null;
    this.#free[index] = buffer;
  }

  /** Joins free buddies, smallest class first, until nothing more can be joined. */
  #joinBuddies(): void {
    this.#releasedSinceJoin = false;
    for (let index = 0; index < CLASS_COUNT - 1; index++) {
      const byPlace = new Map<string, PoolBuffer>();
      let item = this.#free[index] ?? null;
      this.#free[index] = null;
      for (; item !== null; ) {
        const next: PoolBuffer | null = item.next;
        byPlace.set(`${item.slab.id}:${item.offset}`, item);
        item = next;
      }
      for (const buffer of byPlace.values()) {
        const upper = byPlace.get(`${buffer.slab.id}:${buffer.offset + buffer.lengthBytes}`);
        const isLower = buffer.offset % (buffer.lengthBytes * 2) === 0;
        const lower = byPlace.get(`${buffer.slab.id}:${buffer.offset - buffer.lengthBytes}`);
        if (isLower && upper !== undefined) {
          const joined = buffer.lengthBytes * 2;
          this.#addFree(index + 1, new PoolBuffer(this, buffer.slab, buffer.offset, joined));
        } else if (isLower || lower === undefined) {
          this.#addFree(index, buffer);
        }
      }
    }
  }
}

/**
 * BufferReserve: one buffer set aside for its owner (a share, an initiator, a pool), used when the
 * pool has none, so that one request can always finish.
 */
export class BufferReserve implements BufferHome {
  readonly isReserve = true;
  readonly #pool: BufferPool;
  readonly #lengthBytes: number;
  #reserved: PoolBuffer | null;
  #closed = false;

  /** @returns null when the pool cannot give the reserve now: the owner must not start */
  static create(pool: BufferPool, lengthBytes: number): BufferReserve | null {
    const buffer = pool.acquire(lengthBytes);
    return buffer === null ? null : new BufferReserve(pool, buffer);
  }

  private constructor(pool: BufferPool, buffer: PoolBuffer) {
    this.#pool = pool;
    this.#reserved = buffer;
    this.#lengthBytes = buffer.lengthBytes;
    buffer.home = this;
  }

  /**
   * For work that can be done in pieces: a buffer for all of it, else one of the reserve's size,
   * else null. What holds the reserve is released within bounded time, so that work goes on.
   */
  acquirePiece(wantedBytes: number): PoolBuffer | null {
    return this.acquire(wantedBytes) ?? this.acquire(Math.min(wantedBytes, this.#lengthBytes));
  }

  /** From the pool, else the reserved buffer if it is free and large enough, else null. */
  acquire(lengthBytes: number): PoolBuffer | null {
    const fromPool = this.#pool.acquire(lengthBytes);
    if (fromPool !== null) return fromPool;
    const reserved = this.#reserved;
    if (reserved === null || reserved.lengthBytes < lengthBytes) return null;
    this.#reserved = null;
    reserved.references = 1;
    return reserved;
  }

  bufferReleased(buffer: PoolBuffer): void {
    if (this.#closed) {
      buffer.home = this.#pool;
      this.#pool.bufferReleased(buffer);
      return;
    }
    this.#reserved = buffer;
    this.#pool.noteAvailable();
  }

  /** Gives the reserve back to the pool (when it is in use: as soon as it is released). */
  close(): void {
    this.#closed = true;
    const reserved = this.#reserved;
    this.#reserved = null;
    if (reserved !== null) {
      reserved.references = 0;
      this.bufferReleased(reserved);
    }
  }
}

/** Index of the smallest class that holds `lengthBytes`. Hot path. */
function classOf(lengthBytes: number): number {
  assert(lengthBytes > 0 && lengthBytes <= BUFFER_BYTES_MAX, "buffers are 1 byte to 1 MiB");
  return lengthBytes <= BUFFER_BYTES_MIN ? 0 : 32 - CLASS_MIN_SHIFT - Math.clz32(lengthBytes - 1);
}
