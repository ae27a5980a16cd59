/**
 * The priority of the RPC's thread beside those of the reactors. Linux only: elsewhere all threads
 * of a process have one priority.
 */

import { getPriority, setPriority } from "node:os";

/** The lowest priority there is. */
export const NICE_MAX = 19;

/**
 * Makes the calling thread nicer than it is by `steps` (0 to 19). Threads that it makes later are
 * as nice: call it when the reactors have theirs. On Linux each thread has a nice value of its own,
 * and process 0 means the calling thread. spec: setpriority(2), "C library/kernel differences"
 */
export function lowerThreadPriority(steps: number): void {
  if (steps === 0 || process.platform !== "linux") return;
  try {
    setPriority(Math.min(getPriority() + steps, NICE_MAX));
  } catch (_refused) {
    // A filter of system calls may bar it: the RPC then competes with the reactors, no more.
  }
}
