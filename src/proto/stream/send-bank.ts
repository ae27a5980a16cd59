/**
 * SendBank: the replies of one send: headers written one after the other, and the ranges to send.
 *
 * A connection fills one bank while another is being sent. Banks are pooled per reactor: an idle
 * connection has none. Ranges point at the bank's own headers or at memory of the commands in
 * `commands`, which stay alive until the send has ended.
 */

import type { SegmentList } from "../../block/segments.ts";
import type { Io, IoVector } from "../../reactor/io.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { pushRanges } from "./push-ranges.ts";

const HEADER_BYTES = 16 * 1024;
const RANGE_COUNT = 512;

/** One reply never takes more headers or ranges than this. */
export const REPLY_HEADER_BYTES_MAX = 2048;
export const REPLY_RANGES_MAX = 64;

/** A bank this full is sent before more replies are added. */
const SEND_BYTES_MAX = 2 * 1024 * 1024;

/** A command, or part of one, whose reply a bank sends: banks list theirs. */
export interface Replied<C> {
  nextReply: C | null;
}

export class SendBank<C extends Replied<C>> {
  readonly slab: Slab;
  readonly view: DataView;
  readonly vector: IoVector;
  /** Bytes of headers written. */
  used = 0;
  /** Commands whose memory is in the ranges or whose reply ends here; a list by `nextReply`. */
  commands: C | null = null;
  next: SendBank<C> | null = null;

  constructor(io: Io) {
    this.slab = io.slabs.allocate(HEADER_BYTES);
    this.view = this.slab.view;
    this.vector = io.vector(RANGE_COUNT);
  }

  get isEmpty(): boolean {
    return this.vector.count === 0;
  }

  /** True while any one reply still fits. Hot path. */
  get hasRoom(): boolean {
    return (
      this.used + REPLY_HEADER_BYTES_MAX <= HEADER_BYTES &&
      this.vector.count + REPLY_RANGES_MAX <= RANGE_COUNT &&
      this.vector.lengthBytes < SEND_BYTES_MAX
    );
  }

  /** Adds the header bytes just written at `used`. Hot path. */
  pushHeader(lengthBytes: number): void {
    assert(this.used + lengthBytes <= HEADER_BYTES, "headers fit their bank");
    this.vector.push(this.slab, this.used, lengthBytes);
    this.used += lengthBytes;
  }

  /** Adds `segments`' bytes [start, start + length). Hot path. */
  pushData(io: Io, segments: SegmentList, start: number, length: number): void {
    pushRanges(io, this.vector, segments, start, length);
  }

  /** Copies as many of `bytes` as there is room for; returns how many. */
  pushBytes(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, HEADER_BYTES - this.used);
    if (taken === 0) return 0;
    this.slab.bytes.set(bytes.subarray(0, taken), this.used);
    this.pushHeader(taken);
    return taken;
  }

  clear(): void {
    this.used = 0;
    this.vector.clear();
    this.commands = null;
  }
}

/** Free banks of one reactor. */
export class SendBankPool<C extends Replied<C>> {
  readonly #io: Io;
  #free: SendBank<C> | null = null;
  #closed = false;

  constructor(io: Io) {
    this.#io = io;
  }

  // hot path
  take(): SendBank<C> {
    const bank = this.#free;
    if (bank === null) return new SendBank<C>(this.#io);
    this.#free = bank.next;
    bank.next = null;
    return bank;
  }

  // hot path
  give(bank: SendBank<C>): void {
    bank.clear();
    if (this.#closed) {
      this.#io.slabs.release(bank.slab);
      return;
    }
    bank.next = this.#free;
    this.#free = bank;
  }

  /** Gives the memory of all banks back; of those in use, when they are given. Idempotent. */
  close(): void {
    this.#closed = true;
    for (let bank = this.#free; bank !== null; bank = bank.next) {
      this.#io.slabs.release(bank.slab);
    }
    this.#free = null;
  }
}
