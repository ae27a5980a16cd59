// Tests of runs: a run follows from its schedule alone, in this process and in another.

import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { forLongRun } from "../testing/long-run.ts";
import { explore } from "./explore.ts";
import { runSchedule } from "./run.ts";
import { formatSchedule, parseSchedule } from "./schedule.ts";
import { SCENARIOS } from "./scenarios.ts";
import { FILE_SCENARIO } from "./scenarios/file.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const FLAGS = ["--disable-warning=ExperimentalWarning"];
/** `npm run sim` and the long run have thousands. */
const SEEDS = forLongRun(10, 25);

test("runSchedule gives the same trace when it runs again", async () => {
  for (const scenario of forLongRun(SCENARIOS.slice(0, 2), SCENARIOS)) {
    const lines: string[] = [];
    const schedule = scenario.draw(11);
    const first = await runSchedule(scenario, schedule, { onTrace: (line) => lines.push(line) });
    const again: string[] = [];
    const text = formatSchedule(schedule);
    const second = await runSchedule(scenario, parseSchedule(text), {
      onTrace: (line) => again.push(line),
    });
    deepStrictEqual(again, lines, scenario.name);
    strictEqual(second.traceHash, first.traceHash, scenario.name);
    const other = await runSchedule(scenario, scenario.draw(12));
    notStrictEqual(other.traceHash, first.traceHash, scenario.name);
  }
});

test("main prints the same trace in processes of other memory and stack sizes", () => {
  const flags = [[], ["--stack-size=2000", "--max-semi-space-size=1"], ["--no-opt"]];
  const outputs = flags.map((extra) => {
    const args = [...FLAGS, ...extra, MAIN, "file", "--seed", "5", "--trace", "--no-shrink"];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    strictEqual(stderr, "");
    return stdout;
  });
  ok((outputs[0]?.split("\n").length ?? 0) > 200, "it prints its trace");
  for (const output of outputs) strictEqual(output, outputs[0]);
});

test("explore adds up the same, however many threads share the seeds", async () => {
  const options = { scenarios: ["file"], seeds: SEEDS, firstSeed: 1 };
  const one = await explore({ ...options, jobs: 1 });
  const two = await explore({ ...options, jobs: 2 });
  deepStrictEqual(two.tally, one.tally);
  strictEqual(one.tally.seeds, SEEDS);
  ok(Object.keys(one.tally.faults).length >= 8, "many kinds of faults");
});

test("the scenario file keeps the rules", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violations, undecided } = await runSchedule(FILE_SCENARIO, FILE_SCENARIO.draw(seed));
    deepStrictEqual(violations, [], `seed ${seed}`);
    strictEqual(undecided, 0, `seed ${seed}`);
  }
});
