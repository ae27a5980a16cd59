/**
 * FixedBufferTable: memory that a ring's kernel side holds the pages of, by number.
 *
 * Made empty with the first buffer, filled and emptied as slabs come and go. Where the kernel has
 * no such table, or RLIMIT_MEMLOCK leaves no room, the answer is -1: then operations are as they
 * were without. The kernel counts the operations in flight on a buffer, and keeps its pages until
 * the last has ended, whatever becomes of its number. spec: io_uring_register(2)
 */

import { assert } from "../util/assert.ts";
import { ioUringRegister } from "./libc.ts";
import { lockableBytes } from "./lockable-memory.ts";
import { returnPage, takePage } from "./memory.ts";

const Register = { buffers: 15, buffersUpdate: 16 } as const;

/** With buffers of 1 MiB four times what a reactor's pool has by default. */
const FIXED_BUFFERS_MAX = 256;
/**
 * Of what the user may lock: rings are counted in it, too, and those of other reactors and of other
 * processes of the same user must not find it used up.
 */
const LOCKABLE_SHARE = 1 / 16;
/** A table that is filled later; since Linux 5.19. */
const REGISTER_SPARSE = 1;
const STRUCT_BYTES = 32;
const TWO_32 = 4294967296;

export class FixedBufferTable {
  readonly #ringFd: number;
  readonly #free: number[] = [];
  /** By number: bytes; 0: the number is free. */
  readonly #lengths: number[] = [];
  #bytesLeft = lockableBytes() * LOCKABLE_SHARE;
  /** False from a refusal on, until memory is given back. */
  #hasRoom: boolean;

  constructor(ringFd: number) {
    this.#ringFd = ringFd;
    this.#hasRoom = this.#makeTable();
    if (!this.#hasRoom) return;
    for (let number = FIXED_BUFFERS_MAX - 1; number >= 0; number--) this.#free.push(number);
  }

  /** @returns the buffer's number, or -1 */
  add(address: number, lengthBytes: number): number {
    const number = this.#free.at(-1);
    if (!this.#hasRoom || number === undefined || lengthBytes > this.#bytesLeft) return -1;
    if (this.#update(number, address, lengthBytes) < 0) {
      this.#hasRoom = false;
      return -1;
    }
    this.#free.pop();
    this.#lengths[number] = lengthBytes;
    this.#bytesLeft -= lengthBytes;
    return number;
  }

  /** From now on the number means nothing, or another buffer. */
  remove(number: number): void {
    const lengthBytes = this.#lengths[number] ?? 0;
    assert(lengthBytes > 0, "a fixed buffer is removed once");
    const result = this.#update(number, 0, 0);
    assert(result === 1, `emptying a fixed buffer's number ended with ${result}`);
    this.#lengths[number] = 0;
    this.#bytesLeft += lengthBytes;
    this.#free.push(number);
    this.#hasRoom = true;
  }

  /** False where the kernel has no such table. */
  #makeTable(): boolean {
    // struct io_uring_rsrc_register: nr, flags, resv2 u64, data u64, tags u64.
    return this.#register(Register.buffers, () => [FIXED_BUFFERS_MAX, REGISTER_SPARSE]) === 0;
  }

  /** @returns 1, or -errno; no address: the number means nothing from now on */
  #update(number: number, address: number, lengthBytes: number): number {
    // struct io_uring_rsrc_update2: offset, resv, data u64 (of an iovec), tags u64, nr, resv2.
    return this.#register(Register.buffersUpdate, (page) => [
      number,
      0,
      ...pointer(page + STRUCT_BYTES),
      0,
      0,
      1,
      0,
      ...pointer(address),
      lengthBytes,
      0,
    ]);
  }

  #register(operation: number, argument: (page: number) => readonly number[]): number {
    const page = takePage();
    new Int32Array(page.buffer).set(argument(page.address));
    const result = ioUringRegister(this.#ringFd, operation, page.address, STRUCT_BYTES);
    returnPage(page);
    return result;
  }
}

/** The two words of an address. */
function pointer(address: number): readonly [number, number] {
  return [(address % TWO_32) | 0, (address / TWO_32) | 0];
}
