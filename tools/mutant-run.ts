/**
 * One mutant, in a process of its own: runs seeds of a scenario on a patched copy of the tree until
 * a rule is seen broken, and shrinks that run. Prints what it knows as lines of JSON, each of which
 * adds to those before: a mutant may run in circles when it is shrunk, and be ended.
 *
 *   node tools/mutant-run.ts COPY SCENARIO SEEDS_MAX [--no-shrink]
 *
 * A seed counts only when the tree as it is passes it. Started by mutants.ts.
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { RunReport, Scenario } from "../src/sim/run.ts";
import type { Schedule } from "../src/sim/schedule.ts";

/** What is printed. */
export interface MutantFinding {
  /** Seeds from 1 on until it was caught, or all that were tried. */
  readonly seeds: number;
  readonly caught: boolean;
  /** The first violation's kind and message. */
  readonly kind: string;
  readonly message: string;
  readonly operations: number;
  readonly faults: number;
  /** Of the shrunk schedule; -1: not shrunk. */
  readonly steps: number;
  /** Seeds that the tree as it is fails, too: they say nothing. */
  readonly ownFailures: readonly number[];
  readonly schedule: Schedule | null;
}

const ROOT = join(import.meta.dirname, "..");
const SHRINK_RUNS_MAX = 600;

interface Simulator {
  readonly scenario: Scenario;
  run(schedule: Schedule): Promise<RunReport>;
  shrink(schedule: Schedule, onProgress: (steps: number) => void): Promise<Schedule>;
}

async function load(root: string, scenarioName: string): Promise<Simulator> {
  const urlOf = (path: string): string => pathToFileURL(join(root, "src/sim", path)).href;
  const { runSchedule } = (await import(urlOf("run.ts"))) as typeof import("../src/sim/run.ts");
  const { scenarioNamed } = (await import(
    urlOf("scenarios.ts")
  )) as typeof import("../src/sim/scenarios.ts");
  const { shrink } = (await import(urlOf("shrink.ts"))) as typeof import("../src/sim/shrink.ts");
  const scenario = scenarioNamed(scenarioName);
  if (scenario === undefined) throw new Error(`no scenario ${scenarioName}`);
  return {
    scenario,
    run: (schedule) => runSchedule(scenario, schedule),
    shrink: async (schedule, onProgress) =>
      (await shrink(scenario, schedule, { runsMax: SHRINK_RUNS_MAX, onProgress })).schedule,
  };
}

async function tryMutant(
  copy: string,
  scenarioName: string,
  seedsMax: number,
  withShrink: boolean,
): Promise<void> {
  const mutant = await load(copy, scenarioName);
  const own = await load(ROOT, scenarioName);
  const ownFailures: number[] = [];
  let operations = 0;
  let faults = 0;
  for (let seed = 1; seed <= seedsMax; seed++) {
    const schedule = mutant.scenario.draw(seed);
    const report = await mutant.run(schedule);
    operations += report.operations;
    faults += Object.values(report.faults).reduce((sum, count) => sum + count, 0);
    const [violation] = report.violations;
    if (violation === undefined) continue;
    if ((await own.run(schedule)).violations.length > 0) {
      ownFailures.push(seed);
      continue;
    }
    const { kind, message } = violation;
    const found = { seeds: seed, caught: true, kind, message, operations, faults, ownFailures };
    tell({ ...found, steps: -1, schedule: null });
    if (!withShrink) return;
    const shrunk = await mutant.shrink(schedule, (steps) => tell({ steps }));
    // On the way it may have become another failure, one of the tree's own.
    if ((await own.run(shrunk)).violations.length > 0) tell({ steps: -1 });
    else tell({ steps: shrunk.steps.length, schedule: shrunk });
    return;
  }
  const none = { caught: false, kind: "", message: "", steps: -1, schedule: null };
  tell({ ...none, seeds: seedsMax, operations, faults, ownFailures });
}

function tell(known: Partial<MutantFinding>): void {
  process.stdout.write(`${JSON.stringify(known)}\n`);
}

const [copy = "", scenarioName = "", seedsMax = "", flag] = process.argv.slice(2);
const withShrink = flag !== "--no-shrink";
await tryMutant(copy, scenarioName, Number(seedsMax), withShrink);
