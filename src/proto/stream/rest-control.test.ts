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

test("RestControl does not rest where requests come in batches", () => {
  assert.equal(settle([32]), 0);
  assert.equal(settle([20, 32, 24]), 0);
  assert.equal(settle([12, 9, 10]), 0);
});

test("RestControl forgets a depth that does not show again", () => {
  const control = new RestControl();
  control.received(64);
  let restMs = control.received(1);
  for (let step = 0; step < 20_000; step++) restMs = control.received(1);
  assert.equal(restMs, 0);
});

/** As an initiator: many answers came, so many each time, of `depth` commands on their way. */
function settleAnswered(depth: number, each: number): number {
  const control = new RestControl();
  let restMs = 0;
  for (let step = 0; step < 1000; step++) restMs = control.answered(each, depth - each);
  return restMs;
}

test("RestControl rests where answers to many commands trickle in", () => {
  for (const each of [0, 1, 4, 7]) {
    const restMs = settleAnswered(32, each);
    assert.ok(restMs > 0.01 && restMs <= 0.03, `${each}: ${restMs} ms`);
  }
});

test("RestControl does not rest for few commands, nor where many answers come together", () => {
  for (const depth of [1, 4, 7]) assert.equal(settleAnswered(depth, 1), 0);
  for (const each of [9, 17, 32]) assert.equal(settleAnswered(32, each), 0);
});
