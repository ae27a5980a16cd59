/**
 * Native memory: anonymous mappings of the whole process, viewed without a copy.
 */

import { PenstockError } from "../util/errors.ts";
import { viewMemory } from "./ffi.ts";
import { Advice, MapFlag, ProtectionFlag, madvise, mmap } from "./libc.ts";

export interface NativeMemory {
  readonly address: number;
  readonly lengthBytes: number;
  readonly buffer: ArrayBuffer;
}

/** Mappings at least this long may have huge pages, which the kernel makes where it can. */
const HUGE_MAPPING_BYTES_MIN = 1024 * 1024;

/**
 * Maps zero-filled memory that all threads of the process see. Never unmapped.
 * @param lengthBytes a multiple of the page size, at most 1 GiB
 * @throws PenstockError `out-of-memory`
 */
export function mapShared(lengthBytes: number): NativeMemory {
  const mapped = mmap({
    lengthBytes,
    protection: ProtectionFlag.read | ProtectionFlag.write,
    flags: MapFlag.private | MapFlag.anonymous | MapFlag.noReserve,
  });
  if (mapped < 0n) {
    throw new PenstockError({
      code: "out-of-memory",
      message: `cannot map ${lengthBytes} bytes (errno ${-Number(mapped)})`,
    });
  }
  const address = Number(mapped);
  // Between fork and exec of a child nobody may copy pages on write: the kernel, which fills ours
  // for I/O in flight, would go on with the old ones.
  madvise(address, lengthBytes, Advice.dontFork);
  // Fewer misses of the address cache; a kernel without huge pages refuses, which does no harm.
  if (lengthBytes >= HUGE_MAPPING_BYTES_MIN) madvise(address, lengthBytes, Advice.hugePages);
  return viewShared(address, lengthBytes);
}

const PAGE_BYTES = 4096;
/** Of this thread. */
const freePages: NativeMemory[] = [];

/** A page of zeroes for the arguments of system calls. */
export function takePage(): NativeMemory {
  const page = freePages.pop() ?? mapShared(PAGE_BYTES);
  new Uint8Array(page.buffer).fill(0);
  return page;
}

/** Gives a page of `takePage` back, once, when neither kernel nor anybody else uses it. */
export function returnPage(page: NativeMemory): void {
  freePages.push(page);
}

/** Views memory that another thread has mapped. */
export function viewShared(address: number, lengthBytes: number): NativeMemory {
  return { address, lengthBytes, buffer: viewMemory(BigInt(address), lengthBytes) };
}

/** Gives the pages back to the system; the memory stays mapped and reads as zeroes. */
export function emptyShared(memory: {
  readonly address: number;
  readonly lengthBytes: number;
}): void {
  const result = madvise(memory.address, memory.lengthBytes, Advice.dontNeed);
  if (result < 0) {
    throw new PenstockError({
      code: "internal",
      message: `madvise of ${memory.lengthBytes} bytes failed (errno ${-result})`,
    });
  }
}
