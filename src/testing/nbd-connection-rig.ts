/**
 * NbdConnectionRig: one NbdConnection in its transmission phase over a stream whose every receive
 * and send ends when the test says so: what a kernel may do late is done late here.
 *
 * At the fake level. Owned by one test; the device is the test's.
 */

import assert from "node:assert/strict";
import type { Device } from "../block/device.ts";
import type { NbdCommand } from "../proto/nbd/command.ts";
import { NbdConnection } from "../proto/nbd/connection.ts";
import { NbdExport } from "../proto/nbd/export.ts";
import { transmissionFlags } from "../proto/nbd/export-description.ts";
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import type { ByteStream } from "../reactor/byte-stream.ts";
import { HeapVector } from "../reactor/heap-vector.ts";
import type { IoOp, IoVector } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { Slab } from "../reactor/slab.ts";

/** The test's end of a stream, and the kernel between. */
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

export interface RigOptions {
  readonly replies?: "simple" | "structured" | "extended";
}

export class NbdConnectionRig {
  readonly reactor: Reactor;
  readonly stream = new ManualStream();
  readonly exported: NbdExport;
  readonly connection: NbdConnection;
  /** Why it has closed. */
  reason = "";
  readonly #reserve: BufferReserve;
  readonly #reservedBytes: number;
  readonly #deviceBytes: number;

  constructor(device: Device, { replies = "structured" }: RigOptions = {}) {
    const { reactor } = device;
    const { buffers, io } = reactor;
    // The device has one of its own.
    this.#deviceBytes = buffers.heldBytes;
    const reserve = BufferReserve.create(buffers, BUFFER_BYTES_MAX);
    this.#reservedBytes = buffers.heldBytes;
    const buffer = buffers.acquire(BUFFER_BYTES_MIN);
    assert.ok(reserve !== null && buffer !== null);
    this.reactor = reactor;
    this.#reserve = reserve;
    this.exported = new NbdExport(device, { name: "vol" });
    const host = {
      reactor,
      directory: { find: () => null, list: () => [] },
      banks: new SendBankPool<NbdCommand>(io),
      reserve,
      vectors: new ReceiveVectors(io),
      handshakeMsMax: 1000,
      drainMsMax: 1000,
      findLocal: () => null,
      handOff: () => false,
      connectionClosed: (_connection: NbdConnection, reason: string) => {
        this.reason = reason;
      },
    };
    const window = new ReceiveWindow(buffers, buffer);
    this.connection = new NbdConnection(host, this.stream, window, "test");
    const { description } = this.exported;
    const session = {
      export: description,
      transmissionFlags: transmissionFlags(description, replies !== "simple"),
      structuredReplies: replies !== "simple",
      extendedHeaders: replies === "extended",
      noZeroes: true,
      blockSizeAgreed: false,
      metaContexts: replies === "simple" ? [] : [{ id: 0, name: "base:allocation" }],
    };
    this.connection.startTransmission(session, this.exported);
  }

  /** Lets `ms` of virtual time go by. */
  async settle(ms = 50): Promise<void> {
    const { clock } = this.reactor;
    const untilMs = clock.nowMs() + ms;
    do {
      if (this.stream.sendsByItself && this.stream.isSending) this.stream.endSend();
      await new Promise<void>((resolve) => void clock.startTimer(1, resolve));
    } while (clock.nowMs() < untilMs || (this.stream.sendsByItself && this.stream.isSending));
  }

  /** What of the pool is held beside the reserves. */
  get heldBytes(): number {
    return this.reactor.buffers.heldBytes - this.#reservedBytes;
  }

  /** The connection has closed: nothing may be left. */
  finish(): void {
    assert.ok(this.stream.isClosed, "the connection has closed");
    // A test that has closed the device has given its reserve back, too.
    const allBack = [0, -this.#deviceBytes];
    assert.ok(allBack.includes(this.heldBytes), `${this.heldBytes} bytes of buffers are not back`);
    assert.equal(this.exported.connections.size, 0);
    this.exported.release();
    this.#reserve.close();
  }
}
