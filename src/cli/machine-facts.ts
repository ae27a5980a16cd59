/**
 * Facts about the machine for `penstock doctor`, read from the system and from /proc.
 */

import { readFile } from "node:fs/promises";
import { availableParallelism, release, totalmem } from "node:os";

/** Limits are null where there is none, or where the system does not tell. */
export interface MachineFacts {
  readonly node: string;
  readonly architecture: string;
  readonly kernel: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly memoryFreeBytes: number | null;
  /** 0 allowed, 1 for a group only, 2 forbidden; null when the kernel has no such setting. */
  readonly ioUringDisabled: string | null;
  readonly limits: {
    readonly openFiles: number | null;
    readonly openFilesHard: number | null;
    readonly lockedMemoryBytes: number | null;
    readonly memoryMaps: number | null;
    readonly pipeBytes: number | null;
    readonly listenBacklog: number | null;
  };
}

export async function readMachineFacts(): Promise<MachineFacts> {
  const limits = await readText("/proc/self/limits");
  const meminfo = await readText("/proc/meminfo");
  const freeKib = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1];
  const ioUringDisabled = (await readText("/proc/sys/kernel/io_uring_disabled")).trim();
  return {
    node: process.version,
    architecture: process.arch,
    kernel: release(),
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    memoryFreeBytes: freeKib === undefined ? null : Number(freeKib) * 1024,
    ioUringDisabled: ioUringDisabled === "" ? null : ioUringDisabled,
    limits: {
      openFiles: limitOf(limits, "Max open files", "soft"),
      openFilesHard: limitOf(limits, "Max open files", "hard"),
      lockedMemoryBytes: limitOf(limits, "Max locked memory", "soft"),
      memoryMaps: await readNumber("/proc/sys/vm/max_map_count"),
      pipeBytes: await readNumber("/proc/sys/fs/pipe-max-size"),
      listenBacklog: await readNumber("/proc/sys/net/core/somaxconn"),
    },
  };
}

/** One number of /proc/self/limits. spec: proc_pid_limits(5) */
function limitOf(limits: string, name: string, which: "soft" | "hard"): number | null {
  const match = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(limits);
  const value = match?.[which === "soft" ? 1 : 2];
  return value === undefined || value === "unlimited" ? null : Number(value);
}

async function readNumber(path: string): Promise<number | null> {
  const text = (await readText(path)).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

/** Empty when it cannot be read: not Linux, or hidden by a container. */
async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return "";
  }
}
