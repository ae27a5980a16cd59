/**
 * The levels at which every behaviour is shown: how Penstock reaches the kernel, and where its
 * reactors are. Stateless.
 */

import { type TestContext, test } from "node:test";

import { LONG_RUN } from "./long-run.ts";

export interface Level {
  readonly name: string;
  /** Arguments of `penstock pipe run`. */
  readonly args: readonly string[];
  /** What is under it: io_uring, other system calls, or Node's own files and sockets. */
  readonly io: "uring" | "posix" | "portable";
}

const URING: Level = { name: "uring", args: ["--io", "uring"], io: "uring" };
const POSIX: Level = { name: "posix", args: ["--io", "posix"], io: "posix" };
const PORTABLE: Level = { name: "portable", args: ["--io", "portable"], io: "portable" };
/** Source and share on different reactors: every request crosses. */
const APART: Level = {
  name: "uring apart",
  args: ["--io", "uring", "--reactors", "2", "--placement", "apart"],
  io: "uring",
};

export const LEVELS: readonly Level[] = [URING, POSIX, PORTABLE, APART];

export const ALL_LEVELS: readonly Level["name"][] = LEVELS.map(({ name }) => name);

export interface LevelTestOptions {
  /** As of node:test; use missingTools. */
  readonly skip?: string | false;
  readonly timeoutMs?: number;
  /** Default: long runs all; everyday runs one of them. */
  readonly levels?: readonly Level["name"][];
}

const TEST_TIMEOUT_MS_DEFAULT = 180_000;

/** Registers one test per level, named "title, at LEVEL". */
export function forEachLevel(
  title: string,
  options: LevelTestOptions,
  body: (t: TestContext, level: Level) => Promise<void>,
): void {
  const names = options.levels ?? usualLevels(title);
  for (const level of LEVELS.filter(({ name }) => names.includes(name))) {
    const settings = {
      skip: options.skip ?? false,
      timeout: options.timeoutMs ?? TEST_TIMEOUT_MS_DEFAULT,
    };
    test(`${title}, at ${level.name}`, settings, (t) => body(t, level));
  }
}

/**
 * uring meets two fifths of the tests, each other level a fifth, always the same ones. What must
 * hold at several levels every day names them: `levels: ALL_LEVELS`.
 */
function usualLevels(title: string): readonly Level["name"][] {
  if (LONG_RUN) return ALL_LEVELS;
  const sum = [...title].reduce((before, letter) => before + (letter.codePointAt(0) ?? 0), 0);
  const others = [POSIX, PORTABLE, APART] as const;
  const level = sum % 5 < 2 ? URING : (others[sum % others.length] as Level);
  return [level.name];
}
