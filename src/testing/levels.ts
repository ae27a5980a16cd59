/**
 * The levels at which every behaviour is shown: how Penstock reaches the kernel, and where its
 * reactors are. Stateless.
 */

import { type TestContext, test } from "node:test";

export interface Level {
  readonly name: string;
  /** Arguments of `penstock pipe run`. */
  readonly args: readonly string[];
  /** What is under it: io_uring, or Node's own files and sockets. */
  readonly io: "uring" | "portable";
}

const URING: Level = { name: "uring", args: ["--io", "uring"], io: "uring" };
const PORTABLE: Level = { name: "portable", args: ["--io", "portable"], io: "portable" };
/** Source and share on different reactors: every request crosses. */
const APART: Level = {
  name: "uring apart",
  args: ["--io", "uring", "--reactors", "2", "--placement", "apart"],
  io: "uring",
};

export const LEVELS: readonly Level[] = [URING, PORTABLE, APART];

export interface LevelTestOptions {
  /** As of node:test; use missingTools. */
  readonly skip?: string | false;
  readonly timeoutMs?: number;
  /** Default: all levels. */
  readonly levels?: readonly Level["name"][];
}

const TEST_TIMEOUT_MS_DEFAULT = 120_000;

/** Registers one test per level, named "title, at LEVEL". */
export function forEachLevel(
  title: string,
  options: LevelTestOptions,
  body: (t: TestContext, level: Level) => Promise<void>,
): void {
  const names = options.levels ?? LEVELS.map((level) => level.name);
  for (const level of LEVELS.filter(({ name }) => names.includes(name))) {
    const settings = {
      skip: options.skip ?? false,
      timeout: options.timeoutMs ?? TEST_TIMEOUT_MS_DEFAULT,
    };
    test(`${title}, at ${level.name}`, settings, (t) => body(t, level));
  }
}
