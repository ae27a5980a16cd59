/**
 * The command `penstock simulate`, also `npm run sim`: one seed with its trace, or many; a failing
 * one is shrunk.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { explore } from "./explore.ts";
import { runSchedule, type Scenario } from "./run.ts";
import { formatSchedule, parseSchedule, type Schedule } from "./schedule.ts";
import { SCENARIOS, scenarioNamed } from "./scenarios.ts";
import { shrink } from "./shrink.ts";
import { formatShrunk, formatSummary, formatViolation } from "./summary.ts";

const USAGE = `Usage: penstock simulate [SCENARIO...] [options]

Runs the real code of Penstock in a world of simulated hosts, disks, networks and clocks, lets
things go wrong, and checks what clients saw against the safety rules. Every run follows from its
seed alone.

Scenarios (default: all):
${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(8)} ${about}`).join("\n")}

Options:
  --seeds N        how many seeds to try (default 100)
  --seed S         the first seed (default 1); alone: just this one
  --trace          print every step, operation and fault
  --schedule FILE  run the schedule in a file instead of drawn ones
  --jobs N         threads (default: one per core)
  --coverage       count the blocks of code gone through; slower
  --no-shrink      do not shrink a failing schedule
  --save FILE      write the shrunk schedule to a file
  -h, --help       print help

Exits 0, 1 when a rule was broken, 2 for a wrong command line.
`;

const PROGRESS_MS = 10_000;
const SEEDS_DEFAULT = 100;

interface Options {
  readonly scenarios: readonly string[];
  readonly seeds: number | null;
  readonly seed: number;
  readonly trace: boolean;
  readonly schedule: string | null;
  readonly jobs: number | null;
  readonly coverage: boolean;
  readonly shrink: boolean;
  readonly save: string | null;
}

class UsageError extends Error {}

/** @returns the exit code; everything is printed */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === null) {
      process.stdout.write(USAGE);
      return 0;
    }
    return await obey(options);
  } catch (thrown) {
    if (!(thrown instanceof UsageError)) throw thrown;
    process.stderr.write(`${thrown.message}\n`);
    return 2;
  }
}

function readOptions(args: readonly string[]): Options | null {
  const { values, positionals } = parse(args);
  if (values.help === true) return null;
  for (const name of positionals) {
    if (scenarioNamed(name) === undefined) throw new UsageError(`no scenario ${name}`);
  }
  return {
    scenarios: positionals.length > 0 ? positionals : SCENARIOS.map(({ name }) => name),
    seeds: countOf("seeds", values.seeds),
    seed: countOf("seed", values.seed) ?? 1,
    trace: values.trace === true,
    schedule: values.schedule ?? null,
    jobs: countOf("jobs", values.jobs),
    coverage: values.coverage === true,
    shrink: values["no-shrink"] !== true,
    save: values.save ?? null,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        seeds: { type: "string" },
        seed: { type: "string" },
        trace: { type: "boolean" },
        schedule: { type: "string" },
        jobs: { type: "string" },
        coverage: { type: "boolean" },
        "no-shrink": { type: "boolean" },
        save: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function countOf(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UsageError(`--${name} ${text}: expected a whole number from 1 on`);
}

async function obey(options: Options): Promise<number> {
  if (options.schedule !== null) {
    const schedule = parseSchedule(readFileSync(options.schedule, "utf8"));
    return runOne(namedScenario(schedule.scenario), schedule, options);
  }
  const isOne = options.seeds === null && (options.trace || options.seed !== 1);
  if (isOne || options.seeds === 1) {
    let code = 0;
    for (const name of options.scenarios) {
      const scenario = namedScenario(name);
      code = Math.max(code, await runOne(scenario, scenario.draw(options.seed), options));
    }
    return code;
  }
  return exploreMany(options);
}

function namedScenario(name: string): Scenario {
  const scenario = scenarioNamed(name);
  if (scenario === undefined) throw new UsageError(`no scenario ${name}`);
  return scenario;
}

async function runOne(scenario: Scenario, schedule: Schedule, options: Options): Promise<number> {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const report = await runSchedule(scenario, schedule, options.trace ? { onTrace: print } : {});
  const { operations, answered, events, virtualMs, traceHash, violations } = report;
  print(
    `${scenario.name} seed ${schedule.seed}: ${operations} operations, ${answered} answered, ` +
      `${events} events, ${virtualMs.toFixed(0)} virtual ms, trace ${traceHash}`,
  );
  for (const violation of violations) process.stdout.write(formatViolation(violation));
  if (violations.length === 0) return 0;
  if (options.shrink) await shrinkOne(scenario, schedule, options);
  return 1;
}

async function exploreMany(options: Options): Promise<number> {
  const startMs = performance.now();
  let printedMs = startMs;
  const exploration = await explore({
    scenarios: options.scenarios,
    seeds: options.seeds ?? SEEDS_DEFAULT,
    firstSeed: options.seed,
    withCoverage: options.coverage,
    ...(options.jobs === null ? {} : { jobs: options.jobs }),
    onProgress: ({ seeds, failed }) => {
      if (performance.now() - printedMs < PROGRESS_MS) return;
      printedMs = performance.now();
      process.stderr.write(`${seeds} seeds, ${failed} failed\n`);
    },
  });
  process.stdout.write(formatSummary(exploration, performance.now() - startMs));
  const [failure] = exploration.tally.failures;
  if (failure === undefined) return 0;
  for (const violation of failure.violations) process.stdout.write(formatViolation(violation));
  const scenario = namedScenario(failure.scenario);
  if (options.shrink) await shrinkOne(scenario, scenario.draw(failure.seed), options);
  return 1;
}

async function shrinkOne(scenario: Scenario, failing: Schedule, options: Options): Promise<void> {
  const { schedule, runs } = await shrink(scenario, failing);
  process.stdout.write(formatShrunk(schedule, runs));
  const { violations } = await runSchedule(scenario, schedule);
  for (const violation of violations.slice(0, 1)) process.stdout.write(formatViolation(violation));
  if (options.save !== null) writeFileSync(options.save, formatSchedule(schedule));
}
