/**
 * Channel: a bounded ring of variable-length records of 32-bit words, from one thread to one other.
 *
 * One writer and one reader, each on its own thread (or both on one). The memory is one
 * SharedArrayBuffer that can be posted to the other side. Nothing is allocated per record. Who
 * sleeps is not the channel's business: after `publish`, and after a read that made the room that
 * the writer waits for, the caller rings the other side's `Doorbell`.
 *
 *   words: | tail | head | writer waits |  (a cache line each)  | records ...                    |
 *   record: | length | word 0 | word 1 | ... |  contiguous; length -1: the rest up to the end is
 *   skipped and the next record is at the beginning.
 *
 * `tail` and `head` count words for ever (modulo 2^32). Memory order, by `Atomics` (all of them
 * sequentially consistent):
 * 1. The writer stores `tail` after the record's plain words; the reader loads `tail` before it
 *    reads them: it never sees a record half written.
 * 2. The reader stores `head` after it has read the words; the writer loads `head` before it
 *    overwrites them: a record is never changed while it is read.
 * 3. The writer stores `writer waits`, then loads `head` again; the reader stores `head`, then
 *    loads `writer waits`. In one order of all four, either the writer sees the room or the reader
 *    sees that it is waited for: the news of room cannot be lost.
 */

import { assert } from "../util/assert.ts";

/** Words between two that different threads write: 64 bytes, a cache line. */
const LINE_WORDS = 16;
const TAIL_AT = 0;
const HEAD_AT = LINE_WORDS;
const WAITS_AT = 2 * LINE_WORDS;
const HEADER_WORDS = 3 * LINE_WORDS;

/** Marks the unused end of the ring. */
const SKIP = -1;

const CAPACITY_WORDS_MAX = 1 << 24;

/** Gets the records of one `read`. Must not throw. */
export interface RecordSink {
  /** The record is `words[at .. at + length)`, to be read before this returns. Hot path. */
  record(words: Int32Array, at: number, length: number): void;
}

/**
 * The memory of a channel.
 * @param capacityWords a power of two from 16 words
 */
export function createChannel(capacityWords: number): SharedArrayBuffer {
  const isPower = capacityWords > 0 && (capacityWords & (capacityWords - 1)) === 0;
  assert(isPower && capacityWords >= 16 && capacityWords <= CAPACITY_WORDS_MAX, "channel size");
  return new SharedArrayBuffer((HEADER_WORDS + capacityWords) * 4);
}

/** The longest record of a channel: two of them fit at any place of the ring, so one always can. */
export function recordWordsMax(capacityWords: number): number {
  return capacityWords / 2 - 1;
}

/** The writer's side. One object per channel, on one thread. */
export class ChannelWriter {
  /** What `reserve` answers indices of. */
  readonly words: Int32Array;
  readonly #capacity: number;
  /** Where the next record goes; published up to `#published`. */
  #tail: number;
  #published: number;
  /** The reader's `head` as last seen: there is at least this much room. */
  #headSeen: number;

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.#capacity = this.words.length - HEADER_WORDS;
    this.#tail = Atomics.load(this.words, TAIL_AT);
    this.#published = this.#tail;
    this.#headSeen = Atomics.load(this.words, HEAD_AT);
  }

  /**
   * Room for a record of `length` words, which the caller fills at once.
   * @returns the index of its first word in `words`, or -1 when the ring is full: then
   *   `ChannelReader.writerWaits` will tell the reader's side of it as soon as there is room
   */
  // hot path
  reserve(length: number): number {
    const capacity = this.#capacity;
    assert(length > 0 && length <= recordWordsMax(capacity), "a record fits into its channel");
    const place = this.#tail & (capacity - 1);
    const skipped = place + 1 + length > capacity ? capacity - place : 0;
    if (!this.#hasRoom(skipped + 1 + length)) return -1;
    if (skipped > 0) {
      this.words[HEADER_WORDS + place] = SKIP;
      this.#tail = (this.#tail + skipped) | 0;
    }
    const at = HEADER_WORDS + (this.#tail & (capacity - 1));
    this.words[at] = length;
    this.#tail = (this.#tail + 1 + length) | 0;
    return at + 1;
  }

  /** Appends a copy of `source[from .. from + length)`; false when the ring is full. */
  push(source: Int32Array, from: number, length: number): boolean {
    const at = this.reserve(length);
    if (at < 0) return false;
    for (let index = 0; index < length; index++) {
      this.words[at + index] = source[from + index] as number;
    }
    return true;
  }

  /**
   * Shows the reader all records so far.
   * @returns true when there were new ones: the caller rings the reader's doorbell
   */
  // hot path
  publish(): boolean {
    if (this.#tail === this.#published) return false;
    this.#published = this.#tail;
    Atomics.store(this.words, TAIL_AT, this.#tail); // order 1
    return true;
  }

  #hasRoom(wanted: number): boolean {
    if (this.#room() >= wanted) return true;
    this.#headSeen = Atomics.load(this.words, HEAD_AT); // order 2
    if (this.#room() >= wanted) return true;
    Atomics.store(this.words, WAITS_AT, 1); // order 3
    this.#headSeen = Atomics.load(this.words, HEAD_AT);
    if (this.#room() < wanted) return false;
    Atomics.store(this.words, WAITS_AT, 0);
    return true;
  }

  #room(): number {
    return this.#capacity - ((this.#tail - this.#headSeen) | 0);
  }
}

/** The reader's side. One object per channel, on one thread. */
export class ChannelReader {
  readonly #words: Int32Array;
  readonly #capacity: number;
  #head: number;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    this.#capacity = this.#words.length - HEADER_WORDS;
    this.#head = Atomics.load(this.#words, HEAD_AT);
  }

  /**
   * Gives `sink` all records that are published now; later ones ring again. Their room is the
   * writer's again afterwards.
   * @returns how many records there were
   */
  // hot path
  read(sink: RecordSink): number {
    const words = this.#words;
    const mask = this.#capacity - 1;
    const tail = Atomics.load(words, TAIL_AT); // order 1
    if (tail === this.#head) return 0;
    let count = 0;
    while (this.#head !== tail) {
      const place = this.#head & mask;
      const at = HEADER_WORDS + place;
      const length = words[at] as number;
      if (length === SKIP) {
        this.#head = (this.#head + this.#capacity - place) | 0;
        continue;
      }
      this.#head = (this.#head + 1 + length) | 0;
      count++;
      sink.record(words, at + 1, length);
    }
    Atomics.store(words, HEAD_AT, tail); // order 2
    return count;
  }

  /** True, once, when the writer has found the ring full and waits: the caller rings it. */
  // hot path
  writerWaits(): boolean {
    if (Atomics.load(this.#words, WAITS_AT) === 0) return false; // order 3
    Atomics.store(this.#words, WAITS_AT, 0);
    return true;
  }
}
