/**
 * KeepAlive: a controller's keep-alive timer: restarted by the host's commands, off at 0.
 *
 *   running --no Keep Alive for the time-out--> grace --still none--> expired()
 *
 * The grace covers an engine that was held up for a moment: its timer fires late, while what the
 * host has sent meanwhile waits in the socket. After the grace the host may have gone elsewhere:
 * what waits is not done any more, whether the timer has fired or not (`deadlineMs`).
 *
 * spec: NVMe Base 2.0 3.9 (keep alive)
 */

import type { Clock, Timer } from "../../reactor/clock.ts";

/** KAS says it in units of 100 ms; time-outs are rounded up to it. */
export const KEEP_ALIVE_GRANULARITY_MS = 1000;
const GRACE_MS = 1000;
/** Timers take 31 bits; longer than this is as good as never. */
const TIMER_MS_MAX = 0x7fff_ffff;

export class KeepAlive {
  readonly #clock: Clock;
  readonly #expired: () => void;
  /** When the grace ends, on the clock; Infinity: never. */
  deadlineMs: number = Infinity;
  #timeoutMs = 0;
  #heardMs = 0;
  #isGrace = false;
  #timer: Timer | null = null;

  /** @param expired called once at most per `start` */
  constructor(clock: Clock, expired: () => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** 0: off. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** From now on with that time-out, rounded up; 0 switches it off. */
  start(timeoutMs: number): void {
    this.stop();
    const steps = Math.ceil(timeoutMs / KEEP_ALIVE_GRANULARITY_MS);
    this.#timeoutMs = steps * KEEP_ALIVE_GRANULARITY_MS;
    this.deadlineMs = Infinity;
    if (this.#timeoutMs === 0) return;
    this.heard();
    this.#arm(this.#timeoutMs);
  }

  /** The host lives. */
  heard(): void {
    this.#heardMs = this.#clock.nowMs();
    if (this.#timeoutMs > 0) this.deadlineMs = this.#heardMs + this.#timeoutMs + GRACE_MS;
    this.#isGrace = false;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.startTimer(Math.min(delayMs, TIMER_MS_MAX), () => this.#check());
  }

  #check(): void {
    const leftMs = this.#heardMs + this.#timeoutMs - this.#clock.nowMs();
    if (leftMs > 0) {
      this.#arm(Math.ceil(leftMs));
    } else if (!this.#isGrace) {
      this.#isGrace = true;
      this.#arm(GRACE_MS);
    } else {
      this.#timer = null;
      this.#expired();
    }
  }
}
