/**
 * Time, passed in. Nothing above `reactor/` asks the system for the time.
 */

/** A monotonic clock and timers. Real in the product, virtual in tests and simulation. */
export interface Clock {
  /** Monotonic milliseconds with a fraction (sub-microsecond where the system has it). */
  nowMs(): number;
  /** Milliseconds since 1970, for people to read; absent where no time of day is known. */
  wallMs?(): number;
  /** Runs `callback` once, `delayMs` or a little more from now, in the reactor's thread. */
  startTimer(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  /** Idempotent; the callback does not run afterwards. */
  cancel(): void;
}
