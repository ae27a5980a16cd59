/**
 * A loop block device over a temporary file, freed after the test. Needs root.
 *
 * Clean-up runs backwards, so make the loop device before the process that opens it: the kernel
 * frees a device only when its last user has closed it.
 */

import { truncateSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

import { cleanUp, type TestScope } from "./cleanup.ts";
import { runCommand } from "./run-command.ts";
import { makeTempDir } from "./temp-dir.ts";

/** Every test process may attach one at the same moment, and `losetup -f` then loses the race. */
const ATTEMPTS_MAX = 10;

export interface LoopDevice {
  /** Such as "/dev/loop3". */
  readonly path: string;
  /** The file below it. */
  readonly backingPath: string;
}

export interface LoopDeviceOptions {
  /** A multiple of the sector size. */
  readonly sizeBytes: number;
  /** Default 512. */
  readonly sectorBytes?: 512 | 4096;
}

export async function makeLoopDevice(
  t: TestScope,
  options: LoopDeviceOptions,
): Promise<LoopDevice> {
  const backingPath = join(makeTempDir(t), "loop.img");
  await (await open(backingPath, "w")).close();
  truncateSync(backingPath, options.sizeBytes);
  const path = await attach(backingPath, options.sectorBytes ?? 512);
  cleanUp(t, async () => {
    await runCommand("losetup", ["--detach", path], { exitCode: "any" });
  });
  return { path, backingPath };
}

async function attach(backingPath: string, sectorBytes: number): Promise<string> {
  const args = ["--find", "--show", "--sector-size", String(sectorBytes), backingPath];
  for (let attempt = 1; ; attempt += 1) {
    const result = await runCommand("losetup", args, { exitCode: "any" });
    if (result.exitCode === 0) {
      return result.stdout.trim();
    }
    if (attempt === ATTEMPTS_MAX) {
      throw new Error(`losetup ${args.join(" ")} failed: ${result.stderr}`);
    }
  }
}
