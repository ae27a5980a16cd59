/** Trying again until it works: connections to a server that is away. */

import type { Clock } from "../../reactor/clock.ts";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1000;

/**
 * Runs `attempt` until it returns true or `signal` is aborted, 50 ms to 1 s apart.
 * @param attempt false: not yet; must not throw
 */
export async function retryUntilDone(
  clock: Clock,
  signal: AbortSignal,
  attempt: () => Promise<boolean>,
): Promise<void> {
  for (let delayMs = RETRY_MS_MIN; ; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
    if (signal.aborted || (await attempt())) return;
    await sleep(clock, signal, delayMs);
  }
}

/** Ends early when `signal` is aborted. */
export function sleep(clock: Clock, signal: AbortSignal, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.startTimer(delayMs, done);
    signal.addEventListener("abort", done);
  });
}
