// Tests of durations: a unit is required, and sub-millisecond values come out exact.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";

test("parseDuration gives milliseconds when the text is a duration", () => {
  for (const [text, durationMs] of [
    ["5ms", 5],
    ["2s", 2000],
    ["1.5s", 1500],
    ["250us", 0.25],
    ["0.1us", 0.0001],
    ["20µs", 0.02],
    ["100ns", 0.0001],
    ["1m", 60_000],
    ["1min", 60_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["0ms", 0],
    [" 3 s ", 3000],
  ] as const) {
    strictEqual(parseDuration(text), durationMs, text);
  }
});

test("parseDuration refuses when the unit is missing or the text is not a duration", () => {
  for (const text of [
    "",
    "5",
    "ms",
    "-5ms",
    "1e3ms",
    "5 sec",
    "5M",
    "1,5s",
    ".5s",
    "5ms2",
    "5 m s",
  ]) {
    throws(() => parseDuration(text), { code: "duration-invalid" }, text);
  }
  throws(() => parseDuration("5"), /a unit is required/);
});

test("parseDuration names the value and the limits when out of range", () => {
  throws(() => parseDuration("10m", { minMs: 1, maxMs: 60_000 }), {
    code: "duration-out-of-range",
    message: 'duration "10m" is outside 1ms to 1m',
  });
  throws(() => parseDuration("0s", { minMs: 1 }), { code: "duration-out-of-range" });
  throws(() => parseDuration("9999999999999999d"), { code: "duration-out-of-range" });
});

test("formatDuration picks the largest fitting unit when formatting for people", () => {
  for (const [durationMs, text] of [
    [0, "0ms"],
    [5, "5ms"],
    [1500, "1.5s"],
    [60_000, "1m"],
    [0.25, "250us"],
    [0.0001, "100ns"],
    [86_400_000, "1d"],
    [7_200_000, "2h"],
  ] as const) {
    strictEqual(formatDuration(durationMs), text);
    strictEqual(parseDuration(text), durationMs);
  }
});
