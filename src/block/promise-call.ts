/**
 * The parts of PromiseDevice: a call, and the requests (pieces) that it becomes.
 *
 * A call belongs to its PromiseDevice until its promise settles; pieces are pooled and hold a
 * buffer while they run.
 */

import type { BufferPool, PoolBuffer } from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";
import { DeviceError } from "./device-error.ts";
import { ExtentList } from "./extents.ts";
import { Operation } from "./operation.ts";
import { type MemoryPin, Request } from "./request.ts";
import { copyBytes } from "./segment-copy.ts";
import type { Status } from "./status.ts";

interface CallOptions {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  readonly bytes: Uint8Array | null;
  readonly resolve: (call: Call) => void;
  readonly reject: (error: DeviceError) => void;
}

/** One call of the API, until its promise settles. */
export class Call {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  /** Where bytes come from or go to. */
  readonly bytes: Uint8Array | null;
  readonly extents: ExtentList | null;
  submittedBytes = 0;
  hasStarted = false;
  runningPieces = 0;
  /** Link of the queue of calls. */
  next: Call | null = null;
  readonly #resolve: (call: Call) => void;
  readonly #reject: (error: DeviceError) => void;
  /** The failed piece with the lowest offset decides. */
  #failure: { status: Status; offset: number; length: number; errorOffset: number } | null = null;

  constructor(options: CallOptions) {
    this.operation = options.operation;
    this.offset = options.offset;
    this.length = options.length;
    this.flags = options.flags;
    this.bytes = options.bytes;
    this.extents = options.operation === Operation.blockStatus ? new ExtentList() : null;
    this.#resolve = options.resolve;
    this.#reject = options.reject;
  }

  /** Nothing more of it is to be submitted; after a failure the rest is left out. */
  get isSubmitted(): boolean {
    return this.#failure !== null || (this.hasStarted && !(this.submittedBytes < this.length));
  }

  /** What is left of it will not be done. */
  refuse(status: Status): void {
    const { offset, length } = this;
    this.#failure ??= { status, offset, length, errorOffset: -1 };
  }

  fail(piece: Piece): void {
    const { status, offset, length, errorOffset } = piece;
    if (this.#failure === null || offset < this.#failure.offset) {
      this.#failure = { status, offset, length, errorOffset };
    }
  }

  copyIn(piece: Piece): void {
    const { buffer } = piece;
    if (this.bytes === null || buffer === null) return;
    const at = piece.offset - this.offset;
    copyBytes(buffer.slab.bytes, buffer.offset, this.bytes, at, piece.length);
  }

  settle(device: string): void {
    if (this.#failure === null) this.#resolve(this);
    else this.#reject(new DeviceError({ ...this.#failure, device, operation: this.operation }));
  }
}

export interface PieceOwner {
  pieceEnded(piece: Piece): void;
}

/** One request of a call. Pooled. */
export class Piece extends Request {
  call: Call | null = null;
  buffer: PoolBuffer | null = null;
  readonly #owner: PieceOwner;

  constructor(owner: PieceOwner) {
    super();
    this.#owner = owner;
  }

  prepare(call: Call, offset: number, length: number, buffer: PoolBuffer | null): void {
    this.call = call;
    this.buffer = buffer;
    this.operation = call.operation;
    this.offset = offset;
    this.length = length;
    this.flags = call.flags;
    this.extents = call.extents;
    this.segments.clear();
    if (buffer === null) return;
    this.segments.push(buffer.slab.id, buffer.offset, length);
    if (call.operation === Operation.read || call.bytes === null) return;
    const at = offset - call.offset;
    copyBytes(call.bytes, at, buffer.slab.bytes, buffer.offset, length);
  }

  override get canPin(): boolean {
    return this.buffer !== null;
  }

  override pinMemory(): MemoryPin {
    const { buffer } = this;
    assert(buffer !== null, "a piece that can pin has a buffer");
    buffer.retain();
    return buffer;
  }

  override moveMemory(pool: BufferPool): MemoryPin | null {
    const { buffer } = this;
    assert(buffer !== null, "a piece that can pin has a buffer");
    const fresh = pool.acquire(this.length);
    if (fresh === null) return null;
    this.buffer = fresh;
    this.segments.clear();
    this.segments.push(fresh.slab.id, fresh.offset, this.length);
    return buffer;
  }

  letGo(): void {
    this.buffer?.release();
    this.buffer = null;
    this.call = null;
    this.extents = null;
  }

  override complete(): void {
    this.#owner.pieceEnded(this);
  }
}
