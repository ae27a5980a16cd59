/**
 * RangeTable: the changes in flight on a device, by range; overlapping ones run one after the
 * other, in the order in which they came.
 *
 *   enter --no overlap--> running --leave--> (those that waited for it may start)
 *     +--overlaps a running or a waiting one--> waiting --> started by `start`
 *
 * Reads may take part by `enterRead`: they wait for the changes before them, but nothing waits for
 * a read that runs, so that they need not leave.
 *
 * Running entries lie in flat arrays that are searched as a whole: for the tens of changes that are
 * usually in flight that is cheaper than any tree. Bounded by the requests in flight.
 */

import { assert } from "../util/assert.ts";
import type { Request } from "./request.ts";

/** Small: a pool has thousands of tables that nothing runs in. */
const CAPACITY_INITIAL = 8;

export class RangeTable {
  #starts = new Float64Array(CAPACITY_INITIAL);
  #ends = new Float64Array(CAPACITY_INITIAL);
  readonly #running: Request[] = [];
  #waiting: Request[] = [];
  /** Of each that waits: it is a read. */
  #waitingReads: boolean[] = [];
  readonly #start: (request: Request) => void;

  /** @param start runs a request that had to wait; called from `leave` */
  constructor(start: (request: Request) => void) {
    this.#start = start;
  }

  /** Changes that wait for others. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** True: run it now. False: it waits, `start` gets it later. Hot path. */
  enter(request: Request): boolean {
    const { offset } = request;
    const end = offset + request.length;
    if (this.#overlapsRunning(offset, end) || this.#overlapsWaiting(offset, end, this.#waiting)) {
      this.#waiting.push(request);
      this.#waitingReads.push(false);
      return false;
    }
    this.#add(request, offset, end);
    return true;
  }

  /** True: read now. False: it waits, `start` gets it later. A read does not leave. Hot path. */
  enterRead(request: Request): boolean {
    const { offset } = request;
    const end = offset + request.length;
    if (!this.#overlapsRunning(offset, end) && !this.#overlapsWaiting(offset, end, this.#waiting)) {
      return true;
    }
    this.#waiting.push(request);
    this.#waitingReads.push(true);
    return false;
  }

  /** An entered request has ended. Hot path. */
  leave(request: Request): void {
    const index = this.#running.indexOf(request);
    assert(index >= 0, "only a running change leaves");
    const last = this.#running.length - 1;
    const moved = this.#running.pop() as Request; // there is one: index is valid
    if (index !== last) {
      this.#running[index] = moved;
      this.#starts[index] = this.#starts[last] as number;
      this.#ends[index] = this.#ends[last] as number;
    }
    if (this.#waiting.length > 0) this.#startWaiting();
  }

  /** Starts those that nothing in front of them overlaps any more. */
  #startWaiting(): void {
    const waiting = this.#waiting;
    const reads = this.#waitingReads;
    const still: Request[] = [];
    const stillReads: boolean[] = [];
    const started: Request[] = [];
    for (const [index, request] of waiting.entries()) {
      const { offset } = request;
      const end = offset + request.length;
      const isRead = reads[index] as boolean; // as long as `waiting`
      if (this.#overlapsRunning(offset, end) || this.#overlapsWaiting(offset, end, still)) {
        still.push(request);
        stillReads.push(isRead);
      } else {
        if (!isRead) this.#add(request, offset, end);
        started.push(request);
      }
    }
    // `start` may end in `enter` or `leave` again: the table is consistent before it is called.
    this.#waiting = still;
    this.#waitingReads = stillReads;
    for (const request of started) this.#start(request);
  }

  #add(request: Request, start: number, end: number): void {
    const index = this.#running.push(request) - 1;
    if (index === this.#starts.length) this.#grow();
    this.#starts[index] = start;
    this.#ends[index] = end;
  }

  // hot path
  #overlapsRunning(start: number, end: number): boolean {
    const starts = this.#starts;
    const ends = this.#ends;
    for (let index = this.#running.length - 1; index >= 0; index--) {
      if ((starts[index] as number) < end && start < (ends[index] as number)) return true;
    }
    return false;
  }

  #overlapsWaiting(start: number, end: number, waiting: readonly Request[]): boolean {
    for (const other of waiting) {
      if (other.offset < end && start < other.offset + other.length) return true;
    }
    return false;
  }

  #grow(): void {
    const starts = new Float64Array(this.#starts.length * 2);
    const ends = new Float64Array(this.#ends.length * 2);
    starts.set(this.#starts);
    ends.set(this.#ends);
    this.#starts = starts;
    this.#ends = ends;
  }
}
