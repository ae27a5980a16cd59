/**
 * Processor time and memory of a server with all its processes and threads, and what the machine
 * did beside it. Reads /proc and process clocks; stateless but for the choice of clock.
 *
 * Exact at short cells: the process clock counts nanoseconds of every thread of the process, ended
 * ones (nbdkit makes threads per connection) and iou-wrk included. Summing
 * /proc/PID/task/N/schedstat would lose the ended ones: 12 of 163 ms were left when it was tried.
 * Without FFI the sum of utime + stime in /proc/PID/stat serves: hundredths of a second.
 */

import { readdirSync, readFileSync } from "node:fs";

import { processorMs, totalResidentBytes } from "../src/testing/process-usage.ts";

const NS_PER_MS = 1e6;
const MS_PER_TICK = 10;

export interface ProcessorClock {
  readonly name: string;
  /** Of one process; null when it is gone. */
  readonly read: (pid: number) => number | null;
}

/** The best clock that this machine has. */
export async function chooseProcessorClock(): Promise<ProcessorClock> {
  try {
    const { processorTimeNs } = await import("../src/sys/process-clock.ts");
    if (processorTimeNs(process.pid) !== null) {
      return { name: "process clock, nanoseconds", read: processorTimeNs };
    }
  } catch {
    // No FFI here: /proc it is.
  }
  const read = (pid: number): number | null => orNull(() => processorMs(pid) * NS_PER_MS);
  return { name: "/proc/PID/stat, 10 ms", read };
}

/** Nanoseconds since the start of the process and those that it has started. */
export function treeProcessorNs(pid: number, clock: ProcessorClock): number {
  return treeOf(pid).reduce((sum, each) => sum + (clock.read(each) ?? 0), 0);
}

/** What `top` shows as RES, summed. */
export function treeResidentBytes(pid: number): number {
  return treeOf(pid).reduce((sum, each) => sum + (orNull(() => totalResidentBytes(each)) ?? 0), 0);
}

/**
 * Names of threads that may run elsewhere than on `core`: io_uring's workers need not inherit the
 * affinity of the thread that made the ring, and a server could set its own.
 */
export function threadsOffCore(pid: number, core: number): string[] {
  const names = treeOf(pid).flatMap((each) => tasksOf(each).map((tid) => `${each}/task/${tid}`));
  return names.flatMap((path) => {
    const status = orNull(() => readFileSync(`/proc/${path}/status`, "utf8")) ?? "";
    const allowed = /^Cpus_allowed_list:\s+(\S+)/m.exec(status)?.[1] ?? String(core);
    return allowed === String(core) ? [] : [/^Name:\s+(.*)$/m.exec(status)?.[1] ?? "?"];
  });
}

/** The process and all its descendants that are alive. */
function treeOf(pid: number): number[] {
  const children = tasksOf(pid).flatMap((tid) => {
    const text = orNull(() => readFileSync(`/proc/${pid}/task/${tid}/children`, "utf8")) ?? "";
    return text.split(" ").filter(Boolean).map(Number);
  });
  return [pid, ...children.flatMap((child) => treeOf(child))];
}

function tasksOf(pid: number): string[] {
  return orNull(() => readdirSync(`/proc/${pid}/task`)) ?? [];
}

/** Busy time of the whole machine, time taken by the hypervisor included, in nanoseconds. */
export function machineBusyNs(): number {
  // spec: proc_stat(5): user nice system idle iowait irq softirq steal ...
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0] ?? "";
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  const total = ticks.reduce((sum, each) => sum + each, 0);
  return (total - idle) * MS_PER_TICK * NS_PER_MS;
}

/** Processor time of this process and of its children that have ended, in nanoseconds. */
export function ownBusyNs(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [14, 15, 16, 17].reduce((sum, field) => sum + Number(fields[field - 3]), 0);
  return ticks * MS_PER_TICK * NS_PER_MS;
}

/** The cores that this process may use, in order. */
export function allowedCores(): number[] {
  const status = readFileSync("/proc/self/status", "utf8");
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(status)?.[1] ?? "";
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_unused, index) => first + index);
  });
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    // The process or thread has ended meanwhile.
    return null;
  }
}
