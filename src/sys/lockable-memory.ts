/**
 * How much memory this process may have the kernel hold on to. Reads /proc; stateless.
 */

import { readFileSync } from "node:fs";

const CAP_IPC_LOCK = 14n;

/**
 * RLIMIT_MEMLOCK, in bytes; Infinity for those whom it does not limit. It counts for all of the
 * user's processes together, and their rings themselves are in it, too. spec: getrlimit(2)
 * @returns 0 where it cannot be told
 */
export function lockableBytes(): number {
  try {
    if (mayLockMemory()) return Number.POSITIVE_INFINITY;
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? "0";
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch (_unreadable) {
    // No /proc: do without.
    return 0;
  }
}

/** A capability of a user namespace does not count: the kernel asks for that of the machine. */
function mayLockMemory(): boolean {
  const status = readFileSync("/proc/self/status", "utf8");
  const effective = /^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? "0";
  if (((BigInt(`0x${effective}`) >> CAP_IPC_LOCK) & 1n) === 0n) return false;
  return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
}
