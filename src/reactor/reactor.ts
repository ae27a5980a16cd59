/**
 * Reactor: one thread's data plane: an Io, its buffers, and the work of each turn.
 *
 * The Io calls `runTurn` after it has delivered I/O completions. A turn reads the channels from
 * other reactors when the doorbell was rung, drains the completion ring, wakes those who wait for
 * buffers, then flushes what became dirty (one send for many replies), and says whether it did
 * anything. Promises are settled outside of the turn, by one `Io.defer` per turn, because no
 * microtask runs after a ring callback.
 */

import { BufferPool } from "./buffer-pool.ts";
import { CompletionRing } from "./completion-ring.ts";
import type { Clock } from "./clock.ts";
import { Doorbell } from "./doorbell.ts";
import type { Io, TurnHandler } from "./io.ts";
import { REACTOR_COUNT_MAX } from "./reactor-count.ts";

/** Something that gathers output during a turn and sends it once at its end. */
export interface Flushable {
  /** True while it is in the reactor's list; owned by the reactor. */
  isDirty: boolean;
  /** Runs in the turn. Must not throw. */
  flush(): void;
}

/** The reading end of channels from other reactors. */
export interface Poller {
  /** Runs in a turn after the reactor's doorbell was rung. True when it did anything. */
  poll(): boolean;
}

/** Something that puts off its next receive, so that more is there to receive at once. */
export interface Rester {
  /** Runs in the turn, after the rest. Must not throw. */
  restEnded(): void;
}

export interface ReactorOptions {
  /** Small number, unique in the process. */
  readonly id: number;
  readonly io: Io;
  /** Memory for buffers, bytes; default 64 MiB. */
  readonly bufferLimitBytes?: number;
}

export const BUFFER_LIMIT_BYTES_DEFAULT = 64 * 1024 * 1024;

/** Stream numbers, unique by the reactor's, stay positive in 32 bits. */
const STREAMS_MAX = 2 ** 31 / REACTOR_COUNT_MAX;

/** Completions delivered per step of a turn, so that flushes come in between. */
const COMPLETIONS_PER_STEP = 1024;

export class Reactor implements TurnHandler {
  readonly id: number;
  readonly io: Io;
  readonly clock: Clock;
  readonly buffers: BufferPool;
  readonly completions: CompletionRing;
  /** Made with the first use from another reactor. */
  #doorbell: Doorbell | null = null;
  #pollers: Poller[] = [];
  #bulk = false;
  #resters: Rester[] = [];
  #restersBefore: Rester[] = [];
  #restMs = 0;
  #dirty: Flushable[] = [];
  #flushing: Flushable[] = [];
  #deliveries: (() => void)[] = [];
  #deliveryScheduled = false;
  #streams = 0;

  constructor(options: ReactorOptions) {
    this.id = options.id;
    this.io = options.io;
    this.clock = options.io.clock;
    this.buffers = new BufferPool(options.io.slabs, {
      limitBytes: options.bufferLimitBytes ?? BUFFER_LIMIT_BYTES_DEFAULT,
    });
    this.completions = new CompletionRing(() => this.io.requestTurn());
    this.io.setTurnHandler(this);
  }

  /** A number for one submitter's requests (`Request.stream`), used by no other in the process. */
  newStream(): number {
    this.#streams = (this.#streams % (STREAMS_MAX - 1)) + 1;
    return this.#streams * REACTOR_COUNT_MAX + this.id;
  }

  /** Has `item.flush()` run at the end of this turn (or of the next one). Hot path. */
  markDirty(item: Flushable): void {
    if (item.isDirty) return;
    item.isDirty = true;
    if (this.#dirty.push(item) === 1) this.io.requestTurn();
  }

  /** Where other reactors ring when they have put something into a channel of a poller. */
  get doorbell(): Doorbell {
    this.#doorbell ??= new Doorbell(this.io);
    return this.#doorbell;
  }

  /**
   * Has `item.restEnded()` run `restMs` from when the reactor runs out of work, or a little later
   * or earlier. Only where `Io.canRest`. Hot path.
   */
  rest(item: Rester, restMs: number): void {
    this.#resters.push(item);
    this.#restMs = Math.max(this.#restMs, restMs);
  }

  restMs(): number {
    return this.#restMs;
  }

  endRest(): void {
    this.#restMs = 0;
    const resters = this.#resters;
    if (resters.length === 0) return;
    this.#resters = this.#restersBefore;
    this.#restersBefore = resters;
    for (let index = 0; index < resters.length; index++) (resters[index] as Rester).restEnded();
    resters.length = 0;
  }

  /** Says that a receive just started brings data, not requests: no hurry. Hot path. */
  noteBulk(): void {
    this.#bulk = true;
  }

  takeBulkHint(): boolean {
    const bulk = this.#bulk;
    this.#bulk = false;
    return bulk;
  }

  get hasPollers(): boolean {
    return this.#pollers.length > 0;
  }

  /** From now on `poller.poll()` runs after each ring of the doorbell. */
  addPoller(poller: Poller): void {
    // A new array each time: a poller may come or go while all are polled.
    this.#pollers = [...this.#pollers, poller];
    this.doorbell.setListening(true);
  }

  removePoller(poller: Poller): void {
    this.#pollers = this.#pollers.filter((other) => other !== poller);
    if (this.#pollers.length === 0) this.doorbell.setListening(false);
  }

  /** Runs `callback` outside of the turn, in order: the way to settle promises. */
  deliverLater(callback: () => void): void {
    this.#deliveries.push(callback);
    if (this.#deliveryScheduled) return;
    this.#deliveryScheduled = true;
    this.io.defer(() => this.#deliver());
  }

  runTurn(): boolean {
    let worked = this.#doorbell?.answer() === true && this.#poll();
    if (this.completions.drain(COMPLETIONS_PER_STEP) > 0) worked = true;
    if (this.buffers.wakeWaiters()) worked = true;
    const dirty = this.#dirty;
    if (dirty.length === 0) return worked;
    this.#dirty = this.#flushing;
    this.#flushing = dirty;
    for (let index = 0; index < dirty.length; index++) {
      const item = dirty[index] as Flushable;
      item.isDirty = false;
      item.flush();
    }
    dirty.length = 0;
    return true;
  }

  awake(): void {
    this.#doorbell?.wake();
  }

  hasWork(): boolean {
    return this.#doorbell?.isRung === true;
  }

  aboutToSleep(): boolean {
    return this.#doorbell?.sleep() === false;
  }

  #poll(): boolean {
    let worked = false;
    for (const poller of this.#pollers) {
      if (poller.poll()) worked = true;
    }
    return worked;
  }

  #deliver(): void {
    const deliveries = this.#deliveries;
    this.#deliveries = [];
    this.#deliveryScheduled = false;
    for (const callback of deliveries) callback();
  }
}
