/**
 * FaultMarks: how often each medium has failed to keep written data, since the machine was booted.
 *
 * A process that dies after a failed sync must not be followed by one whose flush succeeds: the
 * kernel has marked the lost pages clean. So a fault leaves a byte in a file in shared memory, one
 * file for each medium: it outlives every process and is gone, with all that could have been lost,
 * after a reboot. Where that cannot be written, this process alone remembers. Containers with a
 * /dev/shm of their own do not see each other's marks.
 */

import fs from "node:fs";
import { join } from "node:path";

const FOLDER = "/dev/shm";
/** Anybody may read it; only its user (and root) adds to it. */
const MODE = 0o644;

/** In this process, where a mark could not be left; by the mark's path. */
const unmarked = new Map<string, number>();

/** Where the marks of a medium are. @param identity see `OpenedFile.identity` */
export function faultMarkPath(identity: string, folder: string = FOLDER): string {
  return join(folder, `penstock-faults-${identity.replaceAll(":", "-")}`);
}

/** Leaves a mark, at once: before anybody is told of the failure. Never throws. */
export function markFault(identity: string, folder: string = FOLDER): void {
  const path = faultMarkPath(identity, folder);
  try {
    fs.appendFileSync(path, "!", { mode: MODE });
  } catch (_noSharedMemory) {
    unmarked.set(path, (unmarked.get(path) ?? 0) + 1);
  }
}

/** How many marks there are. */
export function countFaults(identity: string, folder: string = FOLDER): number {
  const path = faultMarkPath(identity, folder);
  const marks = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return marks + (unmarked.get(path) ?? 0);
}
