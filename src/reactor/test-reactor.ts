/**
 * A reactor for one test, at any level that this machine has: real ones, and the fake one whose
 * time goes on while the test awaits.
 *
 *   for (const level of TEST_LEVELS) {
 *     test(`x, at ${level}`, () => withReactor(level, async ({ reactor }) => { ... }));
 *   }
 */

import { randomInt } from "node:crypto";
import { probeCapabilities } from "../sys/capabilities.ts";
import { FakeWorld } from "./fake/fake-world.ts";
import { type Io, IoLevel } from "./io.ts";
import { openIo } from "./open-io.ts";
import { Reactor } from "./reactor.ts";

const SEED_MAX = 2 ** 31 - 1;

export type TestLevel = IoLevel;

/** What a test gets. */
export interface TestReactor {
  readonly level: TestLevel;
  readonly reactor: Reactor;
  /** For the test's own choices: fresh in each run, named when the test fails. */
  readonly seed: number;
  /** The fake level's world; null at the others. */
  readonly world: FakeWorld | null;
}

export interface TestReactorOptions {
  /** Default: PENSTOCK_SEED, else a fresh one. */
  readonly seed?: number;
  readonly bufferLimitBytes?: number;
}

/** The levels that this machine has, for registering tests. */
export const TEST_LEVELS: readonly TestLevel[] = await probeLevels();

/**
 * Those for what stands on devices alone: everyday runs show it at `fake` and the best real level.
 * What touches files, memory or sockets by itself takes TEST_LEVELS.
 */
export const USUAL_LEVELS: readonly TestLevel[] =
  process.env.PENSTOCK_LONG === "1" || !TEST_LEVELS.includes(IoLevel.uring)
    ? TEST_LEVELS
    : [IoLevel.fake, IoLevel.uring];

/**
 * Runs `body` with a reactor of its own, and closes its Io afterwards.
 * @throws Error that names the seed, with what `body` threw as its cause
 */
export async function withReactor<T>(
  level: TestLevel,
  body: (test: TestReactor) => Promise<T>,
  options: TestReactorOptions = {},
): Promise<T> {
  const seed = options.seed ?? seedOfRun();
  try {
    if (level === IoLevel.fake) {
      const world = new FakeWorld({ seed });
      const place = { level, world, seed };
      return await world.runUntil(runWith(place, world.process().io, body, options));
    }
    return await runWith({ level, world: null, seed }, await openIo({ level }), body, options);
  } catch (cause) {
    throw new Error(`seed ${seed}: repeat with PENSTOCK_SEED=${seed}`, { cause });
  }
}

async function runWith<T>(
  place: Omit<TestReactor, "reactor">,
  io: Io,
  body: (test: TestReactor) => Promise<T>,
  { bufferLimitBytes }: TestReactorOptions,
): Promise<T> {
  const limit = bufferLimitBytes === undefined ? {} : { bufferLimitBytes };
  const reactor = new Reactor({ id: 0, io, ...limit });
  let result: T;
  try {
    result = await body({ ...place, reactor });
  } catch (error) {
    // What the failed test left in flight would only hide its error.
    io.close().catch(() => undefined);
    throw error;
  }
  await io.close();
  return result;
}

function seedOfRun(): number {
  const given = process.env.PENSTOCK_SEED;
  return given === undefined ? randomInt(SEED_MAX) : Number(given);
}

async function probeLevels(): Promise<TestLevel[]> {
  const { ffi, ioUring } = await probeCapabilities();
  const levels: TestLevel[] = [IoLevel.fake, IoLevel.portable];
  if (ffi.available) levels.push(IoLevel.posix);
  if (ioUring.available) levels.push(IoLevel.uring);
  return levels;
}
