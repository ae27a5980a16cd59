/**
 * Doorbell: how a reactor is told, by any thread, that there is something in one of its channels.
 *
 * One shared word per reactor, in a slab, so that all threads of the process see it:
 *
 *   awake --ring--> rung --answer--> awake       nothing is signalled: the reactor looks by itself
 *   awake --sleep--> asleep --ring--> rung       this one ringer signals the Io (an eventfd)
 *
 * No wake-up is lost. All accesses are sequentially consistent atomics, and whoever rings has
 * published its records before:
 * 1. `ring` finds `rung`: somebody's ring is unanswered, and `answer` comes before the channels are
 *    read: that reading finds the records of this ringer too.
 * 2. `ring` exchanges `awake` for `rung`: `sleep` expects `awake`, so it fails and the reactor
 *    stays.
 * 3. `ring` exchanges `asleep` for `rung`: the sleep came first, so this ringer, and only this one,
 *    signals. The signal is level-triggered, so it may come before the thread has really slept.
 *
 * An Io that never says when it sleeps (the portable and the fake one: all on one thread) counts as
 * asleep all the time: then each first ring asks for a turn.
 */

import { assert } from "../util/assert.ts";
import type { Io } from "./io.ts";
import { PAGE_BYTES, type Slab } from "./slab.ts";

const BellState = { asleep: 0, awake: 1, rung: 2 } as const;

const STATE_AT = 0;
/** Says that the word is what the address promises: reactors of different slab tables differ. */
const MAGIC_AT = 16;
const HANDLE_AT = 17;
const MAGIC = 0x0be11;

/** What a ringer needs; plain values, valid in every thread that shares the slabs. */
export interface DoorbellAddress {
  readonly slabId: number;
  readonly wakeHandle: number;
}

/** The owner's side: one per reactor, used by its thread only. */
export class Doorbell {
  readonly address: DoorbellAddress;
  readonly #io: Io;
  readonly #state: Int32Array;
  /** What the word says while nobody rings and the reactor does not sleep. */
  #idleState: number = BellState.asleep;

  constructor(io: Io) {
    this.#io = io;
    // Never released: a late ringer must not write into memory that is somebody else's.
    const slab = io.slabs.allocate(PAGE_BYTES);
    const wakeHandle = io.wakeHandle ?? nextLocalHandle++;
    this.#state = slab.words;
    slab.words[MAGIC_AT] = MAGIC;
    slab.words[HANDLE_AT] = wakeHandle;
    this.address = { slabId: slab.id, wakeHandle };
  }

  /** Lets ringers of this thread find an Io that cannot be woken by other threads. */
  setListening(listening: boolean): void {
    if (this.#io.wakeHandle !== undefined) return;
    if (listening) localIos.set(this.address.wakeHandle, this.#io);
    else localIos.delete(this.address.wakeHandle);
  }

  get isRung(): boolean {
    return Atomics.load(this.#state, STATE_AT) === BellState.rung;
  }

  /** True when it was rung since the last answer: the caller reads its channels now. Hot path. */
  answer(): boolean {
    if (Atomics.load(this.#state, STATE_AT) !== BellState.rung) return false;
    Atomics.store(this.#state, STATE_AT, this.#idleState); // before the reading: order 1
    return true;
  }

  /** The reactor is about to sleep. False: it was rung and must not. */
  sleep(): boolean {
    const before = Atomics.compareExchange(
      this.#state,
      STATE_AT,
      BellState.awake,
      BellState.asleep,
    );
    return before !== BellState.rung;
  }

  /** The reactor has woken, for whatever reason. */
  wake(): void {
    this.#idleState = BellState.awake;
    Atomics.compareExchange(this.#state, STATE_AT, BellState.asleep, BellState.awake);
  }
}

/** A ringer's side. */
export class BellPush {
  readonly #io: Io;
  readonly #state: Int32Array;
  readonly #wakeHandle: number;

  /** @param io the ringer's own Io */
  constructor(io: Io, address: DoorbellAddress) {
    const { words }: Slab = io.slabs.get(address.slabId);
    const isBell = words[MAGIC_AT] === MAGIC && words[HANDLE_AT] === address.wakeHandle;
    assert(isBell, "both reactors share their slabs");
    this.#io = io;
    this.#state = words;
    this.#wakeHandle = address.wakeHandle;
  }

  /** Tells the reactor that records have been published, or room was made. Hot path. */
  ring(): void {
    // The load alone spares the other thread's cache line while a ring is unanswered (order 1).
    if (Atomics.load(this.#state, STATE_AT) === BellState.rung) return;
    const before = Atomics.exchange(this.#state, STATE_AT, BellState.rung);
    if (before !== BellState.asleep) return;
    if (this.#io.wake !== undefined) this.#io.wake(this.#wakeHandle);
    else localIos.get(this.#wakeHandle)?.requestTurn();
  }
}

/** Ios of this thread that only this thread can wake, by handle. */
const localIos = new Map<number, Io>();
let nextLocalHandle = 1;
