// Tests of the pool's model: what may be seen after which answer.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PoolModel } from "./pool-model.ts";

interface State extends Readonly<Record<string, unknown>> {
  readonly size: number;
}

function model(): PoolModel<State> {
  const made = new PoolModel<State>();
  made.begin("a", () => ({ size: 1 })).acknowledged();
  return made;
}

const seen = (size: number) => new Map([["a", { size }]]);

test("PoolModel wants what was acknowledged, and nothing that was refused", () => {
  const one = model();
  one.begin("a", () => ({ size: 2 })).acknowledged();
  one.begin("a", () => ({ size: 3 })).refused();
  deepStrictEqual(one.possible("a"), [{ size: 2 }]);
  deepStrictEqual(one.seen(seen(2)), []);
  strictEqual(one.seen(seen(1)).length, 1);
});

test("PoolModel allows both of a change without an answer, and keeps what was seen", () => {
  for (const size of [1, 2]) {
    const one = model();
    one.begin("a", () => ({ size: 2 })).unanswered();
    deepStrictEqual(one.seen(seen(size)), []);
    strictEqual(one.seen(seen(3 - size)).length, 1, "what was seen stays");
  }
  const third = model();
  third.begin("a", () => ({ size: 2 })).unanswered();
  strictEqual(third.seen(seen(3)).length, 1);
});

test("PoolModel applies a change to each state that is possible", () => {
  const one = model();
  one.begin("a", () => ({ size: 2 })).unanswered();
  one.begin("a", (state) => ({ size: (state?.size ?? 0) * 10 })).acknowledged();
  deepStrictEqual(one.possible("a"), [{ size: 10 }, { size: 20 }]);
});

test("PoolModel notices what is missing and what nobody made", () => {
  const one = model();
  strictEqual(one.seen(new Map()).length, 1);
  strictEqual(one.seen(seen(1)).length, 1, "it was gone");
  const two = model();
  two.begin("a", () => null).acknowledged();
  deepStrictEqual(two.names, []);
  deepStrictEqual(two.seen(new Map()), []);
});

test("PoolModel does not look at the order of keys", () => {
  const one = new PoolModel<{ readonly p: Readonly<Record<string, number>> }>();
  one.begin("a", () => ({ p: { x: 1, y: 2 } })).acknowledged();
  deepStrictEqual(one.seen(new Map([["a", { p: { y: 2, x: 1 } }]])), []);
});
