// Tests of limit: the conformance suite, rates over simulated minutes, fairness, order.
//
// fast-check prints the seed of a failure; PENSTOCK_SEED=N runs with it again.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { deviceConformance } from "../block/conformance.ts";
import { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { sleep, TimedLoad, TimedRequest } from "../testing/timed-load.ts";
import { LimitFilter, type LimitSettings } from "./limit.ts";
import { MallocDevice } from "./malloc.ts";
import { NullDevice } from "./null.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const MINUTE_MS = 60_000;
const BURST_MS = 1000;

type Limits = Partial<LimitSettings>;

async function overMalloc(reactor: Reactor, limits: Limits): Promise<LimitFilter> {
  const instanceId = "11111111-2222-4333-8444-555555555555";
  const malloc = await MallocDevice.open(reactor, { name: "x", sizeBytes: 16 * MIB, instanceId });
  return new LimitFilter(new Joint(malloc), "limit", { burstMs: BURST_MS, ...limits });
}

/** Over a device that takes no time: a request ends when it is let go. */
async function overNull(reactor: Reactor, limits: Limits): Promise<LimitFilter> {
  const nothing = await NullDevice.open(reactor, { name: "x", sizeBytes: 1024 * MIB });
  return new LimitFilter(new Joint(nothing), "limit", { burstMs: BURST_MS, ...limits });
}

function onFake(body: (reactor: Reactor) => Promise<void>): Promise<void> {
  return withReactor("fake", ({ reactor }) => body(reactor));
}

deviceConformance("limit without limits", ({ reactor }) => overMalloc(reactor, {}));
deviceConformance("limit that is never reached", ({ reactor }) =>
  overMalloc(reactor, { iops: 1e9, bandwidth: 2 ** 40 }),
);
deviceConformance(
  "limit that is reached",
  ({ reactor }) =>
    overMalloc(reactor, {
      iops: 20_000,
      writeIops: 15_000,
      bandwidth: 300 * MIB,
      readBandwidth: 200 * MIB,
      burstMs: 10,
    }),
  { levels: ["fake"] },
);

interface RateCase {
  readonly limits: Limits;
  readonly operation: Operation;
  readonly length: number;
  /** Requests per second that should come through. */
  readonly perSecond: number;
}

const RATES: readonly RateCase[] = [
  { limits: { iops: 500 }, operation: Operation.read, length: 4096, perSecond: 500 },
  { limits: { iops: 500 }, operation: Operation.blockStatus, length: 4096, perSecond: 500 },
  { limits: { iops: 7, burstMs: 10 }, operation: Operation.write, length: 4096, perSecond: 7 },
  { limits: { readIops: 100 }, operation: Operation.read, length: 4096, perSecond: 100 },
  { limits: { writeIops: 100 }, operation: Operation.discard, length: MIB, perSecond: 100 },
  { limits: { writeIops: 100 }, operation: Operation.flush, length: 0, perSecond: 100 },
  { limits: { bandwidth: 50 * MIB }, operation: Operation.write, length: MIB, perSecond: 50 },
  { limits: { bandwidth: MIB }, operation: Operation.read, length: 64 * KIB, perSecond: 16 },
  { limits: { readBandwidth: MIB }, operation: Operation.read, length: 512, perSecond: 2048 },
  { limits: { writeBandwidth: MIB }, operation: Operation.write, length: 4096, perSecond: 256 },
  // The tighter one of two.
  { limits: { iops: 300, readIops: 40 }, operation: Operation.read, length: 512, perSecond: 40 },
  { limits: { iops: 300, bandwidth: MIB }, operation: Operation.read, length: MIB, perSecond: 1 },
];

for (const { limits, operation, length, perSecond } of RATES) {
  const title = `${JSON.stringify(limits)}, operation ${operation} of ${length}`;
  test(`limit holds its rate within one burst over a minute: ${title}`, () =>
    onFake(async (reactor) => {
      const filter = await overNull(reactor, limits);
      const load = new TimedLoad(filter, 64, { operation, length });
      await sleep(reactor, MINUTE_MS);
      const burst = Math.max((perSecond * (limits.burstMs ?? BURST_MS)) / 1000, 1);
      const expected = (perSecond * MINUTE_MS) / 1000 + burst;
      ok(Math.abs(load.ended - expected) <= 1, `${load.ended} requests, expected ${expected}`);
      const over = load.stop();
      await filter.close();
      await over;
    }));
}

test("limit does not hold back what its limits are not for", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { writeIops: 1, writeBandwidth: 512 });
    const writes = new TimedLoad(filter, 64, { operation: Operation.write });
    const count = 10_000;
    for (let index = 0; index < count; index++) {
      const operation = index % 2 === 0 ? Operation.read : Operation.blockStatus;
      await new TimedRequest(reactor, { operation }).run(filter);
    }
    const tookMs = reactor.clock.nowMs();
    ok(tookMs < 1000, `${count} requests took ${tookMs} ms`);
    ok(writes.ended <= 1, `${writes.ended} writes`);
    const over = writes.stop();
    filter.hurry();
    await over;
    await filter.close();
  }));

test("limit lets a request larger than a second's bandwidth go, and makes the next one wait", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { bandwidth: 100 * KIB, burstMs: 100 });
    const ends = await Promise.all(
      [0, 1, 2].map(() => new TimedRequest(reactor, { length: MIB }).run(filter)),
    );
    // The bucket is full again when what was overdrawn has come.
    deepStrictEqual(
      ends.map(({ endMs }) => Math.round(endMs)),
      [0, 10_240, 20_480],
    );
    await filter.close();
  }));

for (const limits of [
  { bandwidth: 10 * MIB, burstMs: 10 },
  // The limit of another lane, which is open all the time, makes no difference.
  { bandwidth: 10 * MIB, readIops: 1e6, writeIops: 1e6, burstMs: 10 },
  { readBandwidth: 10 * MIB, writeBandwidth: 1000 * MIB, burstMs: 10 },
]) {
  test(`limit gives streams equal shares of any depth and size: ${JSON.stringify(limits)}`, () =>
    onFake((reactor) => sharesAreEqual(reactor, limits)));
}

async function sharesAreEqual(reactor: Reactor, limits: Limits): Promise<void> {
  const filter = await overNull(reactor, limits);
  const loads = [
    new TimedLoad(filter, 128, { stream: 1, length: 4096 }),
    new TimedLoad(filter, 1, { stream: 2, length: 4096 }),
    new TimedLoad(filter, 8, { stream: 3, length: MIB }),
    new TimedLoad(filter, 1, { stream: 4, length: MIB }),
    new TimedLoad(filter, 16, { stream: 5, length: 64 * KIB }),
  ];
  const lengths = [4096, 4096, MIB, MIB, 64 * KIB];
  await sleep(reactor, MINUTE_MS);
  const shares = loads.map(({ ended }, index) => (ended * (lengths[index] ?? 0)) / MIB);
  const fair = shares.reduce((sum, share) => sum + share, 0) / loads.length;
  strictEqual(Math.round(fair), 120);
  for (const share of shares) ok(Math.abs(share - fair) <= 1, `shares in MiB: ${shares}`);
  const over = loads.map((load) => load.stop());
  await filter.close();
  await Promise.all(over);
}

test("limit lets no small request pass a large one that waits, of any stream", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { bandwidth: MIB, burstMs: 1000 });
    const ends: string[] = [];
    const run = async (name: string, length: number, stream: number): Promise<void> => {
      await new TimedRequest(reactor, { length, stream }).run(filter);
      ends.push(name);
    };
    const runs = [run("first", MIB, 1), run("large", MIB, 1)];
    await sleep(reactor, 500);
    runs.push(run("small", 512, 1), run("small of another", 512, 2));
    await Promise.all(runs);
    strictEqual(ends[1], "large");
    deepStrictEqual(ends.slice(2).toSorted(), ["small", "small of another"]);
    await filter.close();
  }));

test("limit counts operations fairly too: two streams of depth 128 and 1 get the same", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { iops: 1000, burstMs: 10 });
    const loads = [
      new TimedLoad(filter, 128, { stream: 1 }),
      new TimedLoad(filter, 1, { stream: 2, operation: Operation.write }),
    ];
    await sleep(reactor, MINUTE_MS);
    const [deep = 0, single = 0] = loads.map(({ ended }) => ended);
    // The burst went to the first to come.
    ok(Math.abs(deep - single) <= 12, `${deep} and ${single}`);
    const over = loads.map((load) => load.stop());
    await filter.close();
    await Promise.all(over);
  }));

test("limit lets flushes pass writes that wait for bandwidth, but counts them as operations", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { writeBandwidth: 1000 * KIB, writeIops: 100 });
    const writes = Array.from({ length: 10 }, () =>
      new TimedRequest(reactor, { operation: Operation.write, length: MIB }).run(filter),
    );
    await sleep(reactor, 1);
    const flush = await new TimedRequest(reactor, { operation: Operation.flush }).run(filter);
    ok(flush.endMs < 2, `flushed at ${flush.endMs}`);
    // The rest of the burst of operations goes too, then one every 10 ms.
    const flushes = await Promise.all(
      Array.from({ length: 200 }, () =>
        new TimedRequest(reactor, { operation: Operation.flush }).run(filter),
      ),
    );
    const lastMs = flushes.at(-1)?.endMs ?? 0;
    // 202 operations, the first write among them: 100 at once, and one for each 10 ms.
    ok(Math.abs(lastMs - 1020) < 11, `the last flush at ${lastMs}`);
    filter.hurry();
    await Promise.all(writes);
    await filter.close();
  }));

test("limit lets all go when it is hurried, and holds later ones as before", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { iops: 1 });
    const order: number[] = [];
    const requests = Array.from({ length: 50 }, async (_, index) => {
      const operation = index % 3 === 0 ? Operation.write : Operation.read;
      await new TimedRequest(reactor, { operation, stream: index % 5 }).run(filter);
      order.push(index);
    });
    await sleep(reactor, 10);
    deepStrictEqual(filter.describe().waiting, 49);
    deepStrictEqual(filter.describe().waitingStreams, 5);
    const hurriedMs = reactor.clock.nowMs();
    filter.hurry();
    await Promise.all(requests);
    ok(reactor.clock.nowMs() - hurriedMs < 1);
    for (let stream = 0; stream < 5; stream++) {
      for (const wanted of [0, 1]) {
        const isWanted = (index: number): boolean => (index % 3 === 0 ? 0 : 1) === wanted;
        const lane = order.filter((index) => index % 5 === stream && isWanted(index));
        deepStrictEqual(
          lane,
          lane.toSorted((a, b) => a - b),
        );
      }
    }
    strictEqual(filter.describe().waitingStreams, 0);
    const later = await new TimedRequest(reactor).run(filter);
    ok(later.endMs >= 1000, `held until ${later.endMs}`);
    await filter.close();
  }));

test("limit's change lets those that wait go at the new rate, and forgives no debt", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { bandwidth: 512, burstMs: 10 });
    const [first, second] = [0, 1].map(() => new TimedRequest(reactor).run(filter));
    strictEqual(Math.round((await first)?.endMs ?? -1), 0);
    await sleep(reactor, 1000);
    // 4096 were taken of 512, and 512 have come since: 3072 are owed, and 512 more are needed.
    filter.change({ bandwidth: 1024, burstMs: 500 });
    const endMs = (await second)?.endMs ?? -1;
    ok(Math.abs(endMs - 4500) < 2, `ended at ${endMs}`);
    filter.change({ burstMs: 10 });
    const free = await new TimedRequest(reactor).run(filter);
    ok(free.endMs < endMs + 1, "without limits nothing waits");
    await filter.close();
  }));

test("limit's close lets those go that wait, and ends with them", () =>
  onFake(async (reactor) => {
    const filter = await overNull(reactor, { iops: 1 });
    const requests = [0, 1, 2].map(() => new TimedRequest(reactor).run(filter));
    await filter.close();
    const statuses = (await Promise.all(requests)).map(({ status }) => status);
    deepStrictEqual(statuses, [Status.ok, Status.ok, Status.ok]);
    ok(reactor.clock.nowMs() < 10);
  }));

const SEED = process.env.PENSTOCK_SEED;
const RUNS: fc.Parameters<unknown> = {
  numRuns: process.env.PENSTOCK_LONG === "1" ? 2000 : 100,
  ...(SEED === undefined ? {} : { seed: Number(SEED) }),
};

const rate = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined });
const limitsOf = fc.record({
  iops: rate(1000),
  readIops: rate(1000),
  writeIops: rate(1000),
  bandwidth: rate(4 * MIB),
  readBandwidth: rate(4 * MIB),
  writeBandwidth: rate(4 * MIB),
  burstMs: fc.integer({ min: 10, max: 2000 }),
});
const arrivalOf = fc.record({
  afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 })),
  stream: fc.integer({ min: 0, max: 2 }),
  operation: fc.constantFrom(...Object.values(Operation).filter((name) => name < 5)),
  length: fc.oneof(
    fc.integer({ min: 1, max: 16 }).map((sectors) => sectors * 512),
    fc.constantFrom(64 * KIB, MIB),
  ),
});

interface LetGo {
  readonly key: string;
  readonly order: number;
  readonly operation: Operation;
  readonly bytes: number;
  readonly endMs: number;
}

const READS: readonly Operation[] = [Operation.read];
const ALL: readonly Operation[] = [0, 1, 2, 3, 4];
const CHANGES = ALL.filter((operation) => operation !== Operation.read);

/** The bounds of any stretch of time, for each limit that is set. */
function checkWindows(letGo: readonly LetGo[], limits: LimitSettings): void {
  const kinds: readonly [keyof LimitSettings, readonly Operation[], boolean][] = [
    ["iops", ALL, false],
    ["readIops", READS, false],
    ["writeIops", CHANGES, false],
    ["bandwidth", ALL, true],
    ["readBandwidth", READS, true],
    ["writeBandwidth", CHANGES, true],
  ];
  for (const [key, operations, inBytes] of kinds) {
    const perSecond = limits[key];
    if (perSecond === undefined) continue;
    const costs = letGo
      .filter(({ operation }) => operations.includes(operation))
      .map(({ endMs, bytes }) => ({ endMs, cost: inBytes ? bytes : 1 }));
    const least = inBytes ? 512 : 1;
    const largest = Math.max(...costs.map(({ cost }) => cost));
    const burst = Math.max((perSecond * limits.burstMs) / 1000, least, largest);
    for (let from = 0; from < costs.length; from++) {
      let sum = 0;
      for (let to = from; to < costs.length; to++) {
        sum += costs[to]?.cost ?? 0;
        const spanMs = (costs[to]?.endMs ?? 0) - (costs[from]?.endMs ?? 0);
        // A request ends a few virtual microseconds after it was let go.
        const most: number = burst + (perSecond * (spanMs + 0.1)) / 1000 + 1e-6;
        ok(sum <= most, `${key}: ${sum} within ${spanMs} ms, at most ${most}`);
      }
    }
  }
}

test("limit exceeds its rate in no stretch of time, loses nothing, keeps streams in order", () =>
  fc.assert(
    fc.asyncProperty(
      limitsOf,
      fc.array(arrivalOf, { minLength: 1, maxLength: 60 }),
      (limits, arrivals) =>
        onFake(async (reactor) => {
          const filter = await overNull(reactor, limits);
          const letGo: LetGo[] = [];
          const requests: Promise<unknown>[] = [];
          for (const [order, arrival] of arrivals.entries()) {
            const { afterMs, operation, stream } = arrival;
            if (afterMs > 0) await sleep(reactor, afterMs);
            const request = new TimedRequest(reactor, arrival);
            const lane = operation > 1 ? "change" : operation;
            const bytes = operation > 1 ? 0 : request.length;
            const run = request.run(filter).then(({ endMs }) => {
              letGo.push({ key: `${stream} ${lane}`, order, operation, bytes, endMs });
            });
            requests.push(run);
          }
          await Promise.all(requests);
          strictEqual(letGo.length, arrivals.length);
          strictEqual(filter.describe().waiting, 0);
          const latest = new Map<string, number>();
          for (const { key, order } of letGo) {
            ok(order > (latest.get(key) ?? -1), `${key}: ${order} after ${latest.get(key)}`);
            latest.set(key, order);
          }
          checkWindows(letGo, limits);
          await filter.close();
        }),
    ),
    RUNS,
  ));
