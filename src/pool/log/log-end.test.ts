// The table of what a log's end means, row by row.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { judgeLogEnd, type LogEndFacts, type LogEndVerdict } from "./log-end.ts";

const QUIET: LogEndFacts = {
  last: 10,
  mark: 8,
  hasLater: false,
  generation: 5,
  labelGeneration: 5,
  isVolatileLost: false,
  hasUnreadable: false,
};

// spec: docs/internals/pool-format.md, "The log's end, rot, and what was lost": the table's rows
const ROWS: readonly [string, Partial<LogEndFacts>, LogEndVerdict, LogEndVerdict][] = [
  ["no later frame", {}, "end", "end"],
  ["no later frame, all durable", { mark: 10 }, "end", "end"],
  ["a later frame", { hasLater: true }, "damaged", "dropped"],
  ["a later frame, all here durable", { hasLater: true, mark: 10 }, "damaged", "dropped"],
  ["mark above last", { mark: 11 }, "damaged", "damaged"],
  ["mark above last, later frame", { mark: 11, hasLater: true }, "damaged", "damaged"],
  ["a newer label was there", { generation: 6 }, "damaged", "damaged"],
  ["frames of an older label", { generation: 4 }, "end", "end"],
  ["unreadable", { hasUnreadable: true }, "damaged", "damaged"],
  ["unreadable, later frame", { hasUnreadable: true, hasLater: true }, "damaged", "damaged"],
];

for (const [what, facts, honest, lost] of ROWS) {
  test(`judgeLogEnd, ${what}: ${honest}, or ${lost} after a loss`, () => {
    strictEqual(judgeLogEnd({ ...QUIET, ...facts }), honest);
    strictEqual(judgeLogEnd({ ...QUIET, ...facts, isVolatileLost: true }), lost);
  });
}
