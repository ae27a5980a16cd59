// Tests of Lane: order, results, and a step that fails.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Lane } from "./lane.ts";

test("a lane starts a step when the one before has ended", async () => {
  const lane = new Lane();
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const results = [
    lane.run(async () => {
      seen.push("first starts");
      await first.promise;
      seen.push("first ends");
      return 1;
    }),
    lane.run(() => {
      seen.push("second");
      return 2;
    }),
  ];
  deepStrictEqual(seen, []);
  await new Promise((resolve) => setImmediate(resolve));
  deepStrictEqual(seen, ["first starts"]);
  first.resolve();
  deepStrictEqual(await Promise.all(results), [1, 2]);
  deepStrictEqual(seen, ["first starts", "first ends", "second"]);
});

test("a lane goes on after a step that failed, which fails for its caller alone", async () => {
  const lane = new Lane();
  const thrown = lane.run(() => {
    throw new RangeError("thrown");
  });
  const rejected = lane.run(() => Promise.reject(new RangeError("rejected")));
  const good = lane.run(() => "good");
  await rejects(thrown, { message: "thrown" });
  await rejects(rejected, { message: "rejected" });
  strictEqual(await good, "good");
});
