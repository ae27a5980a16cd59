// Tests of TakeBudget: no more is taken between two labels than was free at the first.

import { ok } from "node:assert/strict";
import { test } from "node:test";
import { TakeBudget } from "./take-budget.ts";

test("what was free at the durable label is what may be taken", () => {
  const budget = new TakeBudget();
  ok(budget.allows(1e9, 0), "before the first label there is no limit");
  budget.frozen(5, 100);
  budget.taken(30);
  budget.committed(5);
  ok(budget.allows(70, 1000) && !budget.allows(71, 1000));
  budget.returned(5);
  ok(budget.allows(75, 1000) && !budget.allows(76, 1000));
});

test("a later label gives what was free then, less what was taken since", () => {
  const budget = new TakeBudget();
  budget.frozen(1, 100);
  budget.committed(1);
  budget.taken(90);
  budget.frozen(2, 60);
  budget.taken(10);
  ok(!budget.allows(1, 50), "the label is not durable yet");
  budget.committed(2);
  ok(budget.allows(50, 50) && !budget.allows(51, 60));
});

test("nobody waits for a label that would bring nothing", () => {
  const budget = new TakeBudget();
  budget.frozen(1, 100);
  budget.committed(1);
  ok(budget.allows(101, 100));
});
