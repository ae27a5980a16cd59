/**
 * InitiatorBank: what an initiator's connection sends at once: headers written one after the
 * other, and the ranges to send: stretches of headers, and commands' data where it lies.
 *
 *   filled --connection sends--> sent, in pieces --> cleared
 *
 * One per connection at a time, used again by later ones (native memory is never given back).
 * Commands whose data is in the ranges are listed in `payloads` and keep their memory until the
 * send has ended. Each protocol's bank extends it by what it writes.
 */

import { SEGMENT_COUNT_MAX, type SegmentList } from "../../block/segments.ts";
import type { Io, IoVector } from "../../reactor/io.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { pushRanges } from "./push-ranges.ts";

const HEADER_BYTES = 16 * 1024;
/** The kernel takes 1024 ranges at a time. spec: IOV_MAX of limits.h */
const RANGE_COUNT = 1024;
/** Ranges of one command: three stretches of headers and the most segments. */
const COMMAND_RANGES_MAX = SEGMENT_COUNT_MAX + 3;
/** A bank this full is sent before more is added. */
const SEND_BYTES_MAX = 2 * 1024 * 1024;

/** A command whose data is sent from where it lies. */
export interface Sendable<C> {
  next: C | null;
  /** Its data is in a send in flight. */
  isSending: boolean;
}

export class InitiatorBank<C extends Sendable<C>> {
  readonly vector: IoVector;
  /** For receives of a read's data and what follows it. */
  readonly receiveVector: IoVector;
  /** Commands whose data is being sent; a list by `next`. */
  payloads: C | null = null;
  protected readonly slab: Slab;
  /** Headers written; those from `#shown` on are not in the vector yet. */
  protected used = 0;
  readonly #io: Io;
  #shown = 0;

  constructor(io: Io) {
    this.#io = io;
    this.slab = io.slabs.allocate(HEADER_BYTES);
    this.vector = io.vector(RANGE_COUNT);
    this.receiveVector = io.vector(SEGMENT_COUNT_MAX + 1);
  }

  /** Adds bytes as they are: a part of a handshake. */
  addBytes(bytes: Uint8Array): void {
    assert(this.used + bytes.length <= HEADER_BYTES, "a handshake's part fits");
    this.slab.bytes.set(bytes, this.used);
    this.used += bytes.length;
  }

  get isEmpty(): boolean {
    return this.used === 0;
  }

  /** Bytes that are to be sent. */
  get lengthBytes(): number {
    return this.vector.lengthBytes + this.used - this.#shown;
  }

  /** True while a command with this many bytes of headers still fits. Hot path. */
  hasRoomFor(headerBytes: number): boolean {
    return (
      this.used + headerBytes <= HEADER_BYTES &&
      this.vector.count + COMMAND_RANGES_MAX <= RANGE_COUNT &&
      this.vector.lengthBytes < SEND_BYTES_MAX
    );
  }

  /** Everything added is in the vector afterwards. Hot path. */
  finish(): IoVector {
    this.#showHeaders();
    return this.vector;
  }

  clear(): void {
    this.used = 0;
    this.#shown = 0;
    this.vector.clear();
    this.payloads = null;
  }

  /** Gives its memory back; nothing is being sent. */
  release(): void {
    this.#io.slabs.release(this.slab);
  }

  /** Behind the headers so far: bytes [start, start + length) of `segments`. Hot path. */
  protected pushData(command: C, segments: SegmentList, start: number, length: number): void {
    this.#showHeaders();
    pushRanges(this.#io, this.vector, segments, start, length);
    if (command.isSending) return;
    command.isSending = true;
    command.next = this.payloads;
    this.payloads = command;
  }

  // hot path
  #showHeaders(): void {
    if (this.#shown === this.used) return;
    this.vector.push(this.slab, this.#shown, this.used - this.#shown);
    this.#shown = this.used;
  }
}
