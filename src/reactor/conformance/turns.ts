/**
 * Conformance of an Io: turns, deferred callbacks, timers. Each function is one test.
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";

import type { Harness } from "./harness.ts";

/** Far more turns than anything needs, far fewer than a busy loop takes. */
const IDLE_TURNS_MAX = 500;

export async function turnRunsWhenRequested(h: Harness): Promise<void> {
  let turns = 0;
  let requesting = false;
  h.io.setTurnHandler({
    runTurn() {
      strictEqual(requesting, false, "a turn ran inside requestTurn");
      turns++;
      return turns < 3;
    },
  });
  requesting = true;
  h.io.requestTurn();
  h.io.requestTurn();
  requesting = false;
  for (let round = 0; turns < 3 && round < 4000; round++) await h.sleep(5);
  ok(turns >= 3, `a handler that had work is called again: ${turns} calls`);
  const turnsBefore = turns;
  await h.sleep(100);
  ok(turns - turnsBefore < IDLE_TURNS_MAX, `${turns - turnsBefore} turns with nothing to do`);
}

export async function turnRequestedInsideTurnRuns(h: Harness): Promise<void> {
  let turns = 0;
  await new Promise<void>((resolve) => {
    h.io.setTurnHandler({
      runTurn() {
        turns++;
        if (turns < 1000) h.io.requestTurn();
        else if (turns === 1000) h.io.defer(resolve);
        return turns < 1000;
      },
    });
    h.io.requestTurn();
  });
  ok(turns >= 1000);
}

/** A turn that always has work must not keep timers and promises out. */
export async function busyTurnsLetTimersIn(h: Harness): Promise<void> {
  let busy = true;
  h.io.setTurnHandler({ runTurn: () => busy });
  h.io.requestTurn();
  await h.sleep(10);
  await new Promise<void>((resolve) => h.io.defer(resolve));
  busy = false;
}

/** ... each with microtasks after it, before anything else that waits for the event loop. */
export async function deferRunsOutsideTurns(h: Harness): Promise<void> {
  let inTurn = false;
  let left = 100;
  let microtasks = 0;
  await new Promise<void>((resolve, reject) => {
    const deferred = (): void => {
      if (inTurn) reject(new Error("a deferred callback ran inside the turn"));
      void Promise.resolve().then(() => microtasks++);
      if (--left === 0) resolve();
    };
    let started = false;
    h.io.setTurnHandler({
      runTurn() {
        if (started) return false;
        started = true;
        inTurn = true;
        for (let count = 0; count < 100; count++) h.io.defer(deferred);
        inTurn = false;
        return false;
      },
    });
    h.io.requestTurn();
  });
  strictEqual(microtasks, 100);
}

export async function timersFireInOrder(h: Harness): Promise<void> {
  const { clock } = h.io;
  const order: string[] = [];
  const startMs = clock.nowMs();
  let elapsedMs = 0;
  await new Promise<void>((resolve) => {
    clock.startTimer(40, resolve);
    clock.startTimer(25, () => order.push("third"));
    clock.startTimer(1.5, () => {
      elapsedMs = clock.nowMs() - startMs;
      order.push("first");
    });
    clock.startTimer(10, () => order.push("second"));
  });
  deepStrictEqual(order, ["first", "second", "third"]);
  ok(elapsedMs >= 1.5, `a timer of 1.5 ms fired after ${elapsedMs}`);
  ok(clock.nowMs() - startMs >= 40);
}

export async function cancelledTimersDoNotFire(h: Harness): Promise<void> {
  const { clock } = h.io;
  let runs = 0;
  const cancelled = clock.startTimer(5, () => runs++);
  cancelled.cancel();
  cancelled.cancel();
  const later = clock.startTimer(10, () => runs++);
  clock.startTimer(2, () => later.cancel());
  const ran = clock.startTimer(1, () => runs++);
  await h.sleep(30);
  ran.cancel();
  strictEqual(runs, 1);
}
