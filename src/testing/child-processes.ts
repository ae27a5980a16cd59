/**
 * Every child process of a test, so that none outlives the test process.
 *
 * A child leads its own process group (fio and QEMU fork), and the group is killed by its id when
 * the test process exits or is told to stop. Owned by the test process; nothing is ever killed by
 * name.
 */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";

const liveGroups = new Set<number>();
let hooksInstalled = false;

/** Spawns like `child_process.spawn`, as the leader of a group that dies with this process. */
export function spawnTracked(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  installHooks();
  const child = spawn(program, [...args], { ...options, detached: true });
  const { pid } = child;
  if (pid !== undefined) {
    liveGroups.add(pid);
    child.once("exit", () => {
      // Grandchildren that outlive the leader would keep ports and files: end them too.
      signalGroup(pid, "SIGKILL");
      liveGroups.delete(pid);
    });
  }
  return child;
}

/** Sends `signal` to the whole group of `pid`; false when it is gone already. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (_gone) {
    return false;
  }
}

function installHooks(): void {
  if (hooksInstalled) {
    return;
  }
  hooksInstalled = true;
  process.once("exit", killAll);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      killAll();
      // The handler is gone by now, so this ends the process the default way.
      process.kill(process.pid, signal);
    });
  }
}

function killAll(): void {
  for (const pid of liveGroups) {
    signalGroup(pid, "SIGKILL");
  }
}
