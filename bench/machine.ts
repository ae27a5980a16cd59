/** Which machine, kernel, commit and versions a run's figures belong to. Stateless. */

import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";

import { fileSystemName } from "./backing-files.ts";
import type { ServerAdapter } from "./servers/server.ts";

const ROOT = join(import.meta.dirname, "..");

export interface MachineDescription {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly diskFileSystem: string;
  /** Over one minute, before the run. */
  readonly loadAverage: number;
}

export interface CommitDescription {
  readonly id: string;
  /** Whether tracked files differ from it. */
  readonly isModified: boolean;
}

export async function describeMachine(diskFolder: string): Promise<MachineDescription> {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    processors: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    diskFileSystem: await fileSystemName(diskFolder),
    loadAverage: loadavg()[0] ?? 0,
  };
}

/** Null outside a git repository. */
export function describeCommit(): CommitDescription | null {
  const id = firstLine(["git", "-C", ROOT, "rev-parse", "HEAD"]);
  if (id === "") return null;
  const changes = firstLine(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"]);
  return { id, isModified: changes !== "" };
}

/** The first line that its version command prints. */
export function versionOf(adapter: Pick<ServerAdapter, "versionCommand">): string {
  return firstLine(adapter.versionCommand);
}

function firstLine([program, ...args]: readonly [string, ...string[]]): string {
  const { stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 30_000 });
  return (stdout ?? "").split("\n", 1)[0]?.trim() ?? "";
}
