// Tests of EngineLog: both formats, levels, storms, a reader that is gone.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { EngineLog, type LogEntry } from "./engine-log.ts";
import type { LogFormat, LogLevel } from "./log-choices.ts";
import { LINES_PER_WINDOW, LOG_WINDOW_MS } from "./log-limiter.ts";

function logOf(level: LogLevel, format: LogFormat) {
  const written: string[] = [];
  const clock = { nowMs: 1_000_000 };
  const destination = { write: (line: string) => void written.push(line), flush: () => undefined };
  const log = new EngineLog({ level, format, nowMs: () => clock.nowMs, destination });
  return { log, clock, lines: () => written.join("").split("\n").slice(0, -1) };
}

const ENTRY: LogEntry = { level: "info", code: "pipe-ready", pipe: "a", message: 'is "up"\nnow' };

test("a json line has RFC 3339 time, level, code, pipe and message", () => {
  const { log, lines } = logOf("info", "json");
  log.write(ENTRY);
  log.write({ ...ENTRY, level: "debug" });
  log.write({ level: "warning", code: "child-faulted", stage: "mirror(a, b)", message: "lost" });
  const parsed = lines().map((line) => JSON.parse(line));
  for (const { time } of parsed) match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  deepStrictEqual(
    parsed.map(({ time, ...rest }) => rest),
    [
      { level: "info", code: "pipe-ready", pipe: "a", message: 'is "up"\nnow' },
      { level: "warning", code: "child-faulted", stage: "mirror(a, b)", message: "lost" },
    ],
  );
});

test("a pretty line is one for a person, and levels below are left out", () => {
  const { log, lines } = logOf("warning", "pretty");
  log.write(ENTRY);
  log.write({ level: "error", code: "c", pipe: "p", stage: "s", message: "m" });
  strictEqual(lines().length, 1);
  match(lines()[0] ?? "", /^\d{4}-\S+Z error c: p: s: m$/);
  log.write({ level: "error", code: "c", message: "one\n2026 error two: \u001b[2J\u009b\r" });
  deepStrictEqual(lines().slice(2), ["    2026 error two: \\u001b[2J\\u009b\\u000d"]);
});

test("a storm of one code is summarised, other codes are not touched", () => {
  const { log, clock, lines } = logOf("info", "pretty");
  const ENTRY: LogEntry = { level: "info", code: "pipe-ready", message: "up" };
  for (let index = 0; index < LINES_PER_WINDOW + 1234; index += 1) log.write(ENTRY);
  log.write({ ...ENTRY, code: "calm" });
  strictEqual(lines().length, LINES_PER_WINDOW + 1);
  clock.nowMs += LOG_WINDOW_MS;
  log.write({ ...ENTRY, code: "calm" });
  match(lines().at(-2) ?? "", /info pipe-ready: and 1234 more in 10 s$/);
  for (let index = 0; index < LINES_PER_WINDOW + 7; index += 1) log.write(ENTRY);
  clock.nowMs += 3000;
  log.flush();
  match(lines().at(-1) ?? "", /info pipe-ready: and 7 more in 3 s$/);
});
