/**
 * NativeTurn: when a reactor runs and when it sleeps.
 *
 *   asleep --eventfd or requestTurn--> turn: enter, reap, reactor's work, repeat
 *     nothing left --> look for a while (adaptive) --> signals on, one last look --> asleep
 *     (the handler's `aboutToSleep` is the very last: from there on other threads signal)
 *     ran for long, or the loop has work --> signals on, woken again by the eventfd --> yield
 *
 * While a turn runs the eventfd's signals are off, so that completions cost no extra work.
 */

import { eventfd, eventfdCalls, signalEventfd } from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import type { CompletionSink, OperationQueue } from "../sys/operation-queue.ts";
import { ReadablePoll } from "../sys/uv-poll.ts";
import { assert } from "../util/assert.ts";
import { AdaptivePolling } from "./adaptive-polling.ts";
import type { Clock } from "./clock.ts";
import { Errno } from "./errno.ts";
import type { TurnHandler } from "./io.ts";

/** A turn yields to the thread's event loop after this long, to let timers and messages in. */
const TURN_MS_MAX = 2;

/** The clock is read once per this many steps of a turn. */
const STEPS_PER_CLOCK_READ = 16;

/**
 * With this many reads and writes with the disk, a share of them may wait for each other, for so
 * long: the others keep the disk busy, and each costs half as much.
 */
const GATHER_DEPTH_MIN = 8;
const GATHER_SHARE = 1 / 2;
const GATHER_COUNT_MAX = 16;
const GATHER_MS = 0.1;
/** For how long it sleeps when nothing ends. */
const GATHER_TIMEOUT_MS = 0.5;

export interface NativeTurnOptions {
  /** Longest look for work before sleeping, in ms; 0 never looks. */
  readonly spinMsMax?: number;
  /**
   * The thread's event loop is somebody else's: never wait outside of it, and do not keep the
   * thread alive.
   */
  readonly sharesThread?: boolean;
}

/**
 * Eventfds of closed turns, of this thread, for use again. They are never closed: a late wake of
 * another thread must not write into a file or socket that got the same number.
 */
const retiredEventfds: number[] = [];

export interface TurnStats {
  turns: number;
  /** Sleeps in the event loop, and short ones inside the ring. */
  sleeps: number;
  blocks: number;
  /** Times it let requests gather before receiving them. */
  rests: number;
  /** Entries into the kernel, and completions they brought. */
  enters: number;
  completions: number;
  /** Milliseconds spent looking for work in vain. */
  idleSpinMs: number;
}

export class NativeTurn {
  readonly stats: TurnStats = {
    turns: 0,
    sleeps: 0,
    blocks: 0,
    rests: 0,
    enters: 0,
    completions: 0,
    idleSpinMs: 0,
  };
  handler: TurnHandler | null = null;
  /** Another thread may signal this eventfd, at any time, to wake the reactor. */
  readonly wakeFd: number;
  readonly #queue: OperationQueue;
  readonly #sink: CompletionSink;
  readonly #clock: Clock;
  readonly #polling: AdaptivePolling;
  readonly #poll: ReadablePoll;
  readonly #wake: { signal(): void; clear(): void };
  #inTurn = false;
  #requested = false;
  /** Callbacks for the thread's event loop, as soon as it gets a round. */
  #deferred: (() => void)[] = [];
  #deferScheduled = false;
  /** The turn was started by the event loop itself, which runs what is deferred right after it. */
  #inImmediate = false;
  readonly #sharesThread: boolean;
  #idleSinceMs = 0;
  /**
   * A busy disk was waited for: what comes next are requests of somebody whose last ones took far
   * longer than waking up, so looking for them does not pay.
   */
  #gathered = false;
  #closed = false;

  constructor(
    queue: OperationQueue,
    sink: CompletionSink,
    clock: Clock,
    options: NativeTurnOptions = {},
  ) {
    this.#queue = queue;
    this.#sink = sink;
    this.#clock = clock;
    this.#polling = new AdaptivePolling(options.spinMsMax);
    this.#sharesThread = options.sharesThread === true;
    this.wakeFd = retiredEventfds.pop() ?? eventfd();
    const pollFd = queue.registerEventfd(this.wakeFd);
    const scratch = mapShared(4096);
    new Int32Array(scratch.buffer)[0] = 1;
    this.#wake = eventfdCalls(this.wakeFd, scratch.address);
    this.#poll = new ReadablePoll(pollFd, () => this.#onSignal());
    if (this.#sharesThread) this.#poll.unref();
  }

  requestTurn(): void {
    if (!this.#inTurn) this.#schedule();
  }

  /** Has the event loop run `callback`; turns are short and do not wait until it has. */
  defer(callback: () => void): void {
    this.#deferred.push(callback);
    if (this.#deferScheduled || this.#inImmediate) return;
    this.#deferScheduled = true;
    setImmediate(() => {
      this.#deferScheduled = false;
      this.#runDeferred();
    });
  }

  /** Wakes the turn with that `wakeFd`, on any thread. */
  wakeOther(wakeFd: number): void {
    const result = signalEventfd(wakeFd);
    // -EAGAIN: its counter is full, so it is signalled anyway.
    assert(result === 0 || result === -Errno.EAGAIN, "the wake handle is an eventfd");
  }

  close(): void {
    this.#closed = true;
    this.#poll.close();
    retiredEventfds.push(this.wakeFd);
  }

  /** A turn in the event loop's next round. */
  #schedule(): void {
    if (this.#requested) return;
    this.#requested = true;
    setImmediate(() => {
      this.#requested = false;
      // This is no bare callback: microtasks follow, so promises can be settled right here.
      this.#inImmediate = true;
      if (!this.#closed) this.#run();
      this.#inImmediate = false;
      this.#runDeferred();
    });
  }

  #runDeferred(): void {
    const callbacks = this.#deferred;
    if (callbacks.length === 0) return;
    this.#deferred = [];
    let ran = 0;
    try {
      while (ran < callbacks.length) (callbacks[ran++] as () => void)();
    } finally {
      // After a throw (a bug of somebody's) the others still get their turn.
      for (const callback of callbacks.slice(ran)) this.defer(callback);
    }
  }

  #onSignal(): void {
    this.#wake.clear();
    if (!this.#closed) this.#run();
  }

  /** The catch-all that FFI rule 1 asks for: a throw out of a callback would abort. */
  #run(): void {
    if (this.#inTurn) return;
    this.#inTurn = true;
    try {
      this.#turn();
    } catch (error) {
      this.#closed = true;
      setImmediate(() => {
        throw error;
      });
    } finally {
      this.#inTurn = false;
    }
  }

  // hot path
  #turn(): void {
    const queue = this.#queue;
    this.stats.turns++;
    queue.setSignals(false);
    this.handler?.awake?.();
    const startMs = this.#clock.nowMs();
    if (this.#idleSinceMs > 0) this.#noteGap(startMs);
    for (let step = 1; ; step++) {
      const worked = this.#step();
      if (
        this.#deferred.length > 0 ||
        (step % STEPS_PER_CLOCK_READ === 0 && this.#isLong(startMs))
      ) {
        this.#yield();
        return;
      }
      if (worked || queue.pending > 0 || this.#rest()) continue;
      if (!this.#sharesThread && (this.#gather() || this.#look() || this.#block())) continue;
      this.stats.sleeps++;
      queue.setSignals(true);
      queue.enter();
      if (!queue.hasCompletions && this.handler?.aboutToSleep?.() !== true) return;
      queue.setSignals(false);
    }
  }

  /** One round: submit, run completions, run the reactor. True when anything happened. */
  #step(): boolean {
    const queue = this.#queue;
    if (queue.pending > 0 || queue.hasTaskWork) queue.enter();
    const reaped = queue.reap(this.#sink);
    this.stats.completions += reaped;
    const worked = this.handler?.runTurn() ?? false;
    return reaped > 0 || worked;
  }

  /** Lets more arrive before it is received, if somebody asked for that. */
  #rest(): boolean {
    const restMs = this.handler?.restMs?.() ?? 0;
    if (restMs === 0) return false;
    this.stats.rests++;
    this.#queue.rest(restMs);
    this.handler?.endRest?.();
    return true;
  }

  /** Where a disk works on many operations, lets several of them end. True when some did. */
  #gather(): boolean {
    const depth = this.handler?.fileDepth ?? 0;
    if (depth < GATHER_DEPTH_MIN || this.handler?.hasPollers === true) return false;
    const count = Math.min(depth * GATHER_SHARE, GATHER_COUNT_MAX);
    this.#queue.gather(Math.floor(count), GATHER_MS, GATHER_TIMEOUT_MS);
    this.stats.blocks++;
    this.#gathered = true;
    return this.#queue.hasCompletions;
  }

  /** Looks for completions for as long as it is likely to pay. True when there are some. */
  #look(): boolean {
    const startMs = this.#clock.nowMs();
    this.#idleSinceMs = startMs;
    this.#polling.noteBulk(this.handler?.takeBulkHint?.() === true);
    const windowMs = this.#gathered ? 0 : this.#polling.windowMs();
    this.#gathered = false;
    if (windowMs === 0) return false;
    const queue = this.#queue;
    for (;;) {
      if (queue.hasTaskWork) queue.enter();
      const nowMs = this.#clock.nowMs();
      if (queue.hasCompletions || this.handler?.hasWork?.() === true) {
        this.#noteGap(nowMs);
        return true;
      }
      if (nowMs - startMs >= windowMs) {
        this.stats.idleSpinMs += nowMs - startMs;
        return false;
      }
    }
  }

  /** Sleeps inside the ring for a moment, where that is likely to be enough. True: it was. */
  #block(): boolean {
    const blockMs = this.#polling.blockMs();
    // Other reactors, and helpers, ring by the eventfd, which the ring does not see.
    if (blockMs === 0 || this.handler?.hasPollers === true) return false;
    this.#queue.wait(blockMs);
    this.stats.blocks++;
    if (!this.#queue.hasCompletions) return false;
    this.#noteGap(this.#clock.nowMs());
    return true;
  }

  #noteGap(nowMs: number): void {
    this.#polling.noteGap(nowMs - this.#idleSinceMs);
    this.#idleSinceMs = 0;
  }

  #isLong(startMs: number): boolean {
    return this.#clock.nowMs() - startMs > TURN_MS_MAX;
  }

  /** Leaves the turn with work left: the loop's next round comes straight back. */
  #yield(): void {
    this.#queue.enter();
    this.#queue.setSignals(true);
    if (this.#inImmediate) this.#schedule();
    else this.#wake.signal();
  }
}
