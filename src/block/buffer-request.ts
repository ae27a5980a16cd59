/**
 * BufferRequest: a request whose data lies in one buffer that its submitter holds. It can leave
 * that buffer to a device beyond its end, as a mirror needs when a leg hangs (see `Request`).
 */

import type { BufferPool, PoolBuffer } from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";
import { type MemoryPin, Request } from "./request.ts";

export abstract class BufferRequest extends Request {
  /** Memory of its own, at least `length` bytes, until the submitter releases it; null: none. */
  buffer: PoolBuffer | null = null;

  /** What `segments` name. */
  protected get memory(): PoolBuffer | null {
    return this.buffer;
  }

  /** Not a reserve's: its owner goes on with that when memory is short, and a leg may hang. */
  override get canPin(): boolean {
    const { memory } = this;
    return memory !== null && !memory.home.isReserve;
  }

  override pinMemory(): MemoryPin {
    const { memory } = this;
    assert(memory !== null && this.canPin, "memory that is pinned is the pool's");
    memory.retain();
    return memory;
  }

  override moveMemory(pool: BufferPool): MemoryPin | null {
    const { buffer } = this;
    assert(buffer !== null && this.canPin, "a read that is moved has a buffer of the pool's");
    // As large as the old one, so that what is held stays what its holder counts.
    const fresh = pool.acquire(buffer.lengthBytes);
    if (fresh === null) return null;
    this.buffer = fresh;
    this.segments.clear();
    this.segments.push(fresh.slab.id, fresh.offset, this.length);
    return buffer;
  }
}
