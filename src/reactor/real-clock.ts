/**
 * RealClock: the system's monotonic clock and Node's timers.
 *
 * State: the timers that have not fired, so that `close` can let the thread exit although some are
 * pending. Callbacks run in the thread's event loop, outside of a reactor's turn.
 */

import type { Clock, Timer } from "./clock.ts";

/** Node runs longer timers after 1 ms; they are started again in steps of this. */
const TIMER_STEP_MS_MAX = 2 ** 31 - 1;

/**
 * Node counts in whole milliseconds of a cached clock and so may fire up to one early; a timer of
 * ours is never early.
 */
const ROUNDING_MS = 1;

export class RealClock implements Clock {
  readonly #pending = new Set<RealTimer>();
  #closed = false;

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const timer = new RealTimer(this.#pending, delayMs, callback);
    if (this.#closed) timer.unref();
    return timer;
  }

  /** Cancels what is pending. Timers started later do not keep the thread alive. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#pending) timer.cancel();
  }
}

class RealTimer implements Timer {
  readonly #pending: Set<RealTimer>;
  readonly #callback: () => void;
  #leftMs: number;
  #timeout: NodeJS.Timeout;
  #keepsAlive = true;

  constructor(pending: Set<RealTimer>, delayMs: number, callback: () => void) {
    this.#pending = pending;
    this.#callback = callback;
    this.#leftMs = Math.ceil(Math.max(delayMs, 0)) + ROUNDING_MS;
    this.#timeout = this.#arm();
    pending.add(this);
  }

  cancel(): void {
    if (this.#pending.delete(this)) clearTimeout(this.#timeout);
  }

  unref(): void {
    this.#keepsAlive = false;
    this.#timeout.unref();
  }

  #arm(): NodeJS.Timeout {
    const stepMs = Math.min(this.#leftMs, TIMER_STEP_MS_MAX);
    this.#leftMs -= stepMs;
    const timeout = setTimeout(() => this.#fire(), stepMs);
    return this.#keepsAlive ? timeout : timeout.unref();
  }

  #fire(): void {
    if (this.#leftMs > 0) {
      this.#timeout = this.#arm();
      return;
    }
    this.#pending.delete(this);
    this.#callback();
  }
}
