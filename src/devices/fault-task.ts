/**
 * FaultTask: the request that `fault` sends down in place of one that it changes: a write with a
 * flipped byte, the parts of a torn write, a read whose data is to be flipped.
 *
 * Pooled by its filter. Owns the buffers that it copies into, from the reactor's pool.
 */

import { Request } from "../block/request.ts";
import { copyFromSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import { BUFFER_BYTES_MAX, type PoolBuffer } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { Prng } from "../util/prng.ts";

/** More parts than this of one torn write teach nothing new. */
const PART_COUNT_MAX = 4;

/** Whole blocks of a write that reach the medium, counted from the write's start. */
interface Part {
  readonly offset: number;
  readonly length: number;
}

export interface FaultTaskOwner {
  taskEnded(task: FaultTask): void;
}

export class FaultTask extends Request {
  /** The request that it stands for; null while it is in the pool. */
  victim: Request | null = null;
  readonly buffers: PoolBuffer[] = [];
  /** What the victim ends with when nothing else goes wrong. */
  endStatus: Status = Status.ok;
  /** Which byte is to be another one: counted from the beginning of the segments, half-open. */
  flipFrom = 0;
  flipTo = 0;
  /** Of a torn write: what is still to be sent. */
  readonly parts: Part[] = [];
  readonly #owner: FaultTaskOwner;

  constructor(owner: FaultTaskOwner) {
    super();
    this.#owner = owner;
  }

  override complete(): void {
    this.#owner.taskEnded(this);
  }

  /** Becomes the same request, but for its memory. */
  standFor(victim: Request): void {
    this.victim = victim;
    this.endStatus = Status.ok;
    this.operation = victim.operation;
    this.offset = victim.offset;
    this.length = victim.length;
    this.flags = victim.flags;
    this.stream = victim.stream;
    this.segments.clear();
    this.parts.length = 0;
  }

  /** Gets memory of its own. False: there is none now, and nothing is held. */
  acquire(reactor: Reactor, lengthBytes: number): boolean {
    for (let left = lengthBytes; left > 0; ) {
      const taken = Math.min(left, BUFFER_BYTES_MAX);
      const buffer = reactor.buffers.acquire(taken);
      if (buffer === null) {
        this.releaseBuffers();
        return false;
      }
      this.buffers.push(buffer);
      this.segments.push(buffer.slab.id, buffer.offset, taken);
      left -= taken;
    }
    return true;
  }

  /** Fills its own memory with what the victim's segments hold. */
  copyFromVictim(reactor: Reactor): void {
    const { slabs } = reactor.io;
    const { segments } = this.victim as Request; // standFor came before
    for (let index = 0, done = 0; index < this.segments.count; index++) {
      const { bytes } = slabs.get(this.segments.slabId(index));
      const length = this.segments.length(index);
      copyFromSegments(slabs, segments, done, bytes, this.segments.offset(index), length);
      done += length;
    }
  }

  /** Changes one byte of its memory. */
  flip(reactor: Reactor, prng: Prng): void {
    let at = this.flipFrom + prng.below(this.flipTo - this.flipFrom);
    const change = 1 + prng.below(255);
    let index = 0;
    while (at >= this.segments.length(index)) at -= this.segments.length(index++);
    const { bytes } = reactor.io.slabs.get(this.segments.slabId(index));
    const place = this.segments.offset(index) + at;
    bytes[place] = (bytes[place] as number) ^ change;
  }

  /**
   * Draws which blocks of the write reach the medium: a prefix, or some runs; never all.
   * @returns the first byte that does not, counted from the write's start
   */
  tear(prng: Prng, blockBytes: number): number {
    const count = this.length / blockBytes;
    const isPrefix = prng.chance(0.5);
    let missing = count;
    for (let at = 0; this.parts.length < PART_COUNT_MAX; ) {
      const start = isPrefix ? 0 : at + prng.below(count - at + 1);
      if (start >= count) break;
      // One block at least is missing: the last, if no other is.
      const blocks = Math.min(prng.below(count - start + 1), missing - 1);
      if (blocks === 0) break;
      missing -= blocks;
      this.parts.push({ offset: start * blockBytes, length: blocks * blockBytes });
      at = start + blocks + 1;
      if (isPrefix || at >= count) break;
    }
    const [first] = this.parts;
    return first?.offset === 0 ? first.length : 0;
  }

  /** Becomes the next part of the torn write. False: there is none left. */
  nextPart(): boolean {
    const part = this.parts.shift();
    if (part === undefined) return false;
    const { segments, offset } = this.victim as Request; // standFor came before
    this.offset = offset + part.offset;
    this.length = part.length;
    this.segments.clear();
    this.segments.appendRange(segments, part.offset, part.length);
    return true;
  }

  releaseBuffers(): void {
    for (const buffer of this.buffers) buffer.release();
    this.buffers.length = 0;
    this.segments.clear();
  }
}
