// Random programs on random compositions of every source and filter, beside a dumb array: batches
// of operations that overlap on purpose, while stages are put in and taken out, at every level.
//
// A failure prints the seed (PENSTOCK_SEED runs with it again) and the smallest program that was
// found to fail; PENSTOCK_PROGRAM='{...}' runs that one alone. PENSTOCK_LONG=1 runs thousands.

import { deepStrictEqual } from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import type { Timer } from "../reactor/clock.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { runProgram } from "../testing/composition-program.ts";
import {
  bufferLimitOf,
  FILTER_NAMES,
  programArbitrary,
  type ProgramSpec,
  SOURCE_NAMES,
} from "../testing/composition-spec.ts";
import { forLongRun } from "../testing/long-run.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { testSeed } from "../testing/test-seed.ts";
import { CALL_SOURCES, FILTERS, SOURCES } from "./registry.ts";

const FAKE_PROGRAMS = forLongRun(80, 20_000);
/** At each real level. */
const REAL_PROGRAMS = forLongRun(15, 3000);
/** A program takes milliseconds; what waits for a child's time-out takes 5 s. */
const PROGRAM_MS_MAX = 30_000;
/** Shrinking a program that hangs at a real level takes long; then it ends with what it has. */
const TEST_MS_MAX = forLongRun(90_000, 7_200_000);

test("compositions are made of every source and filter there is", () => {
  // Volumes of pools have random programs of their own: src/pool/pool-random.test.ts.
  const schemes = SOURCES.map(({ scheme }) => scheme).filter((scheme) => scheme !== "lvol");
  const sources = [...schemes, ...CALL_SOURCES.map(({ name }) => name)];
  deepStrictEqual([...SOURCE_NAMES].sort(), sources.sort());
  deepStrictEqual([...FILTER_NAMES].sort(), FILTERS.map(({ name }) => name).sort());
});

for (const level of TEST_LEVELS) {
  const title = `random programs on random compositions match the model, at ${level}`;
  test(title, async (t) => {
    const parent = makeTempDir({ after });
    let count = 0;
    const run = async (program: ProgramSpec): Promise<void> => {
      count += 1;
      const folder = join(parent, `p${count}`);
      // The fake disk has no folders.
      if (level !== "fake") mkdirSync(folder);
      const body = (on: TestReactor): Promise<void> =>
        inTime(on.reactor, runProgram(program, on, folder));
      const bufferLimitBytes = bufferLimitOf(program);
      const options = bufferLimitBytes === undefined ? {} : { bufferLimitBytes };
      await withReactor(level, body, { seed: program.seed, ...options });
      rmSync(folder, { recursive: true, force: true });
    };
    const given = process.env.PENSTOCK_PROGRAM;
    if (given !== undefined) {
      await run(JSON.parse(given) as ProgramSpec);
      return;
    }
    const seed = testSeed(t);
    const property = fc.asyncProperty(programArbitrary, run);
    const result = await fc.check(property, {
      seed,
      numRuns: level === "fake" ? FAKE_PROGRAMS : REAL_PROGRAMS,
      interruptAfterTimeLimit: TEST_MS_MAX,
    });
    if (!result.failed) return;
    const program = JSON.stringify(result.counterexample?.[0]);
    const found = `program ${result.numRuns} of seed ${seed}, shrunk ${result.numShrinks} times`;
    throw new Error(`${found}, repeat with PENSTOCK_PROGRAM='${program}'`, {
      cause: result.errorInstance,
    });
  });
}

/** By the reactor's clock: what hangs at the fake level does so at once. */
async function inTime(reactor: Reactor, running: Promise<void>): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`the program did not end within ${PROGRAM_MS_MAX} ms`);
    timer = reactor.clock.startTimer(PROGRAM_MS_MAX, () => {
      reactor.deliverLater(() => reject(error));
    });
  });
  try {
    await Promise.race([running, late]);
  } finally {
    timer?.cancel();
  }
}
