/**
 * ByteSink: a bounded buffer that handshake messages are appended to, big-endian.
 *
 * Owned by one state machine; whoever sends the bytes copies or sends them before `clear`. It
 * grows by doubling up to its capacity, so that an idle connection holds next to nothing. Writing
 * beyond the capacity is a bug: writers check `roomBytes` before they start a message.
 */

import { assert } from "../../util/assert.ts";

const INITIAL_BYTES = 256;
const WORD = 4_294_967_296;
const encoder = new TextEncoder();

export class ByteSink {
  readonly capacityBytes: number;
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacityBytes: number) {
    assert(capacityBytes >= INITIAL_BYTES, "a byte sink holds at least 256 bytes");
    this.capacityBytes = capacityBytes;
    this.#bytes = new Uint8Array(INITIAL_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written since the last `clear`. */
  get lengthBytes(): number {
    return this.#length;
  }

  get roomBytes(): number {
    return this.capacityBytes - this.#length;
  }

  /** What was written: a view, valid until the next write or `clear`. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets what was written, and gives memory back when it was much. */
  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > INITIAL_BYTES) this.#replace(INITIAL_BYTES);
  }

  uint16(value: number): void {
    const at = this.#claim(2);
    this.#view.setUint16(at, value);
  }

  uint32(value: number): void {
    const at = this.#claim(4);
    this.#view.setUint32(at, value);
  }

  /** @param value 0 to 2^53 - 1 */
  uint64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a 64-bit field holds 0 to 2^53 - 1");
    const at = this.#claim(8);
    this.#view.setUint32(at, Math.floor(value / WORD));
    this.#view.setUint32(at + 4, value % WORD);
  }

  zeroes(count: number): void {
    const at = this.#claim(count);
    this.#bytes.fill(0, at, at + count);
  }

  append(bytes: Uint8Array): void {
    const at = this.#claim(bytes.length);
    this.#bytes.set(bytes, at);
  }

  #claim(count: number): number {
    const at = this.#length;
    const end = at + count;
    assert(end <= this.capacityBytes, "a message fits into the room that was checked");
    if (end > this.#bytes.length) {
      const grown = Math.max(end, Math.min(2 * this.#bytes.length, this.capacityBytes));
      const kept = this.#bytes.subarray(0, at);
      this.#replace(grown);
      this.#bytes.set(kept);
    }
    this.#length = end;
    return at;
  }

  #replace(size: number): void {
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }
}

/** UTF-8 of `text`, for strings on the wire. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}
