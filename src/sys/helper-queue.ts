/**
 * HelperQueue: calls that may block, from one thread to its helper threads, and their answers.
 *
 * Memory shared by all of them: a ring of calls (one producer, any helper takes the next one), and
 * a ring of answers (any helper, one reader). At most CAPACITY calls are on their way, so neither
 * ring overflows. Counts run on and wrap at 32 bits; a place is a count modulo the capacity.
 *
 *   producer: writes a call, tail + 1, wakes one helper if any sleeps
 *   helper:   copies the call at head, head + 1 by compare-exchange, or takes none; wakes another
 *             helper when calls are left; runs it; answers: next place, result, then the sequence
 *   producer: reads answers whose sequence says that they are complete
 *
 * No wake-up is lost: a helper counts itself as sleeping and then waits only while the tail is what
 * it saw. The producer says before it sleeps that it wants a signal, and looks once more.
 */

import { Operation } from "./operation-queue.ts";

/** What a helper can be asked for: operations of an OperationQueue, and two more. */
export const HelperCall = {
  readv: Operation.readv,
  writev: Operation.writev,
  fsync: Operation.fsync,
  fallocate: Operation.fallocate,
  read: Operation.read,
  write: Operation.write,
  /** lseek; `operationFlags` is the whence. */
  seek: 200,
  /** The helper that takes it ends. */
  exit: 201,
} as const;
export type HelperCall = (typeof HelperCall)[keyof typeof HelperCall];

/** Calls on their way at once. */
export const HELPER_CALLS_MAX = 1024;
const MASK = HELPER_CALLS_MAX - 1;

/** Words of `state`, each in a cache line of its own. */
const Word = { tail: 0, head: 16, answered: 32, sleepers: 48, signals: 64, eventfd: 80 } as const;
const STATE_BYTES = 96 * 4;
const CALL_FIELDS = 7;

export interface HelperMemory {
  readonly state: SharedArrayBuffer;
  readonly calls: SharedArrayBuffer;
  readonly results: SharedArrayBuffer;
  readonly sequences: SharedArrayBuffer;
}

/** Arguments are those of `OperationQueue.prepare`, where they lie there. */
export interface Call {
  slot: number;
  call: number;
  fd: number;
  address: number;
  length: number;
  position: number;
  operationFlags: number;
}

function makeMemory(): HelperMemory {
  return {
    state: new SharedArrayBuffer(STATE_BYTES),
    calls: new SharedArrayBuffer(HELPER_CALLS_MAX * CALL_FIELDS * 8),
    results: new SharedArrayBuffer(HELPER_CALLS_MAX * 2 * 8),
    sequences: new SharedArrayBuffer(HELPER_CALLS_MAX * 4),
  };
}

export class HelperQueue {
  /** For the helpers. */
  readonly memory: HelperMemory;
  readonly #state: Int32Array;
  readonly #calls: Float64Array;
  /** By place: the slot, the result. */
  readonly #results: Float64Array;
  readonly #sequences: Int32Array;
  #read = 0;

  constructor(memory: HelperMemory = makeMemory()) {
    this.memory = memory;
    this.#state = new Int32Array(memory.state);
    this.#calls = new Float64Array(memory.calls);
    this.#results = new Float64Array(memory.results);
    this.#sequences = new Int32Array(memory.sequences);
  }

  // The producer's side.

  /** Which eventfd helpers signal. */
  set eventfd(fd: number) {
    Atomics.store(this.#state, Word.eventfd, fd);
  }

  /** Asks for a signal with the next answer, or no longer for one. Hot path. */
  setSignals(on: boolean): void {
    Atomics.store(this.#state, Word.signals, on ? 1 : 0);
  }

  /** The caller keeps to HELPER_CALLS_MAX calls without an answer read. Hot path. */
  push(
    slot: number,
    call: HelperCall,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
  ): void {
    const tail = Atomics.load(this.#state, Word.tail);
    const at = (tail & MASK) * CALL_FIELDS;
    const calls = this.#calls;
    calls[at] = slot;
    calls[at + 1] = call;
    calls[at + 2] = fd;
    calls[at + 3] = address;
    calls[at + 4] = length;
    calls[at + 5] = position;
    calls[at + 6] = operationFlags;
    Atomics.store(this.#state, Word.tail, (tail + 1) | 0);
    this.#wakeOne();
  }

  /** True when an answer can be read. Hot path. */
  get hasAnswer(): boolean {
    return Atomics.load(this.#sequences, this.#read & MASK) === ((this.#read + 1) | 0);
  }

  get answerSlot(): number {
    return this.#results[(this.#read & MASK) * 2] as number;
  }

  get answerResult(): number {
    return this.#results[(this.#read & MASK) * 2 + 1] as number;
  }

  nextAnswer(): void {
    this.#read = (this.#read + 1) | 0;
  }

  // The helpers' side.

  /** Takes the next call; false when there is none. */
  take(into: Call): boolean {
    for (;;) {
      const head = Atomics.load(this.#state, Word.head);
      const tail = Atomics.load(this.#state, Word.tail);
      if (head === tail) return false;
      this.#copy(head, into);
      const next = (head + 1) | 0;
      // Taken by somebody else meanwhile: what was copied may be anything.
      if (Atomics.compareExchange(this.#state, Word.head, head, next) !== head) continue;
      if (next !== tail) this.#wakeOne();
      return true;
    }
  }

  /** Sleeps until there may be a call. */
  waitForCall(): void {
    const head = Atomics.load(this.#state, Word.head);
    Atomics.add(this.#state, Word.sleepers, 1);
    Atomics.wait(this.#state, Word.tail, head);
    Atomics.sub(this.#state, Word.sleepers, 1);
  }

  /** @returns the eventfd to signal, or -1 when the producer is awake */
  answer(slot: number, result: number): number {
    const count = Atomics.add(this.#state, Word.answered, 1);
    const place = count & MASK;
    this.#results[place * 2] = slot;
    this.#results[place * 2 + 1] = result;
    Atomics.store(this.#sequences, place, (count + 1) | 0);
    if (Atomics.load(this.#state, Word.signals) === 0) return -1;
    const wanted = Atomics.exchange(this.#state, Word.signals, 0) === 1;
    return wanted ? Atomics.load(this.#state, Word.eventfd) : -1;
  }

  #copy(head: number, into: Call): void {
    const at = (head & MASK) * CALL_FIELDS;
    const calls = this.#calls;
    into.slot = calls[at] as number;
    into.call = calls[at + 1] as number;
    into.fd = calls[at + 2] as number;
    into.address = calls[at + 3] as number;
    into.length = calls[at + 4] as number;
    into.position = calls[at + 5] as number;
    into.operationFlags = calls[at + 6] as number;
  }

  #wakeOne(): void {
    if (Atomics.load(this.#state, Word.sleepers) > 0) Atomics.notify(this.#state, Word.tail, 1);
  }
}
