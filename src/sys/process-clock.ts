/**
 * The processor time of a process, to the nanosecond, for measuring. Stateless but for 16 bytes of
 * memory that the kernel writes its answer to; one thread uses it at a time.
 *
 * /proc has no such figure: its totals come in hundredths of a second, and its per-thread
 * nanoseconds lose the threads that have ended.
 */

import { loadFunctions } from "./ffi.ts";
import { mapShared } from "./memory.ts";

const PAGE_BYTES = 4096;

const libc = loadFunctions("libc.so.6", {
  clock_gettime: { arguments: ["int32", "uint64"], return: "int32" },
});
const memory = mapShared(PAGE_BYTES);
const address = BigInt(memory.address);
const timespec = new DataView(memory.buffer);

/** spec: clock_getcpuclockid(3): scheduler time of the whole thread group, as Linux encodes it */
const SCHEDULER_CLOCK_OF_PROCESS = 2;

/**
 * User and system time of all threads of a process since its start, ended ones and those that
 * io_uring has made in it (iou-wrk, iou-sqp) included.
 * @returns nanoseconds, or null when there is no such process
 */
export function processorTimeNs(pid: number): number | null {
  const clock = (~pid << 3) | SCHEDULER_CLOCK_OF_PROCESS;
  if (libc.clock_gettime(clock, address) !== 0) return null;
  return Number(timespec.getBigInt64(0, true)) * 1e9 + Number(timespec.getBigInt64(8, true));
}
