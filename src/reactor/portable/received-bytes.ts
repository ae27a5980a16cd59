/**
 * ReceivedBytes: what Node has read from a socket and nobody has taken yet.
 *
 * A list of chunks with a position in the first. Its owner stops reading when `isFull`, so it
 * holds at most BYTES_MAX plus one chunk. Many small chunks count as full too: each costs far
 * more memory than its bytes. What has been taken is freed at once: Node reads into a new 64 KiB
 * each time, and the collector would let some 60 MiB of them pile up.
 */

const BYTES_MAX = 64 * 1024;
const CHUNK_COUNT_MAX = 64;

export class ReceivedBytes {
  lengthBytes = 0;
  #chunks: Uint8Array[] = [];
  #start = 0;

  get isFull(): boolean {
    return this.lengthBytes >= BYTES_MAX || this.#chunks.length >= CHUNK_COUNT_MAX;
  }

  /** The chunk is ours from now on, and its memory too when it is all of its buffer. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.lengthBytes += chunk.length;
  }

  /** Moves bytes to [offset, offset + length) of `into`; returns how many there were. */
  take(into: Uint8Array, offset: number, length: number): number {
    let taken = 0;
    while (taken < length) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const count = Math.min(chunk.length - this.#start, length - taken);
      into.set(chunk.subarray(this.#start, this.#start + count), offset + taken);
      taken += count;
      this.#start += count;
      if (this.#start < chunk.length) break;
      this.#chunks.shift();
      this.#start = 0;
      freeNow(chunk);
    }
    this.lengthBytes -= taken;
    return taken;
  }

  clear(): void {
    this.#chunks = [];
    this.#start = 0;
    this.lengthBytes = 0;
  }
}

/** An installed package may run on a Node 20, which leaves it to the garbage collection. */
const CAN_DETACH = "transfer" in ArrayBuffer.prototype;

/** Detaches a chunk's memory, so that it is free without a garbage collection. Hot path. */
function freeNow(chunk: Uint8Array): void {
  const { buffer } = chunk;
  // A part of something larger (a pooled Buffer) has other users.
  if (buffer.byteLength !== chunk.byteLength || !(buffer instanceof ArrayBuffer)) return;
  if (CAN_DETACH) buffer.transfer(0);
}
