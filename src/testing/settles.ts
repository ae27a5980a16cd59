/** Waits for what becomes so a little later, because somebody else has to notice. Stateless. */

import { ok } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Patience, for a loaded machine. */
const SETTLE_MS_MAX = 60_000;
const LOOK_MS = 20;

/**
 * Looks again and again until `isSettled`.
 * @param what is still wrong, as it is now
 * @throws AssertionError that says so, after a minute
 */
export async function settles(
  isSettled: () => boolean | Promise<boolean>,
  what: () => string,
): Promise<void> {
  const endMs = performance.now() + SETTLE_MS_MAX;
  while (!(await isSettled())) {
    ok(performance.now() < endMs, `after ${SETTLE_MS_MAX} ms: ${what()}`);
    await sleep(LOOK_MS);
  }
}
