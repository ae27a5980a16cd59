// Tests of the waits between tries to open a pipe: longer each time, up to a minute.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "./retry-delay.ts";

test("retryDelayMs doubles from 0.1 s to a minute when a pipe goes on failing", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1000, 2 ** 31].map(retryDelayMs);
  const minute = 60_000;
  deepStrictEqual(delays, [
    100,
    200,
    400,
    800,
    1600,
    3200,
    6400,
    12_800,
    25_600,
    51_200,
    minute,
    minute,
    minute,
  ]);
});
