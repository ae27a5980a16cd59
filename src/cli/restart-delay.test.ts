// Tests of the waits between an engine's death and its next life.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { restartDelay } from "./restart-delay.ts";

function delays(lives: readonly number[]): number[] {
  let shortLives = 0;
  return lives.map((livedMs) => {
    const next = restartDelay({ shortLives, livedMs });
    shortLives = next.shortLives;
    return next.delayMs;
  });
}

test("restartDelay is nothing at first and doubles to 30 s when lives stay short", () => {
  const lives = Array.from({ length: 12 }, () => 200);
  deepStrictEqual(
    delays(lives),
    [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000],
  );
});

test("restartDelay begins anew when an engine has lived for a while", () => {
  deepStrictEqual(
    delays([5, 5, 5, 10_000, 9_999, 1, 86_400_000, 1]),
    [0, 100, 200, 0, 0, 100, 0, 0],
  );
});
