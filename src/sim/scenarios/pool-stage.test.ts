// Tests of the scenario `pool` with a stand-in for the pool: it finds nothing where all is right,
// and finds each rule that is broken.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { type StandInFlaw, standInDoor } from "./stand-in-pool.ts";
import { runSchedule, type RunReport, type Scenario } from "../run.ts";
import { drawPool, type PoolMode } from "./pool-draw.ts";
import { PoolStage } from "./pool-stage.ts";

const SEEDS = 12;

function runStandIn(seed: number, mode: PoolMode, flaw: StandInFlaw): Promise<RunReport> {
  const scenario: Scenario = {
    name: "pool",
    about: "a stand-in",
    draw: () => drawPool(seed, mode),
    start: (run) => new PoolStage(run, standInDoor(flaw)),
  };
  return runSchedule(scenario, drawPool(seed, mode));
}

for (const mode of ["kill", "power"] as const) {
  test(`the scenario finds nothing wrong with what is right: ${mode}`, async () => {
    const faults = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = await runStandIn(seed, mode, "none");
      deepStrictEqual(report.violations, [], `seed ${seed}`);
      strictEqual(report.undecided, 0, `seed ${seed}`);
      ok(report.answered > report.operations / 2, `seed ${seed}: most are answered`);
      for (const name of Object.keys(report.faults)) faults.add(name);
    }
    for (const name of ["kill", "create", "replace", "resize", "properties", "export"]) {
      ok(faults.has(name), `${name} happens`);
    }
  });
}

const FLAWS: Readonly<Record<Exclude<StandInFlaw, "none">, string>> = {
  "old-bytes": "data",
  "forgets-properties": "pool",
  "shrink-keeps": "data",
  undeletes: "pool",
  miscounts: "pool",
};

for (const [flaw, kind] of Object.entries(FLAWS)) {
  test(`the scenario finds a pool that breaks a rule: ${flaw}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violations } = await runStandIn(seed, "kill", flaw as StandInFlaw);
      if (violations.length === 0) continue;
      strictEqual(violations[0]?.kind, kind, `seed ${seed}: ${violations[0]?.message}`);
      return;
    }
    ok(false, "it is not seen");
  });
}
