/**
 * NativeVector: iovec entries and a msghdr in native memory, written as 32-bit words.
 *
 * Layout: msghdr in bytes 0..63 (name, namelen, iov, iovlen, control, controllen, flags), iovec
 * entries of 16 bytes {base u64, length u64} from byte 64 on. `advance` moves the first entry.
 */

import { mapShared, type NativeMemory } from "../sys/memory.ts";
import { assert } from "../util/assert.ts";
import type { IoVector } from "./io.ts";
import { PAGE_BYTES, type Slab } from "./slab.ts";

const HEADER_BYTES = 64;
const ENTRY_BYTES = 16;
const TWO_32 = 4294967296;
/** Words of msghdr: iov pointer at byte 16, iovlen at byte 24. */
const IOV_WORD = 4;
const IOV_COUNT_WORD = 6;

/** Memory of vectors that nobody has any more, by length; of this thread. */
const freeMemory = new Map<number, NativeMemory[]>();

/**
 * Mappings are never undone, so a vector's memory goes to another one when it has been collected:
 * connections come and go, and a process has 65,530 mappings at most. The kernel has copied what a
 * vector says by the time that it is submitted (IORING_FEAT_SUBMIT_STABLE), and whoever waits for
 * its completion holds it.
 */
const collected = new FinalizationRegistry<NativeMemory>((memory) => {
  const list = freeMemory.get(memory.lengthBytes);
  if (list === undefined) freeMemory.set(memory.lengthBytes, [memory]);
  else list.push(memory);
});

export class NativeVector implements IoVector {
  readonly capacity: number;
  lengthBytes = 0;
  /** Address of the msghdr. */
  readonly headerAddress: number;
  readonly #words: Int32Array;
  #first = 0;
  #end = 0;

  constructor(capacity: number) {
    const bytes = HEADER_BYTES + capacity * ENTRY_BYTES;
    const rounded = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    const memory = freeMemory.get(rounded)?.pop() ?? mapShared(rounded);
    collected.register(this, memory);
    this.capacity = capacity;
    this.headerAddress = memory.address;
    this.#words = new Int32Array(memory.buffer).fill(0);
  }

  get count(): number {
    return this.#end - this.#first;
  }

  /** Address of the first entry left. */
  get entriesAddress(): number {
    return this.headerAddress + HEADER_BYTES + this.#first * ENTRY_BYTES;
  }

  // hot path
  clear(): void {
    this.#first = 0;
    this.#end = 0;
    this.lengthBytes = 0;
  }

  // hot path
  push(slab: Slab, offset: number, lengthBytes: number): void {
    assert(this.#end < this.capacity, "a vector has room for one more range");
    const at = (HEADER_BYTES >> 2) + (this.#end++ << 2);
    const address = slab.address + offset;
    const words = this.#words;
    words[at] = (address % TWO_32) | 0;
    words[at + 1] = (address / TWO_32) | 0;
    words[at + 2] = lengthBytes;
    this.lengthBytes += lengthBytes;
  }

  advance(lengthBytes: number): void {
    assert(lengthBytes <= this.lengthBytes, "advance stays within the vector");
    this.lengthBytes -= lengthBytes;
    let left = lengthBytes;
    while (left > 0) {
      const at = (HEADER_BYTES >> 2) + (this.#first << 2);
      const length = this.#words[at + 2] as number;
      if (length > left) {
        this.#moveStart(at, left);
        return;
      }
      left -= length;
      this.#first++;
    }
  }

  /** Points the msghdr at the entries left; returns its address. Hot path. */
  prepareHeader(): number {
    const entries = this.entriesAddress;
    this.#words[IOV_WORD] = (entries % TWO_32) | 0;
    this.#words[IOV_WORD + 1] = (entries / TWO_32) | 0;
    this.#words[IOV_COUNT_WORD] = this.count;
    return this.headerAddress;
  }

  #moveStart(at: number, bytes: number): void {
    const words = this.#words;
    const address = ((words[at] as number) >>> 0) + (words[at + 1] as number) * TWO_32 + bytes;
    words[at] = (address % TWO_32) | 0;
    words[at + 1] = (address / TWO_32) | 0;
    words[at + 2] = (words[at + 2] as number) - bytes;
  }
}
