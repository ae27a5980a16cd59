/**
 * VerifyingProbe: a well-behaved client beside badly behaved ones: what it does is verified, and
 * timed. Owned by one test; one request at a time.
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Far above what two loaded cores need, below the five seconds after which stuck peers are cut. */
const LATENCY_MS_MAX = 3500;
/** Between two checks: others use the processors as well, the server under test for one. */
const PAUSE_MS = 3;

export abstract class VerifyingProbe {
  /** Longest time that one write or read took. */
  slowestMs = 0;
  checkCount = 0;
  #running = true;

  /** Writes somewhere and reads it back; throws when that is not what was written. */
  abstract check(): Promise<void>;

  /** Checks again and again until `stop`; rejects at the first failure. */
  async run(): Promise<void> {
    while (this.#running) {
      await this.check();
      await sleep(PAUSE_MS);
    }
  }

  stop(): void {
    this.#running = false;
  }

  protected async timed<T>(action: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await action();
    const tookMs = performance.now() - startMs;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    assert.ok(tookMs < LATENCY_MS_MAX, `a request of the other client took ${tookMs} ms`);
    return result;
  }
}
