/**
 * What each level can do: the one table that `penstock doctor` prints and that code asks.
 *
 * Data only. A test holds each level's exact list, and tries on a real file what can be tried.
 */

import { IoLevel } from "./io.ts";

/** Every thing that a level may or may not be able to do, with words for it. */
export const CAPABILITY_TEXTS = {
  "several-reactors": "more than one reactor, devices used across them",
  "direct-io": "files opened past the page cache (direct=1)",
  "discard-punches": "discard gives space back to the file system",
  "fast-zeroes": "write-zeroes without writing them",
  "hole-map": "block status from the file system's map of holes",
  "per-write-durability": "FUA as a property of one write, not a flush of everything",
  "file-locks": "a lock on the open file, seen across containers",
  "adaptive-polling": "a short look for more work before sleeping",
  "kernel-queue": "many operations in one system call, none waited for by a thread of ours",
} as const;
export type Capability = keyof typeof CAPABILITY_TEXTS;

/** The levels that reach a real machine. */
export type RealLevel = Exclude<IoLevel, typeof IoLevel.fake>;
export const REAL_LEVELS: readonly RealLevel[] = [IoLevel.uring, IoLevel.posix, IoLevel.portable];

/** What foreign functions give, with io_uring or without. */
const NATIVE: readonly Capability[] = [
  "several-reactors",
  "direct-io",
  "discard-punches",
  "fast-zeroes",
  "hole-map",
  "per-write-durability",
  "file-locks",
  "adaptive-polling",
];

export const LEVEL_CAPABILITIES: Readonly<Record<RealLevel, readonly Capability[]>> = {
  uring: [...NATIVE, "kernel-queue"],
  posix: NATIVE,
  portable: [],
};

export function levelCan(level: RealLevel, capability: Capability): boolean {
  return LEVEL_CAPABILITIES[level].includes(capability);
}
