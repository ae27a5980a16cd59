/**
 * FrameBuffer: the memory of one frame while it is filled and written, and who waits for it.
 * Owned by PoolLog, which has two: one is filled while the other is written.
 */

import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { FRAME_BYTES_MAX } from "../pool-layout.ts";
import { FRAME_HEADER_BYTES, FRAME_HEADER_WORDS } from "./log-frame.ts";
import type { LogEntry } from "./pool-log.ts";

export class FrameBuffer {
  readonly slab: Slab;
  readonly words: Uint32Array;
  /** Place behind the last record. */
  end = FRAME_HEADER_WORDS;
  recordCount = 0;
  /** Of the frame, once it is being written. */
  sequence = 0;
  #first: LogEntry | null = null;
  #last: LogEntry | null = null;
  readonly #reactor: Reactor;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
    this.slab = reactor.io.slabs.allocate(FRAME_BYTES_MAX);
    const { buffer, byteOffset } = this.slab.bytes;
    this.words = new Uint32Array(buffer, byteOffset, FRAME_BYTES_MAX / 4);
  }

  get recordBytes(): number {
    return this.end * 4 - FRAME_HEADER_BYTES;
  }

  /** The record that ends at `end` is the entry's. Hot path. */
  added(entry: LogEntry, end: number): void {
    assert(entry.nextEntry === null && entry !== this.#last, "an entry has one record at a time");
    this.end = end;
    this.recordCount++;
    if (this.#last === null) this.#first = entry;
    else this.#last.nextEntry = entry;
    this.#last = entry;
  }

  /** Takes the list of entries. Empty afterwards, to be filled anew. Hot path. */
  takeEntries(): LogEntry | null {
    const first = this.#first;
    this.#first = null;
    this.#last = null;
    this.end = FRAME_HEADER_WORDS;
    this.recordCount = 0;
    return first;
  }

  close(): void {
    assert(this.#first === null, "nobody waits for a frame of a closed log");
    this.#reactor.io.slabs.release(this.slab);
  }
}
