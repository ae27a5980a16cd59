// Tests of delay: the conformance suite, and who is held for how long, on virtual time.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import { Joint } from "../block/joint.ts";
import { Operation, OPERATION_NAMES } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { sleep, TimedRequest } from "../testing/timed-load.ts";
import { Prng } from "../util/prng.ts";
import { DelayFilter, type DelaySettings } from "./delay.ts";
import { DueHeap } from "./due-heap.ts";
import { MallocDevice } from "./malloc.ts";

const NO_DELAY: DelaySettings = { readMs: 0, writeMs: 0, flushMs: 0, statusMs: 0, jitterMs: 0 };
const SOME = { readMs: 5, writeMs: 10, flushMs: 20, statusMs: 1 };
/** More than a turn and less than any delay of these tests, in virtual time. */
const SLACK_MS = 0.1;

async function overMalloc(
  reactor: Reactor,
  settings: Partial<DelaySettings>,
  seed = 1,
): Promise<DelayFilter> {
  const instanceId = "11111111-2222-4333-8444-555555555555";
  const options = { name: "x", sizeBytes: 16 * 2 ** 20, instanceId };
  const joint = new Joint(await MallocDevice.open(reactor, options));
  return new DelayFilter(joint, "delay", { ...NO_DELAY, ...settings }, new Prng(seed));
}

function onFake(body: (reactor: Reactor) => Promise<void>): Promise<void> {
  return withReactor("fake", ({ reactor }) => body(reactor));
}

deviceConformance("delay of nothing", ({ reactor }) => overMalloc(reactor, {}));
deviceConformance("delay", ({ reactor }) => overMalloc(reactor, SOME), { levels: ["fake"] });
deviceConformance(
  "delay with jitter",
  ({ reactor, seed }) => overMalloc(reactor, { ...SOME, jitterMs: 6 }, seed),
  { levels: ["fake"] },
);

test("delay holds each operation for its own time, all at once", () =>
  onFake(async (reactor) => {
    const filter = await overMalloc(reactor, SOME);
    const expected = [5, 10, 20, 10, 10, 5, 10, 1];
    const requests = await Promise.all(
      Object.values(Operation).map((operation) =>
        new TimedRequest(reactor, { operation }).run(filter),
      ),
    );
    for (const { operation, status, endMs } of requests) {
      const name = OPERATION_NAMES[operation];
      strictEqual(status, Status.ok, `${name}`);
      const wanted = expected[operation] ?? -1;
      ok(endMs >= wanted && endMs < wanted + SLACK_MS, `${name} ended at ${endMs}`);
    }
    await filter.close();
  }));

test("delay lets those that are due at one moment go in the order in which they came", () =>
  onFake(async (reactor) => {
    const filter = await overMalloc(reactor, { readMs: 7, writeMs: 5 });
    const order: number[] = [];
    const run = async (index: number, operation: Operation): Promise<void> => {
      await new TimedRequest(reactor, { operation }).run(filter);
      order.push(index);
    };
    const runs: Promise<void>[] = [];
    for (let index = 0; index < 300; index++) {
      runs.push(run(index, index % 3 === 0 ? Operation.write : Operation.read));
    }
    deepStrictEqual(filter.describe().held, 300);
    await Promise.all(runs);
    const all = Array.from({ length: 300 }, (_, index) => index);
    const writes = all.filter((index) => index % 3 === 0);
    deepStrictEqual(order, [...writes, ...all.filter((index) => index % 3 !== 0)]);
    await filter.close();
  }));

test("delay's jitter spreads evenly around the delay, the same for the same seed", () =>
  onFake(async (reactor) => {
    const times = async (seed: number): Promise<number[]> => {
      const filter = await overMalloc(reactor, { readMs: 10, jitterMs: 4 }, seed);
      const startMs = reactor.clock.nowMs();
      const runs = Array.from({ length: 1000 }, () => new TimedRequest(reactor).run(filter));
      const ends = (await Promise.all(runs)).map(({ endMs }) => endMs - startMs);
      await filter.close();
      return ends;
    };
    const first = await times(1);
    ok(first.every((ms) => ms >= 6 && ms < 14 + SLACK_MS));
    for (let quarter = 0; quarter < 4; quarter++) {
      const within = first.filter((ms) => ms >= 6 + 2 * quarter && ms < 8 + 2 * quarter);
      ok(within.length > 180 && within.length < 320, `${within.length} of 1000`);
    }
    const isAsBefore = (ms: number, index: number): boolean =>
      Math.abs(ms - (first[index] ?? 0)) < SLACK_MS;
    ok((await times(1)).every(isAsBefore));
    ok(!(await times(2)).every(isAsBefore));
  }));

test("delay with more jitter than delay holds some and never goes wrong for the others", () =>
  onFake(async (reactor) => {
    const filter = await overMalloc(reactor, { jitterMs: 10 });
    const runs = Array.from({ length: 400 }, () => new TimedRequest(reactor).run(filter));
    const ends = (await Promise.all(runs)).map(({ endMs }) => endMs);
    const atOnce = ends.filter((ms) => ms < SLACK_MS).length;
    ok(atOnce > 140 && atOnce < 260, `${atOnce} of 400 at once`);
    ok(ends.every((ms) => ms < 10 + SLACK_MS));
    await filter.close();
  }));

test("delay lets a shorter one that comes later go first", () =>
  onFake(async (reactor) => {
    const filter = await overMalloc(reactor, { readMs: 100 });
    const long = new TimedRequest(reactor).run(filter);
    await sleep(reactor, 50);
    filter.change({ ...NO_DELAY, readMs: 10 });
    const short = await new TimedRequest(reactor).run(filter);
    ok(short.endMs >= 60 && short.endMs < 60 + SLACK_MS, `${short.endMs}`);
    // Those held keep their time.
    const { endMs } = await long;
    ok(endMs >= 100 && endMs < 100 + SLACK_MS, `${endMs}`);
    await filter.close();
  }));

test("delay lets all go when it is hurried, and holds later ones as before", () =>
  onFake(async (reactor) => {
    const filter = await overMalloc(reactor, { readMs: 1000 });
    const runs = Array.from({ length: 100 }, () => new TimedRequest(reactor).run(filter));
    await sleep(reactor, 1);
    filter.hurry();
    strictEqual(filter.describe().held, 0);
    for (const { endMs } of await Promise.all(runs)) ok(endMs < 1 + SLACK_MS, `${endMs}`);
    const later = await new TimedRequest(reactor).run(filter);
    ok(later.endMs >= 1001 && later.endMs < 1001 + 2 * SLACK_MS, `${later.endMs}`);
    const closing = new TimedRequest(reactor).run(filter);
    await filter.close();
    strictEqual((await closing).status, Status.ok);
    ok(reactor.clock.nowMs() < 1500);
  }));

test("DueHeap gives requests by their time and then their order, like a sorted list", () =>
  onFake(async (reactor) => {
    const prng = new Prng("heap");
    const heap = new DueHeap();
    const list: { readonly request: TimedRequest; readonly dueMs: number }[] = [];
    for (let step = 0; step < 5000; step++) {
      if (list.length === 0 || prng.chance(step < 2500 ? 0.6 : 0.4)) {
        const entry = {
          request: new TimedRequest(reactor, { operation: 2 }),
          dueMs: prng.below(50),
        };
        heap.push(entry.request, entry.dueMs);
        const at = list.findIndex(({ dueMs }) => dueMs > entry.dueMs);
        list.splice(at === -1 ? list.length : at, 0, entry);
      } else {
        strictEqual(heap.firstMs, list[0]?.dueMs);
        strictEqual(heap.pop(), list.shift()?.request);
      }
      strictEqual(heap.count, list.length);
    }
  }));
