/** What a process uses now, read from /proc: memory, processor time, open files. Stateless. */

import { readdirSync, readFileSync } from "node:fs";

/** Linux reports times in /proc/PID/stat in hundredths of a second on every architecture. */
const MS_PER_TICK = 10;

/** Resident memory, without the pages that it merely shares with files on disk. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (kibibytes(status, "RssAnon") + kibibytes(status, "RssShmem")) * 1024;
}

/** Resident memory that is mapped shared, as buffers for the kernel are. */
export function sharedBytes(pid: number): number {
  return kibibytes(readFileSync(`/proc/${pid}/status`, "utf8"), "RssShmem") * 1024;
}

/** All resident memory, as `top` shows it. */
export function totalResidentBytes(pid: number): number {
  return kibibytes(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS") * 1024;
}

/** User and system time of all threads so far. */
export function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[14 - 3]) + Number(fields[15 - 3])) * MS_PER_TICK;
}

export function openFileCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function kibibytes(status: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status);
  return Number(match?.[1] ?? 0);
}
