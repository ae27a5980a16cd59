/**
 * LegTimer: one timer for all leg requests of a mirror, not one per request.
 *
 *   idle --arm--> armed --fires--> sweep says when to look again, or never --> armed / idle
 *
 * It is armed with the first request and then looks from deadline to deadline for as long as
 * anything is in flight. When it fires much too late (the process or its machine was stopped, the
 * answers wait to be read), nobody is judged before a moment of grace.
 */

import type { Clock, Timer } from "../reactor/clock.ts";

/** Lateness beyond this part of the time-out says that we were stopped, not the children. */
const LATE_SHARE = 1 / 4;
const LATE_MS_MAX = 1000;

/** Looks for requests that are overdue. Outside of the reactor's turn. */
export interface LegSweeper {
  /** @returns milliseconds until it wants to look again, or 0: not before the next `arm` */
  sweep(nowMs: number): number;
}

export class LegTimer {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #sweeper: LegSweeper;
  #timer: Timer | null = null;
  #dueMs = 0;

  constructor(clock: Clock, timeoutMs: number, sweeper: LegSweeper) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#sweeper = sweeper;
  }

  /** A request was submitted now. Hot path. */
  arm(nowMs: number): void {
    if (this.#timer === null) this.#start(nowMs, this.#timeoutMs);
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #start(nowMs: number, delayMs: number): void {
    this.#dueMs = nowMs + delayMs;
    this.#timer = this.#clock.startTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#timer = null;
    const nowMs = this.#clock.nowMs();
    const graceMs = Math.min(this.#timeoutMs * LATE_SHARE, LATE_MS_MAX);
    if (nowMs - this.#dueMs > graceMs) {
      this.#start(nowMs, graceMs);
      return;
    }
    const delayMs = this.#sweeper.sweep(nowMs);
    if (delayMs > 0) this.#start(nowMs, delayMs);
  }
}
