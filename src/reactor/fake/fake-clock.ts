/**
 * FakeClock: one process's view of virtual time, with timers. Its offset lets processes disagree
 * about the time; timers run on the common time. In flight: timers, which a kill ends.
 */

import { assert } from "../../util/assert.ts";
import type { Clock, Timer } from "../clock.ts";
import { CallbackEvent, type ProcessGate } from "./process-gate.ts";

export class FakeClock implements Clock {
  /** Added to the common time. May only grow while the process runs: the clock is monotonic. */
  offsetMs = 0;
  readonly #gate: ProcessGate;

  constructor(gate: ProcessGate) {
    this.#gate = gate;
  }

  nowMs(): number {
    return this.#gate.queue.nowMs + this.offsetMs;
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    assert(delayMs >= 0 && Number.isFinite(delayMs), `timer of ${delayMs} ms`);
    const timer = new FakeTimer(this.#gate, callback);
    this.#gate.queue.schedule(timer, delayMs);
    return timer;
  }
}

class FakeTimer extends CallbackEvent implements Timer {
  cancel(): void {
    this.gate.queue.cancel(this);
    if (this.gate.isPaused) this.gate.forget(this);
  }

  override describe(): string {
    return `${this.gate.name} timer`;
  }
}
