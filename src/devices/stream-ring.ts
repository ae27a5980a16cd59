/**
 * StreamRing: requests that wait, in a queue per stream and lane, and the streams in a ring.
 *
 * The first stream of the ring has the turn until its balance (of time, see `limit.ts`) is used up
 * or it has to wait itself: a deficit round robin, where a large request may overdraw the balance
 * and pays for it in the turns that follow. A stream without requests leaves the ring, when it owes
 * nothing or nobody else waits. The lists go through `Request.next`: nothing is allocated per
 * request, and the bound is what the submitters have in flight.
 */

import type { Request } from "../block/request.ts";
import { assert } from "../util/assert.ts";

export class StreamQueue {
  stream = 0;
  /** What is left of its turn; 0 or less: its turn is over. */
  balanceMs = 0;
  /** The lane that is looked at first. */
  lane = 0;
  /** Requests in all lanes. */
  waiting = 0;
  /** In the ring, or in the list of free ones. */
  next: StreamQueue | null = null;
  readonly #heads: (Request | null)[];
  readonly #tails: (Request | null)[];

  constructor(laneCount: number) {
    this.#heads = new Array<Request | null>(laneCount).fill(null);
    this.#tails = new Array<Request | null>(laneCount).fill(null);
  }

  /** The one that has waited longest in this lane. */
  head(lane: number): Request | null {
    return this.#heads[lane] as Request | null;
  }

  push(request: Request, lane: number): void {
    const tail = this.#tails[lane] as Request | null;
    request.next = null;
    if (tail === null) this.#heads[lane] = request;
    else tail.next = request;
    this.#tails[lane] = request;
    this.waiting++;
  }

  shift(lane: number): Request {
    const request = this.head(lane);
    assert(request !== null, "only a request that waits is taken");
    this.#heads[lane] = request.next;
    if (request.next === null) this.#tails[lane] = null;
    request.next = null;
    this.waiting--;
    return request;
  }
}

export class StreamRing {
  /** Requests of all streams. */
  waiting = 0;
  /** Streams in the ring. */
  count = 0;
  readonly #laneCount: number;
  readonly #byStream = new Map<number, StreamQueue>();
  #first: StreamQueue | null = null;
  #last: StreamQueue | null = null;
  #free: StreamQueue | null = null;

  constructor(laneCount: number) {
    this.#laneCount = laneCount;
  }

  /** Whose turn it is. Only while something waits. */
  get first(): StreamQueue {
    assert(this.#first !== null, "somebody has the turn while something waits");
    return this.#first;
  }

  /** @param turnMs the balance of a stream that comes into the ring, as its last */
  add(request: Request, lane: number, turnMs: number): void {
    let queue = this.#byStream.get(request.stream);
    if (queue === undefined) {
      queue = this.#enter(request.stream);
      queue.balanceMs = turnMs;
    }
    queue.push(request, lane);
    this.waiting++;
  }

  /** The first stream's longest waiting request of this lane, which takes `costMs` of its turn. */
  take(lane: number, costMs: number): Request {
    const queue = this.first;
    const request = queue.shift(lane);
    queue.balanceMs -= costMs;
    if (--this.waiting === 0) this.#clear();
    else if (queue.waiting === 0 && queue.balanceMs > 0) this.#leave();
    return request;
  }

  /** Some request, longest waiting first within a lane of a stream; no turns are kept. */
  takeAny(): Request {
    while (this.first.waiting === 0) this.#leave();
    const queue = this.first;
    let lane = 0;
    while (queue.head(lane) === null) lane++;
    const request = queue.shift(lane);
    if (--this.waiting === 0) this.#clear();
    return request;
  }

  /** The first stream has had its turn; it gets the balance of its next one. */
  endTurn(turnMs: number): void {
    const queue = this.first;
    queue.balanceMs += turnMs;
    if (queue.waiting === 0 && queue.balanceMs > 0) this.#leave();
    else this.rotate();
  }

  /** The first becomes the last. */
  rotate(): void {
    const queue = this.first;
    if (queue === this.#last) return;
    this.#first = queue.next;
    queue.next = null;
    (this.#last as StreamQueue).next = queue; // a ring with a first has a last
    this.#last = queue;
  }

  #enter(stream: number): StreamQueue {
    const queue = this.#free ?? new StreamQueue(this.#laneCount);
    this.#free = queue.next;
    queue.next = null;
    queue.stream = stream;
    queue.lane = 0;
    this.#byStream.set(stream, queue);
    if (this.#last === null) this.#first = queue;
    else this.#last.next = queue;
    this.#last = queue;
    this.count++;
    return queue;
  }

  #leave(): void {
    const queue = this.first;
    assert(queue.waiting === 0, "a stream leaves when nothing of it waits");
    this.#first = queue.next;
    if (this.#first === null) this.#last = null;
    this.#byStream.delete(queue.stream);
    queue.next = this.#free;
    this.#free = queue;
    this.count--;
  }

  #clear(): void {
    while (this.#first !== null) this.#leave();
  }
}
