// Tests of assertions: they throw our class with a stable code, and only when they should.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { AssertionError, assert, unreachable } from "./assert.ts";

test("assert passes when the condition is true", () => {
  assert(true, "not thrown");
});

test("assert throws our AssertionError with its message when the condition is false", () => {
  throws(
    () => assert(false, "queue depth is negative"),
    (error: unknown) => {
      strictEqual(error instanceof AssertionError, true);
      strictEqual((error as AssertionError).code, "assertion-failed");
      strictEqual((error as AssertionError).message, "queue depth is negative");
      return true;
    },
  );
});

test("unreachable names the value when one got past the types", () => {
  for (const [value, text] of [
    ["verify", '"verify"'],
    [7n, "7n"],
    [undefined, "undefined"],
    [{ op: 9 }, '{"op":9}'],
  ] as const) {
    throws(() => unreachable(value as never), {
      name: "AssertionError",
      message: `unreachable value: ${text}`,
    });
  }
});

test("unreachable still names the value when it can't be serialised", () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  throws(() => unreachable(circular as never), /unreachable value: \[object Object\]/);
});
