// Tests of what devices count, by requests to real ones, and of the samples of their latency.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { DelayFilter } from "../devices/delay.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { planOneFilter } from "../pipe/pipe-plan.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { AwaitedRequest } from "./awaited-request.ts";
import type { Device } from "./device.ts";
import { Joint } from "./joint.ts";
import { SAMPLE_EVERY } from "./latency-sampler.ts";
import { Operation } from "./operation.ts";
import { Status } from "./status.ts";

const SIZE_BYTES = 2 ** 20;
const BLOCK_BYTES = 4096;
const INSTANCE_ID = "11111111-2222-4333-8444-555555555555";
const DELAY_MS = 5;
const NS_PER_MS = 1e6;

async function openMalloc(reactor: Reactor): Promise<Device> {
  return MallocDevice.open(reactor, { name: "x", sizeBytes: SIZE_BYTES, instanceId: INSTANCE_ID });
}

async function openDelayed(reactor: Reactor, below: Device): Promise<Device> {
  const context = { reactor, holder: "test", instanceSeed: INSTANCE_ID };
  const { plan } = planOneFilter(`delay?time=${DELAY_MS}ms`);
  const device = await plan.open(context, new Joint(below));
  ok(device instanceof DelayFilter);
  return device;
}

async function run(device: Device, operation: Operation, offset = 0): Promise<Status> {
  const request = new AwaitedRequest();
  const length = operation === Operation.flush ? 0 : BLOCK_BYTES;
  const buffer = device.reactor.buffers.acquire(BLOCK_BYTES);
  ok(buffer !== null);
  const hasData = operation === Operation.read || operation === Operation.write;
  if (hasData) request.segments.push(buffer.slab.id, buffer.offset, length);
  const status = await request.run(device, { operation, offset, length });
  buffer.release();
  return status;
}

function samplesOf({ meter }: Device): number | undefined {
  return meter.histogram?.count;
}

test("a device counts requests and bytes by kind, and errors without bytes", () =>
  withReactor("fake", async ({ reactor }) => {
    const device = await openMalloc(reactor);
    for (let count = 0; count < 3; count++) await run(device, Operation.read);
    for (let count = 0; count < 2; count++) await run(device, Operation.write);
    await run(device, Operation.flush);
    await run(device, Operation.writeZeroes);
    strictEqual(await run(device, Operation.read, SIZE_BYTES), Status.outOfRange);
    deepStrictEqual(device.meter.counts(), {
      reads: 4,
      writes: 2,
      others: 2,
      readBytes: 3 * BLOCK_BYTES,
      writeBytes: 2 * BLOCK_BYTES,
      otherBytes: BLOCK_BYTES,
      errors: 1,
    });
    strictEqual(device.inFlight, 0);
    await device.close();
  }));

test("a filter and what is below it count each for itself", () =>
  withReactor("fake", async ({ reactor }) => {
    const lower = await openMalloc(reactor);
    const upper = await openDelayed(reactor, lower);
    await run(upper, Operation.write);
    await run(lower, Operation.write);
    strictEqual(upper.meter.counts().writes, 1);
    strictEqual(lower.meter.counts().writes, 2);
    // What a closing device refuses is an error, too.
    await upper.close();
    strictEqual(await run(upper, Operation.read), Status.notReady);
    strictEqual(upper.meter.counts().errors, 1);
    strictEqual(lower.meter.counts().reads, 0);
    await lower.close();
  }));

test("latency is sampled: the first request and then one of each 64", () =>
  withReactor("fake", async ({ reactor }) => {
    const lower = await openMalloc(reactor);
    const upper = await openDelayed(reactor, lower);
    strictEqual(samplesOf(upper), undefined);
    const sampledAfter = async (requests: number): Promise<number | undefined> => {
      for (let count = 0; count < requests; count++) await run(upper, Operation.read);
      return samplesOf(upper);
    };
    strictEqual(await sampledAfter(1), 1);
    strictEqual(await sampledAfter(SAMPLE_EVERY - 1), 1);
    strictEqual(await sampledAfter(1), 2);
    const { histogram } = upper.meter;
    ok(histogram !== null && histogram.min >= DELAY_MS * NS_PER_MS);
    ok((lower.meter.histogram?.max ?? 0) < DELAY_MS * NS_PER_MS);
    await upper.close();
    await lower.close();
  }));

test("requests at once are sampled one at a time, and the next one after that", () =>
  withReactor("fake", async ({ reactor }) => {
    const lower = await openMalloc(reactor);
    const upper = await openDelayed(reactor, lower);
    // The first is timed; while it waits, the 65th has its turn and lets it pass.
    const reads = Array.from({ length: 2 * SAMPLE_EVERY }, () => run(upper, Operation.read));
    strictEqual(upper.inFlight, 2 * SAMPLE_EVERY);
    await Promise.all(reads);
    strictEqual(samplesOf(upper), 1);
    await run(upper, Operation.read);
    strictEqual(samplesOf(upper), 2);
    await upper.close();
    await lower.close();
  }));
