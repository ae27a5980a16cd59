/**
 * The parts of PromiseDevice: a call, and the requests (pieces) that it becomes.
 *
 * A call belongs to its PromiseDevice until its promise settles; pieces are pooled and hold a
 * buffer while they run.
 */

import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { PenstockError } from "../util/errors.ts";
import type { AlignedPiece } from "./aligned-memory.ts";
import { BufferRequest } from "./buffer-request.ts";
import { DeviceError } from "./device-error.ts";
import { ExtentList } from "./extents.ts";
import { Operation } from "./operation.ts";
import { copyBytes } from "./segment-copy.ts";
import type { Status } from "./status.ts";

interface CallOptions {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  readonly bytes: Uint8Array | null;
  readonly memory: AlignedPiece | null;
  readonly resolve: (call: Call) => void;
  readonly reject: (error: PenstockError) => void;
}

/** One call of the API, until its promise settles. */
export class Call {
  readonly operation: Operation;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  /** Where bytes come from or go to. */
  readonly bytes: Uint8Array | null;
  /** The memory that `bytes` lie in, where the device can use that itself: nothing is copied. */
  readonly memory: AlignedPiece | null;
  readonly extents: ExtentList | null;
  submittedBytes = 0;
  hasStarted = false;
  runningPieces = 0;
  /** Link of the queue of calls. */
  next: Call | null = null;
  readonly #resolve: (call: Call) => void;
  readonly #reject: (error: PenstockError) => void;
  /** The failed piece with the lowest offset decides. */
  #failure: { status: Status; offset: number; length: number; errorOffset: number } | null = null;
  #bytesWentAway = false;

  constructor(options: CallOptions) {
    this.operation = options.operation;
    this.offset = options.offset;
    this.length = options.length;
    this.flags = options.flags;
    this.bytes = options.bytes;
    this.memory = options.memory;
    if (this.memory !== null) this.memory.uses++;
    this.extents = options.operation === Operation.blockStatus ? new ExtentList() : null;
    this.#resolve = options.resolve;
    this.#reject = options.reject;
  }

  /** Nothing more of it is to be submitted; after a failure the rest is left out. */
  get isSubmitted(): boolean {
    return this.#hasFailed || (this.hasStarted && !(this.submittedBytes < this.length));
  }

  /** False: somebody has detached or resized the caller's buffer since the call. */
  get hasItsBytes(): boolean {
    return this.bytes === null || this.bytes.length === this.length;
  }

  /** What is left of it cannot be done: see `hasItsBytes`. */
  loseBytes(): void {
    this.#bytesWentAway = true;
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
    if (!this.hasItsBytes) {
      this.loseBytes();
      return;
    }
    const at = piece.offset - this.offset;
    copyBytes(buffer.slab.bytes, buffer.offset, this.bytes, at, piece.length);
  }

  settle(device: string): void {
    if (this.memory !== null) this.memory.uses--;
    if (this.#failure !== null) {
      this.#reject(new DeviceError({ ...this.#failure, device, operation: this.operation }));
    } else if (this.#bytesWentAway) {
      const message =
        `the buffer of ${this.length} bytes of a call on ${device} was detached or resized ` +
        "before the call ended";
      this.#reject(new PenstockError({ code: "buffer-changed", message }));
    } else {
      this.#resolve(this);
    }
  }

  get #hasFailed(): boolean {
    return this.#failure !== null || this.#bytesWentAway;
  }
}

export interface PieceOwner {
  pieceEnded(piece: Piece): void;
}

/** One request of a call. Pooled. */
export class Piece extends BufferRequest {
  call: Call | null = null;
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
    if (call.memory !== null && call.bytes !== null) {
      const at = call.bytes.byteOffset + (offset - call.offset);
      this.segments.push(call.memory.slab.id, at, length);
    }
    if (buffer === null) return;
    this.segments.push(buffer.slab.id, buffer.offset, length);
    if (call.operation === Operation.read || call.bytes === null) return;
    const at = offset - call.offset;
    copyBytes(call.bytes, at, buffer.slab.bytes, buffer.offset, length);
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
