// The scenario `snapshot` keeps the rules; what it has found must not come back.

import { deepStrictEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { forLongRun } from "../../testing/long-run.ts";
import { runSchedule } from "../run.ts";
import { SNAPSHOT_SCENARIO } from "./snapshot.ts";

const SEEDS = forLongRun(4, 500);

test("the scenario snapshot keeps the rules", async () => {
  let answered = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const report = await runSchedule(SNAPSHOT_SCENARIO, SNAPSHOT_SCENARIO.draw(seed));
    deepStrictEqual(report.violations, [], `seed ${seed}`);
    answered += report.answered;
  }
  ok(answered > 100 * SEEDS, `${answered} operations were answered`);
});
