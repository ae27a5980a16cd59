/**
 * How long a pipe that could not be opened waits for its next try. Pure.
 */

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 60_000;
const DOUBLINGS_MAX = 10;

/** @param failures in a row so far, at least 1 */
export function retryDelayMs(failures: number): number {
  return Math.min(RETRY_MS_MIN * 2 ** Math.min(failures - 1, DOUBLINGS_MAX), RETRY_MS_MAX);
}
