/**
 * The seed of a test that draws numbers: fresh each time, printed, and given back by
 * PENSTOCK_SEED. CI sets it from the commit, so that a failure there can be repeated.
 */

import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";

const SEED_MAX = 2 ** 31 - 1;

/** Prints the seed with the test's result. */
export function testSeed(t: TestContext): number {
  const given = process.env.PENSTOCK_SEED;
  const seed = given === undefined ? randomInt(SEED_MAX) : Number(given);
  t.diagnostic(`seed ${seed}: repeat with PENSTOCK_SEED=${seed}`);
  return seed;
}
