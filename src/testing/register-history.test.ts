// Tests of the checker itself: histories that a register can have, and such that it cannot.

import { match, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { RegisterHistory } from "./register-history.ts";

type Step = readonly [kind: "write" | "read", value: number, start: number, end: number];

function violationOf(steps: readonly Step[]): string | null {
  const history = new RegisterHistory(0);
  for (const [kind, value, start] of steps) {
    if (kind === "write") history.writeBegan(value, start);
  }
  for (const [kind, value, start, end] of steps) {
    if (kind === "read") history.sawValue(value, start, end);
    else if (end >= 0) history.writeEnded(value, end);
  }
  return history.violation();
}

const NEVER = -1;

test("RegisterHistory accepts what one register may answer", () => {
  const histories: readonly (readonly Step[])[] = [
    [],
    [["read", 0, 1, 2]],
    [
      ["write", 1, 1, 2],
      ["read", 1, 3, 4],
    ],
    // During a write: old, then new; or both at once in any order.
    [
      ["write", 1, 1, 9],
      ["read", 0, 2, 3],
      ["read", 1, 4, 5],
    ],
    [
      ["write", 1, 1, 9],
      ["read", 1, 2, 4],
      ["read", 0, 3, 5],
    ],
    // Two writes at once end in either order.
    [
      ["write", 1, 1, 5],
      ["write", 2, 2, 6],
      ["read", 2, 7, 8],
    ],
    [
      ["write", 1, 1, 5],
      ["write", 2, 2, 6],
      ["read", 1, 7, 8],
    ],
    // Unanswered: seen, or never.
    [
      ["write", 1, 1, NEVER],
      ["read", 1, 7, 8],
    ],
    [
      ["write", 1, 1, NEVER],
      ["read", 0, 7, 8],
    ],
  ];
  for (const steps of histories) strictEqual(violationOf(steps), null, JSON.stringify(steps));
});

test("RegisterHistory refuses what no register answers", () => {
  const histories: readonly (readonly Step[])[] = [
    // Lost.
    [
      ["write", 1, 1, 2],
      ["read", 0, 3, 4],
    ],
    // New, then old.
    [
      ["write", 1, 1, 9],
      ["read", 1, 2, 3],
      ["read", 0, 4, 5],
    ],
    // Two orders at once.
    [
      ["write", 1, 1, 5],
      ["write", 2, 2, 6],
      ["read", 1, 7, 8],
      ["read", 2, 9, 10],
      ["read", 1, 11, 12],
    ],
    // Back after it was overwritten.
    [
      ["write", 1, 1, 2],
      ["write", 2, 3, 4],
      ["read", 1, 5, 6],
    ],
    [
      ["write", 1, 1, NEVER],
      ["read", 1, 3, 4],
      ["read", 0, 7, 8],
    ],
  ];
  for (const steps of histories) match(String(violationOf(steps)), /was current/);
});

test("RegisterHistory refuses values that nobody wrote, or not yet", () => {
  throws(() => violationOf([["read", 7, 1, 2]]), /never written/);
  throws(
    () =>
      violationOf([
        ["write", 1, 5, 6],
        ["read", 1, 1, 2],
      ]),
    /before it was written/,
  );
});
