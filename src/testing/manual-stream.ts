/**
 * ManualStream: the test's end of a connection, and the kernel between: every receive and send ends
 * when the test says so. What a kernel may do late is done late here.
 */

import assert from "node:assert/strict";
import type { ByteStream } from "../reactor/byte-stream.ts";
import { HeapVector } from "../reactor/heap-vector.ts";
import type { IoOp, IoVector } from "../reactor/io.ts";
import type { Slab } from "../reactor/slab.ts";

export class ManualStream implements ByteStream {
  /** All that has been sent so far. */
  sent: Buffer = Buffer.alloc(0);
  isShut = false;
  isEnded = false;
  isClosed = false;
  /** It went to another reactor. */
  isReleased = false;
  /** A receive was asked to end. */
  isCancelled = false;
  /** Sends end by themselves, at the next `settle`. */
  sendsByItself = true;
  #receiveOp: IoOp | null = null;
  #target = new HeapVector(32);
  #sendOp: IoOp | null = null;
  #source: HeapVector | null = null;

  get isReceiving(): boolean {
    return this.#receiveOp !== null;
  }

  /** Bytes that the receive in flight has room for. */
  get receiveRoom(): number {
    return this.#target.lengthBytes;
  }

  get isSending(): boolean {
    return this.#sendOp !== null;
  }

  receive(op: IoOp, slab: Slab, offset: number, length: number): void {
    this.#target.clear();
    this.#target.push(slab, offset, length);
    this.#begin(op);
  }

  receiveVector(op: IoOp, vector: IoVector): void {
    const ranges = vector as HeapVector;
    this.#target.clear();
    for (let index = 0; index < ranges.count; index++) {
      const length = ranges.lengthAt(index);
      this.#target.push(ranges.slabAt(index), ranges.offsetAt(index), length);
    }
    this.#begin(op);
  }

  /** The bytes arrive, and the receive in flight ends with them. */
  deliver(bytes: Uint8Array): void {
    let done = 0;
    for (let index = 0; done < bytes.length; index++) {
      const taken = Math.min(this.#target.lengthAt(index), bytes.length - done);
      const at = this.#target.offsetAt(index);
      this.#target.slabAt(index).bytes.set(bytes.subarray(done, done + taken), at);
      done += taken;
    }
    this.endReceive(bytes.length);
  }

  /** The receive in flight ends: 0 at the end of the stream, or -errno. */
  endReceive(result: number): void {
    const op = this.#receiveOp;
    assert.ok(op !== null, "a receive is in flight");
    this.#receiveOp = null;
    op.inFlight = false;
    op.complete(result);
  }

  send(op: IoOp, vector: IoVector): void {
    assert.equal(this.#sendOp, null, "one send at a time");
    this.#sendOp = op;
    this.#source = vector as HeapVector;
    op.inFlight = true;
  }

  /** The send in flight ends: all of it, or with -errno. */
  endSend(errno = 0): void {
    const [op, source] = [this.#sendOp, this.#source];
    assert.ok(op !== null && source !== null, "a send is in flight");
    this.#sendOp = null;
    op.inFlight = false;
    if (errno !== 0) {
      op.complete(-errno);
      return;
    }
    const { lengthBytes } = source;
    for (let index = 0; index < source.count; index++) {
      const at = source.offsetAt(index);
      const bytes = source.slabAt(index).bytes.subarray(at, at + source.lengthAt(index));
      this.sent = Buffer.concat([this.sent, bytes]);
    }
    op.complete(lengthBytes);
  }

  expect(): void {
    // The test delivers what it likes.
  }

  cancelReceive(): void {
    this.isCancelled = true;
  }

  end(): void {
    this.isEnded = true;
  }

  shutdown(): void {
    this.isShut = true;
  }

  release(): void {
    this.isReleased = true;
  }

  close(): void {
    this.isClosed = true;
  }

  #begin(op: IoOp): void {
    assert.equal(this.#receiveOp, null, "one receive at a time");
    this.#receiveOp = op;
    op.inFlight = true;
  }
}
