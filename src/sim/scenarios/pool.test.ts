// The scenario `pool` keeps the rules in each of its modes; what it has found must not come back.

import { deepStrictEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { forLongRun } from "../../testing/long-run.ts";
import { runSchedule } from "../run.ts";
import { POOL_SCENARIO } from "./pool.ts";
import { drawPool, POOL_MODES } from "./pool-draw.ts";

const SEEDS = forLongRun(3, 100);

for (const mode of POOL_MODES) {
  test(`the scenario pool keeps the rules: ${mode}`, async () => {
    let answered = 0;
    let undecided = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = await runSchedule(POOL_SCENARIO, drawPool(seed, mode));
      deepStrictEqual(report.violations, [], `seed ${seed}`);
      undecided += report.undecided;
      answered += report.answered;
    }
    ok(answered > 50 * SEEDS, `${answered} operations were answered`);
    // Sectors that so many losses of power have struck that no search ends.
    ok(undecided < SEEDS, `${undecided} sectors were too entangled`);
  });
}
