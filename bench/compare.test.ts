/** Medians, ratios and verdicts, on made-up cells. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { compare, median, summarize } from "./compare.ts";
import type { Cell } from "./run-bench.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";

const SCENARIO = SCENARIOS.find(({ id }) => id === "ram/randread-4k-q32") as Scenario;

function cell(server: string, round: number, cpuUsPerOperation: number): Cell {
  return {
    scenario: SCENARIO.id,
    server,
    round,
    operations: 1000,
    iops: 1000,
    p50Us: 10,
    p99Us: 20,
    cpuShare: 0.5,
    cpuUsPerOperation,
    residentBytes: 1,
    otherCores: 0,
    threadsOffCore: [],
  };
}

/** One cell per round and server, from the figures of the rounds. */
function cellsOf(figures: Readonly<Record<string, readonly number[]>>): Cell[] {
  return Object.entries(figures).flatMap(([server, values]) =>
    values.map((value, index) => cell(server, index + 1, value)),
  );
}

test("median is the middle, or the mean of the two, when values come in any order", () => {
  assert.equal(median([5, 1, 9]), 5);
  assert.equal(median([4, 1, 9, 2]), 3);
});

test("compare takes ratios within rounds when the machine changes between them", () => {
  const cells = cellsOf({ penstock: [9, 18, 4.5], slow: [30, 30, 30], fast: [10, 20, 5] });
  const [comparison, ...others] = compare([SCENARIO], cells, "penstock");
  assert.equal(others.length, 0);
  assert.deepEqual(comparison, {
    scenario: SCENARIO.id,
    figure: "cpu",
    bestPeer: "fast",
    ratio: 0.9,
    ratioMin: 0.9,
    ratioMax: 0.9,
    limit: 0.95,
    verdict: "yes",
  });
});

for (const [verdict, ours] of [
  ["yes", [8, 9, 9.4]],
  ["yes, within noise", [8, 9, 9.6]],
  ["no, within noise", [9, 9.7, 9.8]],
  ["no", [9.6, 9.7, 9.8]],
] as const) {
  test(`compare says "${verdict}" when the ratios are tenths of ${ours.join(", ")}`, () => {
    const cells = cellsOf({ penstock: ours, peer: [10, 10, 10] });
    assert.equal(compare([SCENARIO], cells, "penstock")[0]?.verdict, verdict);
  });
}

test("compare has nothing to say when a scenario has no peer, or no Penstock", () => {
  assert.deepEqual(compare([SCENARIO], cellsOf({ penstock: [1] }), "penstock"), []);
  assert.deepEqual(compare([SCENARIO], cellsOf({ peer: [1] }), "penstock"), []);
});

test("summarize gives medians and spread for each server when there are rounds", () => {
  const summaries = summarize(cellsOf({ a: [1, 2, 4], b: [3] }));
  assert.deepEqual(
    summaries.map(({ server, cpuUsPerOperation, cpuSpread }) => [
      server,
      cpuUsPerOperation,
      cpuSpread,
    ]),
    [
      ["a", 2, 1.5],
      ["b", 3, 0],
    ],
  );
});
