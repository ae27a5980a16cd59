/**
 * EventQueue: virtual time. A binary heap of events by time, then by order of scheduling, so that
 * a run is the same whenever its seed is. Owned by a FakeWorld; one event is in it at most once.
 */

import { assert } from "../../util/assert.ts";

/** Something that happens at a moment. Long-lived objects that are scheduled again and again. */
export abstract class FakeEvent {
  /** When it fires, in virtual milliseconds. Set by the queue. */
  timeMs = 0;
  /** Order among events of one moment. Set by the queue. */
  sequence = 0;
  /** Place in the heap, -1 while not scheduled. Set by the queue. */
  heapIndex = -1;

  abstract fire(): void;

  /** One word or two for the trace. */
  abstract describe(): string;
}

export class EventQueue {
  /** The present. */
  nowMs = 0;
  readonly #heap: FakeEvent[] = [];
  #sequence = 0;

  get count(): number {
    return this.#heap.length;
  }

  /** When the next event fires; Infinity when there is none. */
  get nextMs(): number {
    return this.#heap[0]?.timeMs ?? Number.POSITIVE_INFINITY;
  }

  schedule(event: FakeEvent, delayMs: number): void {
    this.scheduleAt(event, this.nowMs + delayMs);
  }

  /** A moment in the past is the present. */
  scheduleAt(event: FakeEvent, timeMs: number): void {
    assert(event.heapIndex === -1, "an event is scheduled once at a time");
    assert(!Number.isNaN(timeMs), "an event has a time");
    event.timeMs = Math.max(timeMs, this.nowMs);
    event.sequence = this.#sequence++;
    this.#heap.push(event);
    this.#siftUp(event, this.#heap.length - 1);
  }

  /** Takes the event out; no-op when it is not scheduled. */
  cancel(event: FakeEvent): void {
    const index = event.heapIndex;
    if (index === -1) return;
    event.heapIndex = -1;
    const last = this.#heap.pop() as FakeEvent; // not empty: the event was in it
    if (last === event) return;
    this.#siftUp(last, index);
    this.#siftDown(last, last.heapIndex);
  }

  /** Takes the next event out and moves the present to it; null when there is none. */
  pop(): FakeEvent | null {
    const first = this.#heap[0];
    if (first === undefined) return null;
    const last = this.#heap.pop() as FakeEvent; // not empty: it has a first
    first.heapIndex = -1;
    this.nowMs = first.timeMs;
    if (last !== first) this.#siftDown(last, 0);
    return first;
  }

  #siftUp(event: FakeEvent, from: number): void {
    const heap = this.#heap;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as FakeEvent;
      if (!isBefore(event, parent)) break;
      heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    heap[index] = event;
    event.heapIndex = index;
  }

  #siftDown(event: FakeEvent, from: number): void {
    const heap = this.#heap;
    const count = heap.length;
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= count) break;
      let child = heap[childIndex] as FakeEvent;
      const right = heap[childIndex + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        childIndex++;
      }
      if (!isBefore(child, event)) break;
      heap[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    heap[index] = event;
    event.heapIndex = index;
  }
}

function isBefore(a: FakeEvent, b: FakeEvent): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence);
}
