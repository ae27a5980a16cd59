/**
 * UnitCollector: gathers the stream's next unit (so many bytes to keep, or so many to skip) from
 * whatever pieces arrive.
 *
 * Owned by one state machine. Memory grows with the bytes that have arrived, at most twofold,
 * never with what a header promises.
 */

/** A buffer larger than this is not kept from one unit to the next. */
const KEPT_BYTES_MAX = 1024;
const NO_BYTES = new Uint8Array(0);

export class UnitCollector {
  #buffer = NO_BYTES;
  #collected = 0;
  #wanted = 0;
  #skips = false;

  /** Starts a unit of `lengthBytes` that is kept, then found in `bytes`. */
  collect(lengthBytes: number): void {
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = NO_BYTES;
    this.#collected = 0;
    this.#wanted = lengthBytes;
    this.#skips = false;
  }

  /** Starts a unit of `lengthBytes` that is thrown away. */
  skip(lengthBytes: number): void {
    this.collect(lengthBytes);
    this.#skips = true;
  }

  get isComplete(): boolean {
    return this.#collected === this.#wanted;
  }

  /** What was collected: a view, valid until the next unit starts. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#skips ? 0 : this.#collected);
  }

  /** Takes from bytes [at, end) what the unit still lacks; returns how many that were. */
  take(bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.min(this.#wanted - this.#collected, end - at);
    const filled = this.#collected + taken;
    if (!this.#skips) {
      if (filled > this.#buffer.length) this.#grow(filled);
      this.#buffer.set(bytes.subarray(at, at + taken), this.#collected);
    }
    this.#collected = filled;
    return taken;
  }

  /** The big-endian u32 at `at` of what was collected. */
  uint32(at: number): number {
    const buffer = this.#buffer;
    return new DataView(buffer.buffer, buffer.byteOffset, this.#collected).getUint32(at);
  }

  /** Lets go of all memory. */
  release(): void {
    this.#buffer = NO_BYTES;
    this.collect(0);
  }

  #grow(filled: number): void {
    const size = Math.max(filled, Math.min(2 * this.#buffer.length, this.#wanted));
    const grown = new Uint8Array(size);
    grown.set(this.#buffer.subarray(0, this.#collected));
    this.#buffer = grown;
  }
}
