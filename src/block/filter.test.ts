// Tests of Filter and Joint: passing requests on, lent memory through filters, changes under load.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { MallocDevice } from "../devices/malloc.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { AwaitedRequest } from "./awaited-request.ts";
import { deviceConformance } from "./conformance.ts";
import type { Device } from "./device.ts";
import { Filter, filterInfo, passAll } from "./filter.ts";
import { Joint } from "./joint.ts";
import { Operation, RequestFlag } from "./operation.ts";
import type { Request } from "./request.ts";
import { Status } from "./status.ts";

const SIZE_BYTES = 16 * 2 ** 20;
const INSTANCE_ID = "11111111-2222-4333-8444-555555555555";

/** Passes all, and counts. */
class CountingFilter extends Filter {
  started = 0;
  returned = 0;

  constructor(below: Joint) {
    super(below, filterInfo(below, "counting", "counting"), passAll(below));
  }

  protected override start(request: Request): void {
    this.started++;
    this.pass(request);
  }

  override passed(request: Request, status: Status): void {
    this.returned++;
    request.finish(status);
  }
}

async function openMalloc(reactor: Reactor): Promise<Device> {
  return MallocDevice.open(reactor, { name: "x", sizeBytes: SIZE_BYTES, instanceId: INSTANCE_ID });
}

deviceConformance("five passing filters", async ({ reactor }) => {
  let device = await openMalloc(reactor);
  for (let level = 0; level < 5; level++) device = new CountingFilter(new Joint(device));
  return device;
});

async function read(device: Device): Promise<Status> {
  const request = new AwaitedRequest();
  const flags = RequestFlag.mayLend;
  const status = await request.run(device, { operation: Operation.read, length: 4096, flags });
  if (request.lent) request.returnLent();
  return status;
}

test("a filter gets back what it has passed, from the top down and up again", () =>
  withReactor("fake", async ({ reactor }) => {
    const lower = new CountingFilter(new Joint(await openMalloc(reactor)));
    const upper = new CountingFilter(new Joint(lower));
    strictEqual(await read(upper), Status.ok);
    deepStrictEqual([lower.started, upper.started], [1, 1]);
    deepStrictEqual([lower.returned, upper.returned], [1, 1]);
    deepStrictEqual([lower.inFlight, upper.inFlight, lower.lent, upper.lent], [0, 0, 0, 0]);
  }));

/** Leaves numbers with the requests that it passes, and checks that they come back. */
class NotingFilter extends CountingFilter {
  readonly taken: number[] = [];

  protected override start(request: Request): void {
    request.leaveNote(this.started + 0.5);
    super.start(request);
  }

  override passed(request: Request, status: Status): void {
    this.taken.push(request.takeNote());
    super.passed(request, status);
  }
}

test("each filter gets back the note that it left, whichever of them leave one", () =>
  withReactor("fake", async ({ reactor }) => {
    const lowest = new NotingFilter(new Joint(await openMalloc(reactor)));
    const middle = new CountingFilter(new Joint(lowest));
    const upper = new NotingFilter(new Joint(middle));
    lowest.started = 100;
    strictEqual(await read(upper), Status.ok);
    await Promise.all([read(upper), read(upper)]);
    deepStrictEqual(upper.taken, [0.5, 1.5, 2.5]);
    deepStrictEqual(lowest.taken, [100.5, 101.5, 102.5]);
  }));

test("a status of any level reaches the submitter when a filter is closed", () =>
  withReactor("fake", async ({ reactor }) => {
    const lower = new CountingFilter(new Joint(await openMalloc(reactor)));
    const upper = new CountingFilter(new Joint(lower));
    await lower.close();
    strictEqual(await read(upper), Status.notReady);
    deepStrictEqual([lower.inFlight, upper.inFlight], [0, 0]);
  }));

test("a held joint keeps requests in their order, and sends them to the new device", () =>
  withReactor("fake", async ({ reactor }) => {
    const malloc = await openMalloc(reactor);
    const joint = new Joint(malloc);
    joint.hold();
    throws(() => joint.hold(), { code: "assertion-failed" });
    const reads = [read(joint), read(joint), read(joint)];
    strictEqual(joint.waiting, 3);
    strictEqual(malloc.inFlight, 0);
    await malloc.whenIdle();
    const filter = new CountingFilter(new Joint(malloc));
    joint.connect(filter);
    joint.resume();
    strictEqual(filter.started, 3);
    strictEqual(joint.waiting, 0);
    deepStrictEqual(await Promise.all(reads), [Status.ok, Status.ok, Status.ok]);
    await joint.below.close();
    await malloc.close();
  }));

test("whenIdle settles when the last request has ended, lent memory or not", () =>
  withReactor("fake", async ({ reactor }) => {
    const malloc = await openMalloc(reactor);
    const request = new AwaitedRequest();
    const done = request.run(malloc, {
      operation: Operation.read,
      length: 4096,
      flags: RequestFlag.mayLend,
    });
    await malloc.whenIdle();
    strictEqual(malloc.inFlight, 0);
    strictEqual(await done, Status.ok);
    ok(request.lent);
    strictEqual(malloc.lent, 1);
    request.returnLent();
    await malloc.close();
  }));
