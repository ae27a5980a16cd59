/**
 * How long the supervisor waits before it starts an engine again that has died. Pure.
 *
 * One that has run for a while is back at once; one that dies over and over is tried less and less
 * often, and never given up: hosts wait for it.
 */

/** An engine that has lived so long counts as having come up. */
const STEADY_MS = 10_000;
const DELAY_MS_MIN = 100;
const DELAY_MS_MAX = 30_000;
const DOUBLINGS_MAX = 9;

export interface Lives {
  /** How many lives in a row have been shorter than STEADY_MS, this one not counted. */
  readonly shortLives: number;
  /** How long the engine that has just died lived. */
  readonly livedMs: number;
}

export interface RestartDelay {
  readonly delayMs: number;
  readonly shortLives: number;
}

export function restartDelay({ shortLives, livedMs }: Lives): RestartDelay {
  if (livedMs >= STEADY_MS) return { delayMs: 0, shortLives: 0 };
  const doublings = Math.min(shortLives - 1, DOUBLINGS_MAX);
  const delayMs = shortLives === 0 ? 0 : Math.min(DELAY_MS_MIN * 2 ** doublings, DELAY_MS_MAX);
  return { delayMs, shortLives: shortLives + 1 };
}
