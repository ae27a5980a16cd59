// Tests of resting: patterns of receives as different clients cause them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RestControl } from "./rest-control.ts";

/** The last answer after many receives of these sizes, over and over. */
function settle(pattern: readonly number[]): number {
  const control = new RestControl();
  let restMs = 0;
  for (let step = 0; step < 1000; step++)
    restMs = control.received(pattern[step % pattern.length] ?? 1);
  return restMs;
}

const TRICKLE = Array.from({ length: 200 }, () => 2);

test("RestControl rests where many requests trickle in", () => {
  const restMs = settle([32, ...TRICKLE]);
  assert.ok(restMs > 0.01 && restMs <= 0.03, `${restMs} ms`);
});

test("RestControl rests for less where fewer are on their way", () => {
  const restMs = settle([12, ...TRICKLE.map(() => 1)]);
  assert.ok(restMs > 0 && restMs <= 0.025, `${restMs} ms`);
});

test("RestControl never rests for a client that has few requests on their way", () => {
  for (const pattern of [[1], [1, 2], [4, 1, 1], [4]]) assert.equal(settle(pattern), 0);
});

test("RestControl does not rest where everything waits for the server anyway", () => {
  assert.equal(settle([32]), 0);
  assert.equal(settle([20, 32, 24]), 0);
});

test("RestControl forgets a depth that does not show again", () => {
  const control = new RestControl();
  control.received(64);
  let restMs = control.received(1);
  for (let step = 0; step < 20_000; step++) restMs = control.received(1);
  assert.equal(restMs, 0);
});
