// Tests of the real clock: never early, in order, cancelled for good, no obstacle to an exit.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { RealClock } from "./real-clock.ts";

const fired = (clock: RealClock, delayMs: number): Promise<number> => {
  const startMs = clock.nowMs();
  return new Promise((resolve) => {
    clock.startTimer(delayMs, () => resolve(clock.nowMs() - startMs));
  });
};

test("nowMs never goes back and has a fraction", () => {
  const clock = new RealClock();
  let lastMs = clock.nowMs();
  let fractions = 0;
  for (let round = 0; round < 10_000; round++) {
    const nowMs = clock.nowMs();
    ok(nowMs >= lastMs);
    if (!Number.isInteger(nowMs)) fractions++;
    lastMs = nowMs;
  }
  ok(fractions > 0);
});

test("startTimer is never early when the delay has a fraction", async () => {
  const clock = new RealClock();
  const delaysMs = [-5, 0, 0.1, 1, 1.5, 2, 3.99, 5, 7.5, 20];
  const elapsedMs = await Promise.all(delaysMs.map((delayMs) => fired(clock, delayMs)));
  for (const [index, delayMs] of delaysMs.entries()) {
    ok((elapsedMs[index] ?? 0) >= delayMs, `${elapsedMs[index]} ms for ${delayMs}`);
  }
});

test("startTimer runs callbacks in order when the delays differ or are equal", async () => {
  const clock = new RealClock();
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    clock.startTimer(30, resolve);
    clock.startTimer(20, () => order.push("c"));
    clock.startTimer(5, () => order.push("a"));
    clock.startTimer(5, () => order.push("b"));
  });
  deepStrictEqual(order, ["a", "b", "c"]);
});

test("startTimer waits when the delay is longer than one timer of Node", async () => {
  const clock = new RealClock();
  let early = false;
  const timer = clock.startTimer(2 ** 33, () => {
    early = true;
  });
  await fired(clock, 10);
  strictEqual(early, false);
  timer.cancel();
});

test("cancel keeps the callback from running, also twice and after it ran", async () => {
  const clock = new RealClock();
  let runs = 0;
  const cancelled = clock.startTimer(1, () => runs++);
  cancelled.cancel();
  cancelled.cancel();
  const ran = clock.startTimer(1, () => runs++);
  await fired(clock, 10);
  ran.cancel();
  strictEqual(runs, 1);
});

test("close cancels pending timers and is idempotent", async () => {
  const clock = new RealClock();
  let runs = 0;
  clock.startTimer(1, () => runs++);
  clock.close();
  clock.close();
  await new Promise((resolve) => setTimeout(resolve, 5));
  strictEqual(runs, 0);
});

test("a process ends at once when its clock is closed", () => {
  const script = `
    import { RealClock } from ${JSON.stringify(new URL("./real-clock.ts", import.meta.url).href)};
    const clock = new RealClock();
    clock.startTimer(3_600_000, () => {});
    clock.close();
    clock.startTimer(3_600_000, () => {});
  `;
  const args = ["--input-type=module", "-e", script];
  const result = spawnSync(process.execPath, args, { timeout: 30_000, encoding: "utf8" });
  strictEqual(result.status, 0, result.stderr);
});
