// Tests of the waits between tries to open a pipe: longer each time, up to a minute.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import { retryDelayMs } from "./retry-delay.ts";

test("retryDelayMs doubles from one second to a minute when a pipe goes on failing", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 1000, 2 ** 31].map(retryDelayMs);
  const minute = 60_000;
  deepStrictEqual(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, minute, minute, minute, minute]);
});
