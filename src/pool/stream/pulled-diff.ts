/**
 * PulledDiff: a walk of differences, taken by whoever wants them, when they want them.
 *
 *   walk --extent()--> at most QUEUED_MAX extents --next()--> taker
 *          waits when it is full      waits when it is empty
 *
 * Extents that touch and are alike become one. Owns its queue; the walk runs until it ends, fails
 * or is closed: then its next extent is refused, and so it ends.
 */

import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";

export interface DiffExtent {
  readonly first: number;
  readonly count: number;
  /** "zero": mapped in the first version only. */
  readonly kind: "data" | "zero";
}

/** As of `Pool.diff`. */
export interface ExtentSink {
  extent(first: number, count: number, kind: "data" | "zero"): void | Promise<void>;
}

const QUEUED_MAX = 256;

export class PulledDiff implements ExtentSink {
  #queue: DiffExtent[] = [];
  #room: PromiseWithResolvers<void> | null = null;
  #more: PromiseWithResolvers<void> | null = null;
  #hasEnded = false;
  #isClosed = false;
  #failure: unknown = null;
  readonly #walked: Promise<void>;

  /** @param walk rejects when an extent is refused */
  constructor(walk: (sink: ExtentSink) => Promise<void>) {
    this.#walked = this.#walk(walk);
  }

  // Of the walk.
  extent(first: number, count: number, kind: "data" | "zero"): void | Promise<void> {
    if (this.#isClosed) throw closed();
    const last = this.#queue.at(-1);
    if (last !== undefined && last.kind === kind && last.first + last.count === first) {
      this.#queue[this.#queue.length - 1] = { ...last, count: last.count + count };
    } else {
      this.#queue.push({ first, count, kind });
    }
    // The last one may become longer yet.
    if (this.#queue.length > 1) this.#wakeTaker();
    return this.#queue.length > QUEUED_MAX ? this.#waitForRoom() : undefined;
  }

  /**
   * Those that are there, at least one; empty: there are no more. One call at a time.
   * @throws what the walk ended with; PenstockError `aborted` when it was closed
   */
  async next(): Promise<readonly DiffExtent[]> {
    assert(this.#more === null, "one taker at a time");
    while (this.#queue.length < 2 && !this.#hasEnded && !this.#isClosed) {
      this.#more = Promise.withResolvers();
      await this.#more.promise;
      this.#more = null;
    }
    if (this.#isClosed) throw closed();
    if (this.#hasEnded && this.#failure !== null) throw this.#failure;
    const last = this.#hasEnded ? undefined : this.#queue.pop();
    const taken = this.#queue;
    this.#queue = last === undefined ? [] : [last];
    this.#room?.resolve();
    return taken;
  }

  /** Settles when the walk has ended. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#queue = [];
    this.#room?.resolve();
    this.#wakeTaker();
    await this.#walked;
  }

  async #walk(walk: (sink: ExtentSink) => Promise<void>): Promise<void> {
    try {
      await walk(this);
    } catch (thrown) {
      this.#failure = thrown;
    }
    this.#hasEnded = true;
    this.#wakeTaker();
  }

  async #waitForRoom(): Promise<void> {
    this.#room = Promise.withResolvers();
    await this.#room.promise;
    this.#room = null;
    if (this.#isClosed) throw closed();
  }

  #wakeTaker(): void {
    this.#more?.resolve();
  }
}

function closed(): PenstockError {
  const message = "the walk of differences was ended";
  return new PenstockError({ code: "aborted", message, retryable: true });
}
