/**
 * ModelRequest: one request of a random program: its memory, and what it saw, at the very moment
 * when it completes.
 *
 * A lane of the program has one and reuses it, with a range of a slab for its segments. Requests
 * that complete twice, or inside `submit`, are bugs of the device and throw.
 */

import type { BufferPool, PoolBuffer } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { PAGE_BYTES, type Slab } from "../reactor/slab.ts";
import { assert } from "../util/assert.ts";
import type { Device } from "../block/device.ts";
import { ExtentList } from "../block/extents.ts";
import type { Operation } from "../block/operation.ts";
import { type MemoryPin, Request } from "../block/request.ts";
import { copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import type { Status } from "../block/status.ts";

export interface ModelAsk {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  /** Bytes to write or compare; a number: so many bytes of memory to read into. */
  readonly data: Uint8Array | number;
  readonly parts: number;
  readonly skew: number;
}

export const PARTS_MAX = 8;

/** What a lane's slab range must hold for transfers of so many bytes. */
export function laneBytes(transferBytes: number): number {
  return Math.ceil((2 * transferBytes) / PAGE_BYTES + 2 * PARTS_MAX + 2) * PAGE_BYTES;
}

const NO_PIN: MemoryPin = { release: () => undefined };

export class ModelRequest extends Request {
  readonly #reactor: Reactor;
  readonly #slab: Slab;
  readonly #start: number;
  readonly #canPin: boolean;
  readonly #moved: PoolBuffer[] = [];
  #isPending = false;
  #isSubmitting = false;
  #onEnd: ((request: ModelRequest) => void) | null = null;
  #settle: ((status: Status) => void) | null = null;

  constructor(reactor: Reactor, memory: { slab: Slab; start: number; canPin: boolean }) {
    super();
    this.#reactor = reactor;
    this.#slab = memory.slab;
    this.#start = memory.start;
    this.#canPin = memory.canPin;
    this.extents = new ExtentList();
  }

  /** @param onEnd called in the turn: what it saw, it saw by then */
  run(device: Device, ask: ModelAsk, onEnd: (request: ModelRequest) => void): Promise<Status> {
    assert(!this.#isPending, "a lane does one thing after the other");
    this.operation = ask.operation;
    this.offset = ask.offset;
    this.length = ask.length;
    this.flags = ask.flags;
    this.segments.clear();
    const bytes = typeof ask.data === "number" ? ask.data : ask.data.length;
    this.#addSegments(bytes, device.info.blockSizeBytes, ask);
    if (typeof ask.data !== "number") {
      copyToSegments(this.#reactor.io.slabs, this.segments, 0, ask.data, 0, bytes);
    }
    this.#onEnd = onEnd;
    this.#isPending = true;
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#isSubmitting = true;
      device.submit(this);
      this.#isSubmitting = false;
    });
  }

  /** What a read has got. */
  bytes(): Uint8Array {
    const { lengthBytes } = this.segments;
    const bytes = new Uint8Array(lengthBytes);
    copyFromSegments(this.#reactor.io.slabs, this.segments, 0, bytes, 0, lengthBytes);
    return bytes;
  }

  /** Gives memory back that it moved to. */
  close(): void {
    for (const buffer of this.#moved.splice(0)) buffer.release();
  }

  override get canPin(): boolean {
    return this.#canPin;
  }

  override pinMemory(): MemoryPin {
    return NO_PIN;
  }

  override moveMemory(pool: BufferPool): MemoryPin | null {
    const fresh = pool.acquire(this.length);
    if (fresh === null) return null;
    this.#moved.push(fresh);
    this.segments.clear();
    this.segments.push(fresh.slab.id, fresh.offset, this.length);
    return NO_PIN;
  }

  override complete(): void {
    assert(this.#isPending, "a request completes once");
    assert(!this.#isSubmitting, "a request never completes inside submit");
    this.#isPending = false;
    this.#onEnd?.(this);
    if (this.lent) this.returnLent();
    const { status } = this;
    this.#reactor.deliverLater(() => this.#settle?.(status));
  }

  #addSegments(lengthBytes: number, blockBytes: number, { parts, skew }: ModelAsk): void {
    const blocks = lengthBytes / blockBytes;
    let at = this.#start;
    let done = 0;
    for (let part = 1; part <= parts; part++) {
      const end = Math.floor((blocks * part) / parts) * blockBytes;
      if (end === done) continue;
      this.segments.push(this.#slab.id, at + skew, end - done);
      at = Math.ceil((at + skew + end - done) / PAGE_BYTES) * PAGE_BYTES;
      done = end;
    }
  }
}
