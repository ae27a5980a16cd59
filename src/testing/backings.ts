/**
 * What a source can stand on, as rows of the tests' matrix: buffered file, O_DIRECT file, loop
 * block device, memory. Stateless; everything made for a test goes away after it.
 */

import { openSync, closeSync, ftruncateSync } from "node:fs";
import { join } from "node:path";

import type { TestScope } from "./cleanup.ts";
import type { Level } from "./levels.ts";
import { LONG_RUN } from "./long-run.ts";
import { makeLoopDevice } from "./loop-device.ts";
import { missingTools } from "./require-tool.ts";
import { makeTempDir } from "./temp-dir.ts";

/** One source, ready to stand at the start of a pipe. */
export interface BackingSource {
  /** The stage: "file:///tmp/x/disk.img?direct=1". */
  readonly stage: string;
  /** Where its bytes can be read and written without Penstock; undefined for memory. */
  readonly path: string | undefined;
  /** The regular file whose allocation shows holes; undefined for memory. */
  readonly sparseFilePath: string | undefined;
}

export type BackingName = "buffered" | "direct" | "loop" | "malloc";

export interface Backing {
  readonly name: BackingName;
  /** Why it cannot be had here, or false. */
  readonly skip: string | false;
  make(t: TestScope, sizeBytes: number): Promise<BackingSource>;
}

export const BACKINGS: readonly Backing[] = [
  { name: "buffered", skip: false, make: async (t, sizeBytes) => fileSource(t, sizeBytes, "") },
  {
    name: "direct",
    skip: false,
    make: async (t, sizeBytes) => fileSource(t, sizeBytes, "?direct=1"),
  },
  { name: "loop", skip: missingTools("root", "/dev/loop-control"), make: loopSource },
  {
    name: "malloc",
    skip: false,
    make: async (_t, sizeBytes) => ({
      stage: `malloc:///memory?size=${sizeBytes}B`,
      path: undefined,
      sparseFilePath: undefined,
    }),
  },
];

/** Pure Node has no O_DIRECT; everything else works at every level. */
export function backingsOf(level: Level): readonly Backing[] {
  return BACKINGS.filter(({ name }) => level.io !== "portable" || name !== "direct");
}

/** Everyday: all at the best level, and at each of the others what is particular to it. */
const EVERYDAY_BACKINGS: Readonly<Record<Level["name"], readonly BackingName[]>> = {
  uring: ["buffered", "direct", "loop", "malloc"],
  posix: ["direct"],
  portable: ["buffered"],
  "uring apart": ["malloc"],
};

/** Of everyday runs fewer, of long runs all. */
export function usualBackingsOf(
  level: Level,
  everyday: Readonly<Record<Level["name"], readonly BackingName[]>> = EVERYDAY_BACKINGS,
): readonly Backing[] {
  const backings = backingsOf(level);
  return LONG_RUN ? backings : backings.filter(({ name }) => everyday[level.name]?.includes(name));
}

function fileSource(t: TestScope, sizeBytes: number, query: string): BackingSource {
  const path = join(makeTempDir(t), "disk.img");
  const file = openSync(path, "wx");
  ftruncateSync(file, sizeBytes);
  closeSync(file);
  return { stage: `file://${path}${query}`, path, sparseFilePath: path };
}

async function loopSource(t: TestScope, sizeBytes: number): Promise<BackingSource> {
  const device = await makeLoopDevice(t, { sizeBytes });
  return {
    stage: `file://${device.path}`,
    path: device.path,
    sparseFilePath: device.backingPath,
  };
}
