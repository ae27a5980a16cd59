// Tests of shrinking, on a world in which two events and nothing else break a rule.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Run, Scenario, Stage } from "./run.ts";
import type { EventStep, Schedule, Step } from "./schedule.ts";
import { shrink } from "./shrink.ts";

const WORLD: Scenario = {
  name: "two-events",
  about: "fails when event b comes within 10 ms after event a with a target above 4",
  draw: (seed) => ({ scenario: "two-events", seed, settings: { size: 8 }, steps: [] }),
  start: (run) => new TwoEvents(run),
};

class TwoEvents implements Stage {
  readonly #run: Run;
  #aMs = Number.NEGATIVE_INFINITY;

  constructor(run: Run) {
    this.#run = run;
  }

  event({ name, target }: EventStep): boolean {
    const { nowMs } = this.#run.world;
    if (name === "a" && target > 4) this.#aMs = nowMs;
    if (name === "b" && nowMs - this.#aMs <= 10) this.#run.fail("answer", `b after a ${nowMs}`);
    if (name === "c") this.#run.fail("answer", "something else");
    return true;
  }

  isReady(): boolean {
    return true;
  }
}

function event(at: number, name: string, target = 0): Step {
  return { at, kind: "event", name, target, ms: 7 };
}

test("shrink keeps the steps that matter at their times, with small numbers", async () => {
  const noise = Array.from({ length: 60 }, (_, index) => event(1, "noise", index));
  const steps = [...noise, event(1, "a", 40), ...noise.slice(0, 7), event(1, "b"), ...noise];
  const failing: Schedule = { ...WORLD.draw(1), steps };
  const { schedule, runs } = await shrink(WORLD, failing);
  deepStrictEqual(schedule.settings, { size: 0 });
  deepStrictEqual(schedule.steps, [
    { at: 0, kind: "event", name: "a", target: 5, ms: 0 },
    { at: 0, kind: "event", name: "b", target: 0, ms: 0 },
  ]);
  ok(runs < 300, `${runs} runs`);
});

test("shrink does not slip to another failure, and stops when its runs are spent", async () => {
  const steps = [event(1, "a", 5), event(1, "b"), event(1, "c")];
  const failing: Schedule = { ...WORLD.draw(1), steps };
  const { schedule } = await shrink(WORLD, failing);
  strictEqual(schedule.steps.length, 2);
  const spent = await shrink(WORLD, failing, { runsMax: 1 });
  strictEqual(spent.runs, 1);
});
