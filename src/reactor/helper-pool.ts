/**
 * HelperPool: the threads that make one Io's blocking calls. They start when they are needed, and
 * sleep when they are not.
 *
 * Owns the queue to them; calls beyond its capacity wait here, bounded by the Io's operations.
 */

import { Worker } from "node:worker_threads";
import {
  type Call,
  HELPER_CALLS_MAX,
  HelperCall,
  type HelperMemory,
  HelperQueue,
} from "../sys/helper-queue.ts";
import { COMPLETION_SOCKET_NONEMPTY, type CompletionSink } from "../sys/operation-queue.ts";
import { moduleBeside } from "../util/module-url.ts";
import { Errno } from "./errno.ts";

/** A helper keeps nothing; what it drops is swept up early, instead of growing for 16 MiB first. */
const HELPER_LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 } as const;

export class HelperPool {
  readonly #queue = new HelperQueue();
  readonly #threadsMax: number;
  readonly #requestTurn: () => void;
  readonly #makeThread: typeof makeHelper;
  readonly #threads = new Set<Worker>();
  /** In the queue without an answer read. */
  #underWay = 0;
  /** Calls that found the queue full, oldest first, from `#waitingFirst` on. */
  #waiting: Call[] = [];
  #waitingFirst = 0;

  /**
   * @param requestTurn for answers that no helper signals
   * @param makeThread default: helpers that run `blocking-worker`
   */
  constructor(threadsMax: number, requestTurn: () => void, makeThread = makeHelper) {
    this.#requestTurn = requestTurn;
    this.#makeThread = makeThread;
    this.#threadsMax = threadsMax;
  }

  /** Helpers signal it when there is an answer, and signals are on. */
  set eventfd(fd: number) {
    this.#queue.eventfd = fd;
  }

  setSignals(on: boolean): void {
    if (this.#underWay > 0) this.#queue.setSignals(on);
  }

  /** True when a call has no answer read yet. Hot path. */
  get isBusy(): boolean {
    return this.#underWay > 0;
  }

  /** True when an answer waits to be reaped. Hot path. */
  get hasAnswers(): boolean {
    return this.#underWay > 0 && this.#queue.hasAnswer;
  }

  /** Has a helper make a call; its arguments are those of `OperationQueue.prepare`. Hot path. */
  call(
    slot: number,
    call: HelperCall,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
  ): void {
    if (this.#underWay === HELPER_CALLS_MAX) {
      this.#waiting.push({ slot, call, fd, address, length, position, operationFlags });
      return;
    }
    this.#push(slot, call, fd, address, length, position, operationFlags);
  }

  /** Starts a thread if there is none, before it is needed. */
  startOne(): void {
    if (this.#threads.size === 0) this.#startThread();
  }

  /** Delivers the answers that are there. @returns how many. Hot path. */
  reap(sink: CompletionSink): number {
    let count = 0;
    const queue = this.#queue;
    // What completions start may be answered at once: it has its turn later.
    for (let left = this.#underWay; left > 0 && queue.hasAnswer; left--) {
      const { answerSlot, answerResult } = queue;
      queue.nextAnswer();
      this.#underWay--;
      count++;
      if (this.#waitingFirst < this.#waiting.length) this.#callWaiting();
      sink.operationCompleted(answerSlot, answerResult, COMPLETION_SOCKET_NONEMPTY);
    }
    return count;
  }

  /** Ends the threads; nothing is under way. Idempotent. */
  async close(): Promise<void> {
    const threads = [...this.#threads];
    this.#threads.clear();
    const ended = threads.map((thread) => {
      thread.ref();
      return new Promise((resolve) => thread.once("exit", resolve));
    });
    for (const _ of threads) this.#queue.push(0, HelperCall.exit, -1, 0, 0, 0, 0);
    await Promise.all(ended);
  }

  #callWaiting(): void {
    const call = this.#waiting[this.#waitingFirst++] as Call;
    if (this.#waitingFirst === this.#waiting.length) {
      this.#waiting = [];
      this.#waitingFirst = 0;
    }
    const { slot, fd, address, length, position, operationFlags } = call;
    this.#push(slot, call.call as HelperCall, fd, address, length, position, operationFlags);
  }

  /** Into the queue, and sees to it that a helper is there to take it. Hot path. */
  #push(
    slot: number,
    call: HelperCall,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
  ): void {
    this.#underWay++;
    this.#queue.push(slot, call, fd, address, length, position, operationFlags);
    if (this.#threads.size < Math.min(this.#underWay, this.#threadsMax)) this.#startThread();
  }

  #startThread(): void {
    const thread = this.#makeThread(this.#queue.memory);
    // Whoever uses the Io keeps the thread's event loop alive.
    thread.unref();
    this.#threads.add(thread);
    thread.on("error", () => this.#threadFailed(thread));
  }

  /** It could not start, or so it seems: a helper answers every call that it has taken. */
  #threadFailed(thread: Worker): void {
    this.#threads.delete(thread);
    if (this.#threads.size > 0) return;
    const call: Call = {
      slot: 0,
      call: 0,
      fd: 0,
      address: 0,
      length: 0,
      position: 0,
      operationFlags: 0,
    };
    while (this.#queue.take(call)) this.#queue.answer(call.slot, -Errno.EIO);
    this.#requestTurn();
  }
}

/** A thread that makes the calls it finds in `memory`. */
export function makeHelper(memory: HelperMemory): Worker {
  return new Worker(moduleBeside(import.meta.url, "../sys/blocking-worker"), {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    workerData: memory,
    resourceLimits: HELPER_LIMITS,
  });
}
