// Tests of what the texts of limit, delay, fault, log and slice open, and of changing their
// settings while they are open.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { Device, DeviceDetails } from "../../block/device.ts";
import { Joint } from "../../block/joint.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { TimedRequest } from "../../testing/timed-load.ts";
import { planOneFilter } from "../pipe-plan.ts";
import type { OpenContext, PipeEvent } from "../stage-plan.ts";

const MIB = 2 ** 20;
const INSTANCE_ID = "11111111-2222-4333-8444-555555555555";

interface Rig {
  readonly reactor: Reactor;
  readonly malloc: Device;
  readonly events: PipeEvent[];
  open(text: string): Promise<Device>;
}

function withMalloc(body: (rig: Rig) => Promise<void>): Promise<void> {
  return withReactor("fake", async ({ reactor }) => {
    const options = { name: "x", sizeBytes: 16 * MIB, instanceId: INSTANCE_ID };
    const malloc = await MallocDevice.open(reactor, options);
    const events: PipeEvent[] = [];
    const context: OpenContext = {
      reactor,
      holder: "test",
      instanceSeed: INSTANCE_ID,
      report: (event) => events.push(event),
    };
    const open = (text: string): Promise<Device> =>
      planOneFilter(text).plan.open(context, new Joint(malloc));
    await body({ reactor, malloc, events, open });
  });
}

/** Without what is not set. */
function settingsOf(device: Device): DeviceDetails {
  return JSON.parse(JSON.stringify(device.describe()));
}

const LIMIT = { waiting: 0, waitingStreams: 0, held: 0 };
const FAULT = { status: "media-error", range: null, left: null, injected: {}, hung: 0, spared: 0 };

const CASES: readonly (readonly [text: string, details: DeviceDetails])[] = [
  ["limit", { burstMs: 100, ...LIMIT }],
  [
    "limit?iops=500&bandwidth=50MiB&burst=1s",
    { iops: 500, bandwidth: 50 * MIB, burstMs: 1000, ...LIMIT },
  ],
  [
    "limit?read-iops=1&write-iops=2&read-bandwidth=1KiB&write-bandwidth=1MB",
    {
      readIops: 1,
      writeIops: 2,
      readBandwidth: 1024,
      writeBandwidth: 1_000_000,
      burstMs: 100,
      ...LIMIT,
    },
  ],
  ["delay", { readMs: 0, writeMs: 0, flushMs: 0, statusMs: 0, jitterMs: 0, held: 0 }],
  [
    "delay?time=1ms&flush=2s&jitter=500us",
    { readMs: 1, writeMs: 1, flushMs: 2000, statusMs: 1, jitterMs: 0.5, held: 0 },
  ],
  ["fault", { faults: {}, ...FAULT, probability: 1 }],
  ["fault?all=error&enabled=false", { faults: {}, ...FAULT, probability: 1 }],
  [
    "fault?all=hang&read=corrupt&write=torn&block-status=off&range=1MiB-2MiB&count=3",
    {
      // A flush has no place.
      faults: {
        read: "corrupt",
        write: "torn",
        discard: "hang",
        "write-zeroes": "hang",
        compare: "hang",
        "compare-and-write": "hang",
      },
      ...FAULT,
      range: { offset: MIB, end: 2 * MIB },
      probability: 1,
      left: 3,
    },
  ],
  [
    "fault?flush=drop&write=torn&status=ok&range=0B-1MiB&probability=0.25&seed=42",
    {
      faults: { write: "torn", flush: "drop" },
      ...FAULT,
      status: "ok",
      range: { offset: 0, end: MIB },
      probability: 0.25,
    },
  ],
  ["log", { level: "all", slowMs: 0, rate: 100, logged: 0, leftOut: 0 }],
  [
    "log?level=error&slow=10ms&rate=5",
    { level: "error", slowMs: 10, rate: 5, logged: 0, leftOut: 0 },
  ],
];

test("a filter that keeps size and data has the info of what is below, and its settings", () =>
  withMalloc(async ({ malloc, open }) => {
    for (const [text, details] of CASES) {
      const device = await open(text);
      const kind = text.split("?")[0] ?? "";
      deepStrictEqual(device.info, { ...malloc.info, kind, name: text });
      deepStrictEqual(settingsOf(device), details, text);
      strictEqual(planOneFilter(text).plan.fixedBecause, null);
    }
  }));

test("changing a filter's settings gives what opening it with them gives", () =>
  withMalloc(async ({ open }) => {
    for (const [text, details] of CASES) {
      const kind = text.split("?")[0];
      for (const [before] of CASES.filter(([other]) => other.split("?")[0] === kind)) {
        const device = await open(before);
        planOneFilter(text).plan.change?.(device);
        deepStrictEqual(settingsOf(device), details, `${before} to ${text}`);
      }
    }
  }));

test("slice keeps neither size nor place, and says so", () =>
  withMalloc(async ({ malloc, open }) => {
    const text = "slice?offset=1MiB&length=8MiB";
    const device = await open(text);
    deepStrictEqual([device.info.sizeBytes, device.info.name], [8 * MIB, text]);
    strictEqual((await open("slice")).info.sizeBytes, malloc.info.sizeBytes);
    const { plan } = planOneFilter(text);
    ok(/changes the size/.test(plan.fixedBecause ?? ""));
    strictEqual(plan.change, undefined);
  }));

test("log's lines are events of the pipe, with the text of its stage", () =>
  withMalloc(async ({ reactor, events, open }) => {
    const log = await open("log");
    await new TimedRequest(reactor).run(log);
    const [event, ...others] = events;
    deepStrictEqual(others, []);
    const { level, code, stage, message } = event ?? {};
    deepStrictEqual([level, code, stage], ["info", "log", "log"]);
    ok(/^op=read offset=0 length=4096 status=ok us=/.test(message ?? ""));
  }));

test("a fault without a seed draws others in each pipe", () =>
  withMalloc(async ({ reactor, malloc }) => {
    const { plan } = planOneFilter("fault?read=error&probability=0.5");
    const drawn = new Set<string>();
    for (let index = 0; index < 4; index++) {
      const context = { reactor, holder: "test", instanceSeed: `${index % 2}` };
      const device = await plan.open(context, new Joint(malloc));
      let text = "";
      for (let round = 0; round < 64; round++) {
        text += (await new TimedRequest(reactor).run(device)).status;
      }
      drawn.add(text);
    }
    strictEqual(drawn.size, 2);
  }));
