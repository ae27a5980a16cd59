/**
 * PromiseDevice: a device for code that awaits: the library, the command line, tests.
 *
 * Each call becomes one or more requests of at most the device's maxTransfer; user bytes are copied
 * to and from buffers of the reactor's pool, but for those in AlignedMemory. When the pool is empty
 * or enough requests run, calls wait in their order; a small reserve lets one request always go on,
 * in small pieces. Calls at once are not ordered among themselves. It owns its requests, reserve
 * and queue, not the device until `close`.
 */

import {
  BUFFER_BYTES_MAX,
  type BufferReserve,
  type BufferWaiter,
  type PoolBuffer,
} from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import type { AlignedMemory } from "./aligned-memory.ts";
import type { Device } from "./device.ts";
import type { ExtentList } from "./extents.ts";
import { Operation, RequestFlag } from "./operation.ts";
import { Call, Piece, type PieceOwner } from "./promise-call.ts";
import { Status } from "./status.ts";
import { takeReserve } from "./take-reserve.ts";

/** Requests of one PromiseDevice that run at once. */
const RUNNING_MAX = 1024;
/** Calls that have not ended; more are refused. */
export const PENDING_CALLS_MAX = 65_536;
/** Memory that one read makes. */
export const READ_BYTES_MAX = 1024 * 1024 * 1024;

export interface WriteOptions {
  /** The data is on stable media when the promise is fulfilled. */
  readonly fua?: boolean;
}

/** A range of the device with one state. */
export interface BlockStatusExtent {
  readonly offset: number;
  readonly length: number;
  /** `ExtentFlag` bits. */
  readonly flags: number;
}

export class PromiseDevice implements BufferWaiter, PieceOwner {
  readonly device: Device;
  readonly #reserve: BufferReserve;
  readonly #memory: AlignedMemory | null;
  /** Calls with bytes that are not yet submitted, in order. */
  #first: Call | null = null;
  #last: Call | null = null;
  #freePieces: Piece[] = [];
  #running = 0;
  #pendingCalls = 0;
  #isWaiting = false;
  #closed: Promise<void> | null = null;

  /**
   * @param memory callers' buffers in it are used without a copy
   * @throws PenstockError `out-of-buffers` when the pool cannot give the reserve
   */
  constructor(device: Device, memory: AlignedMemory | null = null) {
    this.#reserve = takeReserve(device.reactor.buffers, device.info.name);
    this.device = device;
    this.#memory = memory;
  }

  /**
   * Reads `length` bytes (at most READ_BYTES_MAX) into fresh memory, or as many as `target` holds
   * into that. `target` is the callee's until the promise settles. Rejects with DeviceError.
   */
  async readAt(offset: number, lengthOrTarget: number | Uint8Array): Promise<Uint8Array> {
    if (typeof lengthOrTarget !== "number") {
      await this.#start(Operation.read, offset, lengthOrTarget.length, 0, lengthOrTarget);
      return lengthOrTarget;
    }
    const length = lengthOrTarget;
    if (length > READ_BYTES_MAX) {
      const message = `${length} bytes in one read, at most ${READ_BYTES_MAX}`;
      throw new PenstockError({ code: "length-too-large", message, details: { length } });
    }
    // A length that makes no sense is refused by the device.
    const fresh = new Uint8Array(Number.isSafeInteger(length) && length > 0 ? length : 0);
    await this.#start(Operation.read, offset, length, 0, fresh);
    return fresh;
  }

  /** `bytes` are the callee's until the promise settles. Rejects with DeviceError. */
  async writeAt(offset: number, bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    await this.#start(Operation.write, offset, bytes.length, flagsOf(options), bytes);
  }

  /** Rejects with DeviceError `compare-failed`; details.errorOffset says where. */
  async compare(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#start(Operation.compare, offset, bytes.length, 0, bytes);
  }

  /** Everything written before the call is on stable media afterwards. */
  async flush(): Promise<void> {
    await this.#start(Operation.flush, 0, 0, 0, null);
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#start(Operation.discard, offset, length, 0, null);
  }

  async writeZeroes(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    await this.#start(Operation.writeZeroes, offset, length, flagsOf(options), null);
  }

  /** Consecutive ranges that cover all of [offset, offset + length). */
  async blockStatus(offset: number, length: number): Promise<BlockStatusExtent[]> {
    const found: BlockStatusExtent[] = [];
    for (let done = 0; done < length || found.length === 0; ) {
      const call = await this.#start(Operation.blockStatus, offset + done, length - done, 0, null);
      const extents = call.extents as ExtentList; // made for this operation
      assert(extents.lengthBytes > 0, "block status gets on");
      for (let index = 0; index < extents.count; index++) {
        const extent = extents.lengths[index] as number;
        const flags = extents.flags[index] as number;
        found.push({ offset: offset + done, length: extent, flags });
        done += extent;
      }
    }
    return found;
  }

  /** Waits for what runs, then closes the device. Calls that wait are refused. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  // In the reactor's turn.
  buffersAvailable(): void {
    this.#isWaiting = false;
    this.#pump();
  }

  // In the reactor's turn.
  pieceEnded(piece: Piece): void {
    const call = piece.call as Call; // set while it runs
    this.#running--;
    call.runningPieces--;
    if (piece.status !== Status.ok) call.fail(piece);
    else if (piece.operation === Operation.read) call.copyIn(piece);
    piece.letGo();
    this.#freePieces.push(piece);
    this.#endIfDone(call);
    this.#pump();
  }

  #start(
    operation: Operation,
    offset: number,
    length: number,
    flags: number,
    bytes: Uint8Array | null,
  ): Promise<Call> {
    if (this.#pendingCalls >= PENDING_CALLS_MAX) {
      const message = `${PENDING_CALLS_MAX} calls on ${this.device.info.name} have not ended`;
      return Promise.reject(
        new PenstockError({ code: "too-many-calls", message, retryable: true }),
      );
    }
    this.#pendingCalls++;
    const memory = bytes === null ? null : (this.#memory?.find(bytes) ?? null);
    return new Promise((resolve, reject) => {
      this.#enqueue(new Call({ operation, offset, length, flags, bytes, memory, resolve, reject }));
      this.#pump();
    });
  }

  #enqueue(call: Call): void {
    if (this.#last === null) this.#first = call;
    else this.#last.next = call;
    this.#last = call;
  }

  #dequeue(): void {
    this.#first = this.#first?.next ?? null;
    if (this.#first === null) this.#last = null;
  }

  /** Submits pieces of the waiting calls for as long as there is room. */
  #pump(): void {
    for (let call = this.#first; call !== null; call = this.#first) {
      if (call.isSubmitted) this.#dequeue();
      else if (this.#running >= RUNNING_MAX || !this.#submitPiece(call)) return;
    }
  }

  /** @returns false when there is no buffer: the pool will call */
  #submitPiece(call: Call): boolean {
    const { maxTransferBytes } = this.device.info;
    const left = call.length - call.submittedBytes;
    const offset = call.offset + call.submittedBytes;
    // What the device will refuse goes to it whole and without memory: it knows the status.
    const movesBytes = call.bytes !== null && this.#closed === null && this.#isSane(call);
    if (movesBytes && !call.hasItsBytes) {
      call.loseBytes();
      this.#endIfDone(call);
      return true;
    }
    const needsBuffer = movesBytes && call.memory === null;
    const wanted = movesBytes ? Math.min(left, maxTransferBytes, BUFFER_BYTES_MAX) : left;
    const buffer = needsBuffer ? this.#acquire(wanted) : null;
    if (needsBuffer && buffer === null) return false;
    const length = buffer === null ? wanted : Math.min(wanted, buffer.lengthBytes);
    const piece = this.#freePieces.pop() ?? new Piece(this);
    piece.prepare(call, offset, length, buffer);
    call.submittedBytes += length;
    call.hasStarted = true;
    call.runningPieces++;
    this.#running++;
    this.device.submit(piece);
    return true;
  }

  #isSane({ offset, length }: Call): boolean {
    const { blockSizeBytes, sizeBytes } = this.device.info;
    const isAligned = offset % blockSizeBytes === 0 && length % blockSizeBytes === 0;
    return isAligned && length > 0 && offset >= 0 && offset + length <= sizeBytes;
  }

  #acquire(wanted: number): PoolBuffer | null {
    const buffer = this.#reserve.acquirePiece(wanted);
    if (buffer === null && !this.#isWaiting) {
      this.#isWaiting = true;
      this.device.reactor.buffers.wait(this);
    }
    return buffer;
  }

  #endIfDone(call: Call): void {
    if (call.runningPieces > 0 || !call.isSubmitted) return;
    this.#pendingCalls--;
    this.device.reactor.deliverLater(() => call.settle(this.device.info.name));
  }

  async #close(): Promise<void> {
    for (let call = this.#first; call !== null; call = this.#first) {
      this.#dequeue();
      call.refuse(Status.notReady);
      this.#endIfDone(call);
    }
    await this.device.close();
    this.device.reactor.buffers.stopWaiting(this);
    this.#reserve.close();
  }
}

function flagsOf({ fua }: WriteOptions): number {
  return fua === true ? RequestFlag.fua : 0;
}
