/**
 * PosixFiles: reads and writes that need not wait, tried in place (RWF_NOWAIT).
 *
 * A read is tried where the page cache may hold it, a write where the file system can write without
 * waiting (XFS, btrfs; ext4 cannot). What direct I/O moves is waited for by the caller, so it is
 * never tried. A helper does what could not be done at once: all of it, also when a part was.
 */

import { constants } from "node:fs";
import * as libc from "../../sys/libc.ts";
import { mapShared } from "../../sys/memory.ts";
import { Operation } from "../../sys/operation-queue.ts";
import { Errno } from "../errno.ts";

const RWF_NOWAIT = 8;
const TWO_32 = 4294967296;

/** What is known of an open file. */
class PosixFile {
  readonly fdArgument: bigint;
  triesReads: boolean;
  triesWrites: boolean;

  constructor(fd: number) {
    this.fdArgument = BigInt(fd);
    const flags = libc.fileFlags(fd);
    const isBuffered = flags >= 0 && (flags & constants.O_DIRECT) === 0;
    this.triesReads = isBuffered;
    this.triesWrites = isBuffered;
  }
}

export class PosixFiles {
  /** By fd. */
  readonly #files: (PosixFile | undefined)[] = [];
  readonly #iovec: Int32Array;
  readonly #iovecAddress: bigint;

  constructor() {
    const memory = mapShared(4096);
    this.#iovec = new Int32Array(memory.buffer);
    this.#iovecAddress = BigInt(memory.address);
  }

  /**
   * Tries to move all of it now. Arguments as of `OperationQueue.prepare`.
   * @returns `totalBytes`, or -1: a helper is to do it. Hot path.
   */
  tryNow(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    flags: number,
    totalBytes: number,
  ): number {
    const file = this.#files[fd] ?? this.#add(fd);
    const isWrite = operation === Operation.write || operation === Operation.writev;
    // Flags ask for durability, which is waited for.
    if (flags !== 0 || !(isWrite ? file.triesWrites : file.triesReads)) return -1;
    const isVector = operation === Operation.readv || operation === Operation.writev;
    const iovecs = isVector ? BigInt(address) : this.#oneRange(address, length);
    const count = isVector ? length : 1;
    const result = isWrite
      ? libc.pwritev2(file.fdArgument, iovecs, count, position, RWF_NOWAIT)
      : libc.preadv2(file.fdArgument, iovecs, count, position, RWF_NOWAIT);
    if (result === totalBytes) return result;
    if (result === -Errno.EOPNOTSUPP) {
      if (isWrite) file.triesWrites = false;
      else file.triesReads = false;
    }
    return -1;
  }

  /** The fd is about to be closed: its number may be another file's soon. */
  forget(fd: number): void {
    this.#files[fd] = undefined;
  }

  #add(fd: number): PosixFile {
    const file = new PosixFile(fd);
    while (this.#files.length <= fd) this.#files.push(undefined);
    this.#files[fd] = file;
    return file;
  }

  // hot path
  #oneRange(address: number, length: number): bigint {
    const words = this.#iovec;
    words[0] = (address % TWO_32) | 0;
    words[1] = (address / TWO_32) | 0;
    words[2] = length;
    return this.#iovecAddress;
  }
}
