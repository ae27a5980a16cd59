// Tests of the live line's arithmetic and form.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { formatRates, ratesBetween } from "./live-line.ts";
import type { PipeCounters, StatsLine } from "./stats-lines.ts";

const PIPE: PipeCounters = {
  uri: "nbd://h/x",
  state: "ready",
  failure: null,
  reads: 0,
  writes: 0,
  others: 0,
  readBytes: 0,
  writeBytes: 0,
  latencyMsSum: 0,
  errors: 0,
  connections: 0,
};

function lineAt(atMs: number, ...pipes: Partial<PipeCounters>[]): StatsLine {
  return { atMs, pipes: pipes.map((pipe) => ({ ...PIPE, ...pipe })) };
}

test("ratesBetween adds up all pipes and divides by the time between", () => {
  const before = lineAt(1000, { reads: 10, latencyMsSum: 5 }, { writes: 7 });
  const after = lineAt(
    3000,
    { reads: 110, others: 2, readBytes: 4e6, latencyMsSum: 25, connections: 2 },
    { writes: 105, writeBytes: 1e6, errors: 1, connections: 1 },
  );
  deepStrictEqual(ratesBetween(before, after), {
    iops: 100,
    readMbPerSecond: 2,
    writeMbPerSecond: 0.5,
    latencyMs: 0.1,
    connections: 3,
    errors: 1,
  });
});

test("ratesBetween has no latency when nothing was done", () => {
  const { latencyMs, iops } = ratesBetween(lineAt(0, {}), lineAt(1000, {}));
  strictEqual(latencyMs, null);
  strictEqual(iops, 0);
});

test("formatRates names errors only when there are some", () => {
  const rates = {
    iops: 12_345.6,
    readMbPerSecond: 48.21,
    writeMbPerSecond: 0,
    latencyMs: 0.0512,
    connections: 1,
    errors: 0,
  };
  strictEqual(
    formatRates(rates),
    "12,346 IOPS  read 48.2 MB/s  write 0.0 MB/s  latency 0.051 ms  1 connection",
  );
  strictEqual(
    formatRates({ ...rates, latencyMs: null, connections: 0, errors: 2 }),
    "12,346 IOPS  read 48.2 MB/s  write 0.0 MB/s  latency -  0 connections  2 errors",
  );
});
