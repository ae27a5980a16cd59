/**
 * Ticker: tells, a few times a second, how far a load is and how fast it was since the last time.
 *
 *   made --start()--> ticking --stop()--> ended
 */

import type { Clock, Timer } from "../reactor/clock.ts";

export type BenchPhase = "warm-up" | "run" | "finish" | "read back";

export interface BenchProgress {
  readonly phase: BenchPhase;
  /** 0 to 1. */
  readonly done: number;
  /** Since the progress before. */
  readonly iops: number;
  readonly bytesPerSecond: number;
}

/** What it looks at. */
export interface Ticked {
  readonly phase: BenchPhase;
  /** 0 to 1. */
  progress(nowMs: number): number;
  /** Operations of `blockBytes` so far. */
  operations(): number;
  readonly blockBytes: number;
}

const TICK_MS = 200;
const MS_PER_SECOND = 1000;

export class Ticker {
  readonly #clock: Clock;
  readonly #ticked: Ticked;
  readonly #tell: (progress: BenchProgress) => void;
  #timer: Timer | null = null;
  #beforeMs: number;
  #before: number;

  constructor(clock: Clock, ticked: Ticked, tell: (progress: BenchProgress) => void) {
    this.#clock = clock;
    this.#ticked = ticked;
    this.#tell = tell;
    this.#beforeMs = clock.nowMs();
    this.#before = ticked.operations();
  }

  start(): void {
    this.#timer = this.#clock.startTimer(TICK_MS, () => {
      this.#tick();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #tick(): void {
    const { phase, blockBytes } = this.#ticked;
    const [nowMs, operations] = [this.#clock.nowMs(), this.#ticked.operations()];
    const iops = ((operations - this.#before) * MS_PER_SECOND) / (nowMs - this.#beforeMs);
    this.#beforeMs = nowMs;
    this.#before = operations;
    const done = Math.min(this.#ticked.progress(nowMs), 1);
    this.#tell({ phase, done, iops, bytesPerSecond: iops * blockBytes });
  }
}
