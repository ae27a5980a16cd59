// Tests of FirstFailure: every step runs, the first failure stays.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PenstockError } from "./errors.ts";
import { FirstFailure } from "./first-failure.ts";

test("a first failure is none while all steps go well", async () => {
  const first = new FirstFailure();
  await first.attempt(() => undefined);
  await first.attempt(() => Promise.resolve(1));
  strictEqual(first.failure, null);
  first.throwIfAny();
});

test("a first failure stays, and the steps behind it run", async () => {
  const first = new FirstFailure();
  const ran: number[] = [];
  const error = new PenstockError({ code: "flush-failed", message: "one" });
  await first.attempt(() => Promise.reject(error));
  await first.attempt(() => {
    ran.push(2);
    throw new RangeError("two");
  });
  await first.attempt(async () => {
    ran.push(3);
  });
  deepStrictEqual(ran, [2, 3]);
  strictEqual(first.failure, error);
  throws(
    () => first.throwIfAny(),
    (thrown) => thrown === error,
  );
});

test("a first failure that is none of ours becomes one", async () => {
  const first = new FirstFailure();
  await first.attempt(() => {
    throw new RangeError("foreign");
  });
  strictEqual(first.failure?.code, "internal");
  strictEqual(first.failure.message, "foreign");
});
