/**
 * TurnLoop: when a portable reactor runs.
 *
 *   asleep --finish, accept or requestTurn--> scheduled (setImmediate) --> turn --> asleep
 *     deliver what has finished, run the reactor; repeated while either had work, at most
 *     ROUNDS_MAX times, then scheduled again so that the event loop gets in between
 *
 * Every completion waits for the turn, also those known inside the call that starts the operation:
 * that gives one turn for all callbacks of a loop iteration and keeps `complete` out of the call.
 */

import { assert } from "../../util/assert.ts";
import type { IoOp, TurnHandler } from "../io.ts";
import { OpTable } from "../op-table.ts";

/** Rounds of one turn before Node's event loop gets in. */
const ROUNDS_MAX = 64;

export class TurnLoop {
  readonly ops: OpTable = new OpTable();
  handler: TurnHandler | null = null;
  turns = 0;
  completions = 0;
  /** Finished operations by slot, and their results; waiting for the turn. */
  #slots: number[] = [];
  #results: number[] = [];
  #deliveringSlots: number[] = [];
  #deliveringResults: number[] = [];
  /** Other work of the Io itself for the turn (accepted sockets). */
  #tasks: (() => void)[] = [];
  #scheduled: NodeJS.Immediate | null = null;
  #running = false;
  #closed = false;

  /** The operation in flight on `op` has ended with `result`. Hot path. */
  finish(op: IoOp, result: number): void {
    assert(op.inFlight, "an operation finishes once");
    this.#slots.push(op.slot);
    this.#results.push(result);
    this.completions++;
    this.request();
  }

  /** Runs `task` in the turn. */
  enqueue(task: () => void): void {
    this.#tasks.push(task);
    this.request();
  }

  /** Asks for a turn; a running one does another round by itself. Hot path. */
  request(): void {
    if (this.#running || this.#scheduled !== null || this.#closed) return;
    this.#scheduled = setImmediate(this.#run);
  }

  close(): void {
    this.#closed = true;
    if (this.#scheduled !== null) clearImmediate(this.#scheduled);
    this.#scheduled = null;
  }

  readonly #run = (): void => {
    this.#scheduled = null;
    this.#running = true;
    this.turns++;
    let more = true;
    try {
      for (let round = 0; more && round < ROUNDS_MAX; round++) more = this.#round();
    } finally {
      // Also after a throw (a bug of somebody's): what is queued is not lost.
      this.#running = false;
      if (more) this.request();
    }
  };

  #round(): boolean {
    this.#runTasks();
    this.#deliver();
    const worked = this.handler?.runTurn() ?? false;
    return worked || this.#slots.length > 0 || this.#tasks.length > 0;
  }

  // hot path
  #deliver(): void {
    const slots = this.#slots;
    const results = this.#results;
    this.#slots = this.#deliveringSlots;
    this.#results = this.#deliveringResults;
    this.#deliveringSlots = slots;
    this.#deliveringResults = results;
    let index = 0;
    try {
      while (index < slots.length) {
        const at = index++;
        this.ops.end(slots[at] as number, results[at] as number);
      }
    } finally {
      for (; index < slots.length; index++) {
        this.#slots.push(slots[index] as number);
        this.#results.push(results[index] as number);
      }
      slots.length = 0;
      results.length = 0;
    }
  }

  #runTasks(): void {
    if (this.#tasks.length === 0) return;
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
  }
}
