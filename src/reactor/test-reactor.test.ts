// Tests of the helper that tests rest on: levels, seeds, errors.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { TEST_LEVELS, withReactor } from "./test-reactor.ts";

test("withReactor gives a reactor of the level, and what the body gave", async () => {
  for (const level of TEST_LEVELS) {
    const found = await withReactor(
      level,
      async (place) => {
        strictEqual(place.reactor.io.level, level);
        strictEqual(place.world !== null, level === "fake");
        strictEqual(place.seed, 5);
        return place.level;
      },
      { seed: 5 },
    );
    strictEqual(found, level);
  }
  ok(TEST_LEVELS.includes("fake") && TEST_LEVELS.includes("portable"));
});

test("withReactor names the seed when the body fails", async () => {
  for (const level of TEST_LEVELS) {
    const cause = new Error("the reason");
    const failing = withReactor(level, () => Promise.reject(cause), { seed: 77 });
    await rejects(failing, { message: /^seed 77:/, cause });
  }
});
