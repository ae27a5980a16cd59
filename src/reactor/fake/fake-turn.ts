/**
 * FakeTurn: has the reactor of one fake process run its turns, a little later than asked for, so
 * that several completions may come before one turn. Scheduled at most once.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import type { TurnHandler } from "../io.ts";
import { ProcessEvent, type ProcessGate } from "./process-gate.ts";

/** From a request to the turn, milliseconds. */
const TURN_MS_MAX = 0.004;

export class FakeTurn extends ProcessEvent {
  readonly #prng: Prng;
  #handler: TurnHandler | null = null;
  /** In the queue, or held back by the paused process. */
  #isDue = false;

  constructor(gate: ProcessGate, prng: Prng) {
    super(gate);
    this.#prng = prng;
  }

  setHandler(handler: TurnHandler): void {
    assert(this.#handler === null, "an Io has one reactor");
    this.#handler = handler;
  }

  request(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.gate.queue.schedule(this, TURN_MS_MAX * this.#prng.float());
  }

  protected override run(): void {
    this.#isDue = false;
    // A turn that did something may have made more to do; the next one comes as its own event.
    if (this.#handler?.runTurn() === true) this.request();
  }

  override describe(): string {
    return `${this.gate.name} turn`;
  }
}
