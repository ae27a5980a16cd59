/**
 * RequestBank: the requests of one send: headers written one after the other, and the ranges to
 * send: stretches of headers, and writes' data where it lies.
 *
 *   filled --connection sends--> sent, in pieces --> cleared
 *
 * One per connection at a time, used again by later ones (native memory is never given back).
 * Commands whose data is in the ranges are listed in
 * `payloads` and keep their memory until the send has ended.
 */

import { SEGMENT_COUNT_MAX, type SegmentList } from "../../block/segments.ts";
import type { Io, IoVector } from "../../reactor/io.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import type { InitiatorCommand } from "./initiator-command.ts";
import { encodeRequest, RequestHeader, requestHeaderBytes, setOffset } from "./pdu-request.ts";
import { Command } from "./constants.ts";

const HEADER_BYTES = 16 * 1024;
/** The kernel takes 1024 ranges at a time. spec: IOV_MAX of limits.h */
const RANGE_COUNT = 1024;
/** Ranges of one request: two stretches of headers and the most segments. */
const REQUEST_RANGES_MAX = SEGMENT_COUNT_MAX + 2;
/** A bank this full is sent before more is added. */
const SEND_BYTES_MAX = 2 * 1024 * 1024;

export class RequestBank {
  readonly vector: IoVector;
  /** For receives of a read's data and what follows it. */
  readonly receiveVector: IoVector;
  /** Commands whose data is being sent; a list by `next`. */
  payloads: InitiatorCommand | null = null;
  readonly #io: Io;
  readonly #slab: Slab;
  #extended = false;
  #headerBytes: number = requestHeaderBytes(false);
  readonly #header = new RequestHeader();
  /** Headers written; those from `#shown` on are not in the vector yet. */
  #used = 0;
  #shown = 0;

  constructor(io: Io) {
    this.#io = io;
    this.#slab = io.slabs.allocate(HEADER_BYTES);
    this.vector = io.vector(RANGE_COUNT);
    this.receiveVector = io.vector(SEGMENT_COUNT_MAX + 1);
  }

  /** From now on requests have extended headers, or not. */
  setForm(extended: boolean): void {
    this.#extended = extended;
    this.#headerBytes = requestHeaderBytes(extended);
  }

  /** Adds a part of the handshake. */
  addBytes(bytes: Uint8Array): void {
    assert(this.#used + bytes.length <= HEADER_BYTES, "a handshake's part fits");
    this.#slab.bytes.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  /** True while any one request still fits. Hot path. */
  get hasRoom(): boolean {
    return (
      this.#used + this.#headerBytes <= HEADER_BYTES &&
      this.vector.count + REQUEST_RANGES_MAX <= RANGE_COUNT &&
      this.vector.lengthBytes < SEND_BYTES_MAX
    );
  }

  /** Adds a request, a write's data with it. Hot path. */
  add(command: InitiatorCommand): void {
    const header = this.#header;
    header.flags = command.flags;
    header.command = command.command;
    header.cookieHigh = 0;
    header.cookieLow = command.cookie;
    header.length = command.length;
    setOffset(header, command.offset);
    this.#used += encodeRequest(this.#slab.view, this.#used, this.#extended, header);
    if (command.command !== Command.write || command.segments === null) return;
    this.#showHeaders();
    this.#pushData(command.segments, command.segmentStart, command.length);
    command.isSending = true;
    command.next = this.payloads;
    this.payloads = command;
  }

  /** The last request: nothing is answered. */
  addDisconnect(): void {
    const header = this.#header;
    header.flags = 0;
    header.command = Command.disconnect;
    header.cookieLow = 0;
    header.length = 0;
    setOffset(header, 0);
    this.#used += encodeRequest(this.#slab.view, this.#used, this.#extended, header);
  }

  /** Everything added is in the vector afterwards. Hot path. */
  finish(): IoVector {
    this.#showHeaders();
    return this.vector;
  }

  clear(): void {
    this.#used = 0;
    this.#shown = 0;
    this.vector.clear();
    this.payloads = null;
  }

  /** Gives its memory back; nothing is being sent. */
  release(): void {
    this.#io.slabs.release(this.#slab);
  }

  // hot path
  #showHeaders(): void {
    if (this.#shown === this.#used) return;
    this.vector.push(this.#slab, this.#shown, this.#used - this.#shown);
    this.#shown = this.#used;
  }

  // hot path
  #pushData(segments: SegmentList, start: number, length: number): void {
    const { slabs } = this.#io;
    let skip = start;
    let left = length;
    for (let index = 0; left > 0; index++) {
      const available = segments.length(index) - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const taken = Math.min(available, left);
      this.vector.push(slabs.get(segments.slabId(index)), segments.offset(index) + skip, taken);
      skip = 0;
      left -= taken;
    }
  }
}
