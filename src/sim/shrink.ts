/**
 * Shrinking: from a failing schedule to a short one that fails in the same way, by leaving out
 * steps (Zeller's ddmin, "Simplifying and isolating failure-inducing input", 2002) and by making
 * numbers small. Steps keep their moments when others are left out. Pure but for the runs.
 */

import type { Violation } from "./history.ts";
import { type RunReport, runSchedule, type Scenario } from "./run.ts";
import type { Schedule, Step } from "./schedule.ts";

export interface ShrinkOptions {
  /** Runs to spend. */
  readonly runsMax?: number;
  /** Another failure than the one in hand is not pursued: by default one of the same kind is. */
  readonly isSame?: (report: RunReport) => boolean;
  readonly onProgress?: (steps: number, runs: number) => void;
}

export interface Shrunk {
  readonly schedule: Schedule;
  readonly runs: number;
}

const RUNS_MAX_DEFAULT = 1500;

/** A step at its moment, so that its neighbours may go. */
interface Placed {
  readonly timeMs: number;
  readonly step: Step;
}

/** @param schedule one that fails */
export async function shrink(
  scenario: Scenario,
  schedule: Schedule,
  options: ShrinkOptions = {},
): Promise<Shrunk> {
  const first = await runSchedule(scenario, schedule);
  const [violation] = first.violations;
  const wanted = violation === undefined ? null : fingerprint(violation);
  const isSame = (report: RunReport) =>
    report.violations.some((each) => fingerprint(each) === wanted);
  const work = new Shrinking(scenario, schedule, { ...options, isSame: options.isSame ?? isSame });
  await work.dropSteps();
  await work.simplify();
  await work.dropSteps();
  return { schedule: work.schedule, runs: work.runs };
}

class Shrinking {
  runs = 0;
  #schedule: Schedule;
  readonly #scenario: Scenario;
  readonly #options: ShrinkOptions;

  constructor(scenario: Scenario, schedule: Schedule, options: ShrinkOptions) {
    this.#scenario = scenario;
    this.#schedule = schedule;
    this.#options = options;
  }

  get schedule(): Schedule {
    return this.#schedule;
  }

  /** Leaves out ever smaller stretches, as long as any can go. */
  async dropSteps(): Promise<void> {
    let size = Math.ceil(this.#schedule.steps.length / 2);
    while (size >= 1) {
      const isShorter = await this.#dropStretches(size);
      if (size === 1 && !isShorter) return;
      size = isShorter && size > 1 ? size : Math.floor(size / 2);
      if (size === 0 && isShorter) size = 1;
    }
  }

  /** Settings, then each step's numbers, towards small ones. */
  async simplify(): Promise<void> {
    for (const [name, value] of Object.entries(this.#schedule.settings)) {
      for (const smaller of smallerThan(value)) {
        const settings = { ...this.#schedule.settings, [name]: smaller };
        if (await this.#try({ ...this.#schedule, settings })) break;
      }
    }
    for (let index = 0; index < this.#schedule.steps.length; index++) {
      await this.#simplifyStep(index);
    }
  }

  async #simplifyStep(index: number): Promise<void> {
    const fields = Object.entries(this.#schedule.steps[index] ?? {});
    for (const [name, value] of fields) {
      if (typeof value !== "number") continue;
      const least = name === "count" ? 1 : 0;
      for (const smaller of smallerThan(value, least)) {
        const steps = [...this.#schedule.steps];
        steps[index] = { ...(steps[index] as Step), [name]: smaller };
        if (await this.#try({ ...this.#schedule, steps })) break;
      }
    }
  }

  async #dropStretches(size: number): Promise<boolean> {
    let isShorter = false;
    // From the end: what comes last is most often not needed.
    let end = this.#schedule.steps.length;
    while (end > 0) {
      const start = Math.max(0, end - size);
      const placed = placeSteps(this.#schedule.steps);
      const kept = [...placed.slice(0, start), ...placed.slice(end)];
      if (await this.#try({ ...this.#schedule, steps: unplaceSteps(kept) })) isShorter = true;
      end = start;
    }
    return isShorter;
  }

  /** @returns true: it fails as well, and is the schedule in hand from now on */
  async #try(schedule: Schedule): Promise<boolean> {
    if (this.runs >= (this.#options.runsMax ?? RUNS_MAX_DEFAULT)) return false;
    this.runs++;
    const report = await runSchedule(this.#scenario, schedule);
    if (this.#options.isSame?.(report) !== true) return false;
    this.#schedule = schedule;
    this.#options.onProgress?.(schedule.steps.length, this.runs);
    return true;
  }
}

function placeSteps(steps: readonly Step[]): Placed[] {
  let timeMs = 0;
  return steps.map((step) => {
    timeMs += step.at;
    return { timeMs, step };
  });
}

function unplaceSteps(placed: readonly Placed[]): Step[] {
  let beforeMs = 0;
  return placed.map(({ timeMs, step }) => {
    const at = Math.round((timeMs - beforeMs) * 1000) / 1000;
    beforeMs = timeMs;
    return { ...step, at };
  });
}

/** What two runs have in common that fail in the same way: all but numbers and who it was. */
function fingerprint({ kind, message }: Violation): string {
  if (kind !== "answer" && kind !== "crash") return kind;
  const what = message.slice(message.indexOf("): ") + 1);
  return `${kind} ${what.replace(/\d+/g, "#")}`;
}

/** Numbers to try in place of another, smallest first. */
function smallerThan(value: number, least = 0): number[] {
  const rounded = Math.round(value);
  const tries = [0, 1, Math.floor(value / 8), Math.floor(value / 2), rounded];
  return [...new Set(tries)].filter((each) => each >= least && each < value);
}
