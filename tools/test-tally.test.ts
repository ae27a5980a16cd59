// Tests of the tally: counts of several runs add up, skips are named, the closing lines are node's.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { closingLines, type TestEvent, TestTally } from "./test-tally.ts";

function summary(counts: Record<string, number>, file?: string): TestEvent {
  const success = (counts.failed ?? 0) === 0;
  return { type: "test:summary", data: { success, counts, ...(file ? { file } : {}) } };
}

const skipOf = (name: string, skip: string | boolean): TestEvent => ({
  type: "test:pass",
  data: { name, skip, file: `${process.cwd()}/src/a.test.ts` },
});

test("TestTally adds up runs and leaves out single files when summaries come", () => {
  const tally = new TestTally();
  tally.add(summary({ tests: 3, passed: 3 }, "src/a.test.ts"));
  tally.add(summary({ tests: 3, passed: 3, skipped: 0 }));
  tally.add(summary({ tests: 4, passed: 2, skipped: 2 }));
  strictEqual(tally.counts.tests, 7);
  strictEqual(tally.counts.passed, 5);
  strictEqual(tally.counts.skipped, 2);
  strictEqual(tally.succeeded, true);
});

test("TestTally has not succeeded when a test failed or none ran", () => {
  const tally = new TestTally();
  strictEqual(tally.succeeded, false);
  tally.add(summary({ tests: 2, passed: 1, failed: 1 }));
  tally.add(summary({ tests: 2, passed: 2 }));
  strictEqual(tally.succeeded, false);
});

test("TestTally collects skips with their reason when there is one", () => {
  const tally = new TestTally();
  tally.add(skipOf("a", "missing: fio"));
  tally.add(skipOf("b", true));
  tally.add(skipOf("c", false));
  deepStrictEqual(
    tally.skips.map(({ name, reason }) => [name, reason]),
    [
      ["a", "missing: fio"],
      ["b", "no reason"],
    ],
  );
});

test("closingLines names skips and failed checks and ends like node when the run is over", () => {
  const tally = new TestTally();
  tally.add(skipOf("reads by fio", "missing: fio"));
  tally.add(summary({ tests: 2, suites: 1, passed: 1, skipped: 1 }));
  const facts = { durationMs: 12.5, failedChecks: ["lint"], requireAll: true };
  const text = closingLines(tally, facts);
  match(text, /PENSTOCK_REQUIRE_ALL=1: 1 skipped, each counts as a failure/);
  match(text, / {2}﹣ reads by fio \(src\/a\.test\.ts\): missing: fio\n/);
  match(text, /✖ failed checks: lint\n/);
  deepStrictEqual(text.trimEnd().split("\n").slice(-8), [
    "ℹ tests 2",
    "ℹ suites 1",
    "ℹ pass 1",
    "ℹ fail 0",
    "ℹ cancelled 0",
    "ℹ skipped 1",
    "ℹ todo 0",
    "ℹ duration_ms 12.500",
  ]);
});
