/**
 * DelayFilter: `delay?read=5ms&write=10ms&jitter=2ms`: each request is held for its time, then
 * goes down: whatever the device below takes comes on top.
 *
 * Held before and not after: what has not been answered has not happened either, a read sees what
 * is there when it is answered, and lent memory is not kept longer. With jitter, requests overtake
 * each other, as on a real device.
 * State: the requests held (a heap, bounded by what their submitters have in flight). One timer.
 */

import type { DeviceDetails } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import type { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import type { Timer } from "../reactor/clock.ts";
import type { Prng } from "../util/prng.ts";
import { DueHeap } from "./due-heap.ts";

/** Milliseconds, 0 or more. */
export interface DelaySettings {
  /** Reads and compares. */
  readonly readMs: number;
  /** Writes, discards, write-zeroes, compare-and-writes. */
  readonly writeMs: number;
  readonly flushMs: number;
  /** Block status. */
  readonly statusMs: number;
  /** Each delay is up to so much longer or shorter, evenly spread; never less than nothing. */
  readonly jitterMs: number;
}

/** A timer may fire while the clock, by rounding, stands a little before it. */
const ROUNDING_MS = 1e-3;

export class DelayFilter extends Filter {
  #settings: DelaySettings;
  /** By operation. */
  #delaysMs: Float64Array;
  readonly #prng: Prng;
  readonly #heap = new DueHeap();
  #timer: Timer | null = null;
  #timerAtMs = 0;
  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#letDueGo(this.reactor.clock.nowMs() + ROUNDING_MS);
    this.#setTimer();
  };

  constructor(below: Joint, name: string, settings: DelaySettings, prng: Prng) {
    super(below, filterInfo(below, "delay", name), passAll(below));
    this.#settings = settings;
    this.#delaysMs = delaysByOperation(settings);
    this.#prng = prng;
  }

  /** Other delays for those that come; those held keep theirs. */
  change(settings: DelaySettings): void {
    this.#settings = settings;
    this.#delaysMs = delaysByOperation(settings);
  }

  override hurry(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#letDueGo(Number.POSITIVE_INFINITY);
  }

  override describe(): DeviceDetails {
    return { ...this.#settings, held: this.#heap.count };
  }

  // hot path
  protected override start(request: Request): void {
    let delayMs = this.#delaysMs[request.operation] as number;
    const { jitterMs } = this.#settings;
    if (jitterMs > 0) delayMs += (2 * this.#prng.float() - 1) * jitterMs;
    if (delayMs <= 0) {
      this.pass(request);
      return;
    }
    this.#heap.push(request, this.reactor.clock.nowMs() + delayMs);
    this.#setTimer();
  }

  #letDueGo(untilMs: number): void {
    while (this.#heap.count > 0 && this.#heap.firstMs <= untilMs) this.pass(this.#heap.pop());
  }

  /** For the first one, unless it is set for it or sooner. Hot path. */
  #setTimer(): void {
    const atMs = this.#heap.firstMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== null) {
      if (this.#timerAtMs <= atMs) return;
      this.#timer.cancel();
    }
    const { clock } = this.reactor;
    this.#timerAtMs = atMs;
    this.#timer = clock.startTimer(Math.max(atMs - clock.nowMs(), 0), this.#onTimer);
  }
}

function delaysByOperation(settings: DelaySettings): Float64Array {
  const { readMs, writeMs, flushMs, statusMs } = settings;
  const delays = new Float64Array(Object.keys(Operation).length);
  for (const operation of [Operation.read, Operation.compare]) delays[operation] = readMs;
  for (const operation of CHANGES) delays[operation] = writeMs;
  delays[Operation.flush] = flushMs;
  delays[Operation.blockStatus] = statusMs;
  return delays;
}

const CHANGES: readonly Operation[] = [
  Operation.write,
  Operation.discard,
  Operation.writeZeroes,
  Operation.compareAndWrite,
];
