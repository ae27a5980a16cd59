/**
 * ProcessGate: whether a fake process runs. Events of a process pass it: while the process is
 * paused (SIGSTOP) they wait in order, when it has been killed they are nothing.
 *
 *   running <--pause()/resume()--> paused      running | paused --kill()--> dead
 */

import { type EventQueue, FakeEvent } from "./event-queue.ts";

export class ProcessGate {
  readonly name: string;
  readonly queue: EventQueue;
  /** Set where awaited promises may go on: the world then lets microtasks run. */
  readonly noteDelivery: () => void;
  isAlive = true;
  isPaused = false;
  #waiting: ProcessEvent[] = [];

  constructor(name: string, queue: EventQueue, noteDelivery: () => void) {
    this.name = name;
    this.queue = queue;
    this.noteDelivery = noteDelivery;
  }

  hold(event: ProcessEvent): void {
    this.#waiting.push(event);
  }

  /** Takes an event out of those that wait for the process to go on. */
  forget(event: ProcessEvent): void {
    this.#waiting = this.#waiting.filter((other) => other !== event);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.queue.schedule(event, 0);
  }

  kill(): void {
    this.isAlive = false;
    this.#waiting = [];
  }
}

/** An event inside a process. */
export abstract class ProcessEvent extends FakeEvent {
  readonly gate: ProcessGate;

  constructor(gate: ProcessGate) {
    super();
    this.gate = gate;
  }

  /** The event itself, in the running process. */
  protected abstract run(): void;

  override fire(): void {
    const gate = this.gate;
    if (!gate.isAlive) return;
    if (gate.isPaused) gate.hold(this);
    else this.run();
  }
}

/** Runs a callback once and lets microtasks run after it: how promises settle in virtual time. */
export class CallbackEvent extends ProcessEvent {
  readonly #callback: () => void;

  constructor(gate: ProcessGate, callback: () => void) {
    super(gate);
    this.#callback = callback;
  }

  protected override run(): void {
    this.gate.noteDelivery();
    this.#callback();
  }

  override describe(): string {
    return `${this.gate.name} callback`;
  }
}
