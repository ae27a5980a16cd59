// Tests of LogLimiter: what passes, what is counted, when the summary is due.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { LINES_PER_WINDOW, LOG_WINDOW_MS, LogLimiter } from "./log-limiter.ts";

function admitted(limiter: LogLimiter, code: string, count: number, nowMs: number): number {
  let lines = 0;
  for (let index = 0; index < count; index += 1) if (limiter.admit(code, nowMs)) lines += 1;
  return lines;
}

test("a storm of one code passes so many lines, is counted, and begins anew", () => {
  const limiter = new LogLimiter();
  strictEqual(admitted(limiter, "storm", LINES_PER_WINDOW + 1234, 5), LINES_PER_WINDOW);
  strictEqual(admitted(limiter, "calm", 3, 6), 3);
  strictEqual(limiter.nextMs(1005), LOG_WINDOW_MS - 1000);
  deepStrictEqual(limiter.due(LOG_WINDOW_MS + 4), []);
  deepStrictEqual(limiter.due(LOG_WINDOW_MS + 7), [
    { code: "storm", count: 1234, windowMs: LOG_WINDOW_MS + 2 },
  ]);
  strictEqual(limiter.nextMs(LOG_WINDOW_MS + 7), null);
  strictEqual(admitted(limiter, "storm", 2, LOG_WINDOW_MS + 8), 2);
});

test("the end tells what is held back, and a clock set back ends a window", () => {
  const limiter = new LogLimiter();
  admitted(limiter, "a", LINES_PER_WINDOW + 1, 1000);
  deepStrictEqual(limiter.due(1001, true), [{ code: "a", count: 1, windowMs: 1 }]);
  admitted(limiter, "a", LINES_PER_WINDOW + 2, 1000);
  deepStrictEqual(limiter.due(900), [{ code: "a", count: 2, windowMs: -100 }]);
});

test("codes without number share a place", () => {
  const limiter = new LogLimiter();
  let lines = 0;
  for (let index = 0; index < 10_000; index += 1) if (limiter.admit(`c${index}`, 0)) lines += 1;
  strictEqual(lines, 256 + LINES_PER_WINDOW);
  deepStrictEqual(
    limiter.due(LOG_WINDOW_MS).map(({ code, count }) => [code, count]),
    [["other", 10_000 - 256 - LINES_PER_WINDOW]],
  );
});
