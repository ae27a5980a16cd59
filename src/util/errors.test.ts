// Tests of the error base class and of the conversion of unknown values at the edge.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PenstockError, toPenstockError } from "./errors.ts";

test("PenstockError keeps code, message, details and cause when given", () => {
  const cause = new Error("disk on fire");
  const error = new PenstockError({
    code: "pool-import-failed",
    message: "cannot import pool fast",
    retryable: true,
    details: { pool: "fast", devices: 3 },
    cause,
  });
  strictEqual(error.code, "pool-import-failed");
  strictEqual(error.retryable, true);
  deepStrictEqual(error.details, { pool: "fast", devices: 3 });
  strictEqual(error.cause, cause);
  strictEqual(error instanceof Error, true);
});

test("PenstockError is not retryable and has no cause when nothing is said", () => {
  const error = new PenstockError({ code: "x", message: "y" });
  strictEqual(error.retryable, false);
  deepStrictEqual(error.details, {});
  strictEqual(Object.hasOwn(error, "cause"), false);
});

test("toPenstockError passes our errors through when given one", () => {
  const error = new PenstockError({ code: "x", message: "y" });
  strictEqual(toPenstockError(error), error);
});

test("toPenstockError keeps the system code when the system refused", () => {
  let thrown: unknown;
  try {
    readFileSync("/nonexistent/penstock");
  } catch (error) {
    thrown = error;
  }
  const error = toPenstockError(thrown);
  strictEqual(error.code, "system-enoent");
  strictEqual(error.retryable, false);
  deepStrictEqual(error.details, { systemCode: "ENOENT" });
  strictEqual(error.cause, thrown);
});

test("toPenstockError is retryable when the system code is a passing one", () => {
  const busy = Object.assign(new Error("address in use"), { code: "ECONNREFUSED" });
  strictEqual(toPenstockError(busy).retryable, true);
});

test("toPenstockError says internal when the value is anything else", () => {
  const hostile = Object.create(null) as object;
  for (const [thrown, message] of [
    ["text", "text"],
    [undefined, "thrown value: undefined"],
    [new TypeError("x is not a function"), "x is not a function"],
    [Object.assign(new Error("odd"), { code: 17 }), "odd"],
    [hostile, "thrown value without a string form"],
  ] as const) {
    const error = toPenstockError(thrown);
    strictEqual(error.code, "internal");
    strictEqual(error.message, message);
  }
});
