// Tests of the event queue: order against a sorted list, cancelling, time.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { EventQueue, FakeEvent } from "./event-queue.ts";

class Noting extends FakeEvent {
  readonly id: number;

  constructor(id: number) {
    super();
    this.id = id;
  }

  override fire(): void {}

  override describe(): string {
    return `${this.id}`;
  }
}

test("pop gives events by time, then by order of scheduling, whatever is cancelled", () => {
  for (let seed = 0; seed < 200; seed++) {
    const prng = new Prng(seed);
    const queue = new EventQueue();
    let expected: { id: number; timeMs: number }[] = [];
    const events: Noting[] = [];
    for (let id = 0; id < 60; id++) {
      const event = new Noting(id);
      const timeMs = prng.below(10);
      events.push(event);
      queue.scheduleAt(event, timeMs);
      expected.push({ id, timeMs });
      if (!prng.chance(0.3)) continue;
      const cancelled = prng.pick(events);
      queue.cancel(cancelled);
      expected = expected.filter((each) => each.id !== cancelled.id);
    }
    expected.sort((a, b) => a.timeMs - b.timeMs || a.id - b.id);
    const popped: { id: number; timeMs: number }[] = [];
    strictEqual(queue.count, expected.length);
    for (let event = queue.pop(); event !== null; event = queue.pop()) {
      strictEqual(queue.nowMs, event.timeMs);
      popped.push({ id: (event as Noting).id, timeMs: event.timeMs });
    }
    deepStrictEqual(popped, expected);
  }
});

test("an event is in the queue once, and a past moment is now", () => {
  const queue = new EventQueue();
  const event = new Noting(1);
  strictEqual(queue.nextMs, Number.POSITIVE_INFINITY);
  queue.schedule(event, 5);
  strictEqual(queue.nextMs, 5);
  throws(() => queue.schedule(event, 6), { code: "assertion-failed" });
  strictEqual(queue.pop(), event);
  queue.scheduleAt(event, 1);
  strictEqual(queue.nextMs, 5);
  queue.cancel(event);
  queue.cancel(event);
  strictEqual(queue.pop(), null);
  throws(() => queue.schedule(event, Number.NaN), { code: "assertion-failed" });
});
