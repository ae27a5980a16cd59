/**
 * OutageClock: how long a device whose server is away keeps its requests.
 *
 *   none --begin()--> running --an answer: end()--> none
 *                        +--ride-out over--> not connected: giveUp()
 *                        |                   connected, nothing answered: a little longer, once,
 *                        |                   then disconnect(), begin() again, giveUp()
 *                        +--begin() with no ride-out: giveUp()
 *
 * Owned by a device's link.
 */

import type { Clock, Timer } from "../../reactor/clock.ts";

export interface OutageParts {
  readonly clock: Clock;
  /** How long an outage may last before requests fail; 0: they fail at once. */
  readonly rideOutMs: number;
  /** More time for the first answer, when the server comes back as the ride-out ends. */
  readonly answerMsMax: number;
}

export interface OutageOwner {
  /** Commands can be sent. */
  readonly isUp: boolean;
  /** Nothing is in flight, no memory is in use: requests can be ended at once. */
  readonly isGone: boolean;
  /** It answers nothing: `begin` is called when nothing is in flight any more. */
  disconnect(): void;
  /** Requests fail now. */
  giveUp(): void;
}

export class OutageClock {
  readonly #parts: OutageParts;
  readonly #owner: OutageOwner;
  /** An outage has begun that no answer has ended yet. */
  #isRunning = false;
  #timer: Timer | null = null;
  /** The ride-out is over: the next loss is the last. */
  #isOverdue = false;

  constructor(parts: OutageParts, owner: OutageOwner) {
    this.#parts = parts;
    this.#owner = owner;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Nothing can be sent any more. Called again when nothing is in flight any more, if it was. */
  begin(): void {
    const { rideOutMs } = this.#parts;
    if (rideOutMs === 0 || this.#isOverdue) {
      if (this.#owner.isGone) this.#giveUp();
      else this.#owner.disconnect();
      return;
    }
    this.#isRunning = true;
    this.#timer ??= this.#start(rideOutMs);
  }

  /** There was an answer, or nothing waits for one. */
  end(): void {
    this.#isRunning = false;
    this.#isOverdue = false;
    this.cancel();
  }

  /** The timer runs no more. */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #start(delayMs: number): Timer {
    return this.#parts.clock.startTimer(delayMs, () => {
      this.#timer = null;
      if (!this.#isRunning) return;
      if (this.#owner.isUp && !this.#isOverdue) {
        // It is back, but has not answered anything yet: once, it gets the time for that.
        this.#isOverdue = true;
        this.#timer = this.#start(this.#parts.answerMsMax);
      } else if (this.#owner.isGone) {
        this.#giveUp();
      } else {
        this.#isOverdue = true;
        this.#owner.disconnect();
      }
    });
  }

  #giveUp(): void {
    this.end();
    this.#owner.giveUp();
  }
}
