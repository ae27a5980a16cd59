// Tests of the Device base class: what submit asserts, and how close waits.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, withReactor } from "../reactor/test-reactor.ts";
import { Device, type DeviceInfo, modifies } from "./device.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "./operation.ts";
import { Request } from "./request.ts";
import { Status } from "./status.ts";

const INFO: DeviceInfo = {
  name: "held:///x",
  kind: "held",
  sizeBytes: 1024 * 1024,
  blockSizeBytes: 512,
  physicalBlockSizeBytes: 512,
  optimalIoBytes: 4096,
  maxTransferBytes: 65_536,
  readOnly: false,
  volatileCache: false,
  discardGranularityBytes: 512,
  instanceId: "11111111-2222-4333-8444-555555555555",
  lendsReads: true,
};

const ALL: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.emulated,
  writeZeroes: Support.pass,
  compare: Support.translate,
  compareAndWrite: Support.refuse,
  blockStatus: Support.native,
};

/** Keeps what it gets until the test ends it. */
class HeldDevice extends Device {
  readonly started: Request[] = [];
  released = 0;

  constructor(reactor: Reactor, info: Partial<DeviceInfo> = {}) {
    super(reactor, { ...INFO, ...info }, ALL);
  }

  protected override start(request: Request): void {
    this.started.push(request);
  }

  protected override async release(): Promise<void> {
    this.released++;
  }
}

class PlainRequest extends Request {
  completions = 0;

  override complete(): void {
    this.completions++;
  }
}

function makeRequest(operation: Operation, length = 512): PlainRequest {
  const request = new PlainRequest();
  request.operation = operation;
  request.length = length;
  if (operation === Operation.read) request.segments.push(1, 0, length);
  return request;
}

/** Lets the reactor's turn and all promises run. */
async function settle({ clock, io }: Reactor): Promise<void> {
  await new Promise<void>((resolve) => {
    clock.startTimer(2, () => io.defer(resolve));
  });
}

for (const level of TEST_LEVELS) {
  test(`close waits for requests and for lent memory, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const device = new HeldDevice(reactor);
      const plain = makeRequest(Operation.flush, 0);
      const lending = makeRequest(Operation.read);
      lending.flags = RequestFlag.mayLend;
      device.submit(plain);
      device.submit(lending);
      strictEqual(device.inFlight, 2);
      let isClosed = false;
      const closed = device.close();
      void closed.then(() => {
        isClosed = true;
      });
      const late = makeRequest(Operation.read);
      device.submit(late);
      strictEqual(late.completions, 0);
      await settle(reactor);
      strictEqual(late.status, Status.notReady);
      strictEqual(late.completions, 1);
      plain.finish(Status.ok);
      lending.lent = true;
      lending.finish(Status.ok);
      strictEqual(device.inFlight, 0);
      strictEqual(device.lent, 1);
      await settle(reactor);
      strictEqual(isClosed, false);
      lending.returnLent();
      strictEqual(lending.segments.count, 0);
      strictEqual(device.close(), closed);
      await closed;
      strictEqual(device.released, 1);
      deepStrictEqual(device.started, [plain, lending]);
    }));
}

test("close releases at once when nothing is in flight, and once only", () =>
  withReactor("fake", async ({ reactor }) => {
    const device = new HeldDevice(reactor);
    await device.close();
    await device.close();
    strictEqual(device.released, 1);
  }));

test("submit and finish assert when a request is used twice at a time", () =>
  withReactor("fake", async ({ reactor }) => {
    const device = new HeldDevice(reactor);
    const request = makeRequest(Operation.read);
    throws(() => request.finish(Status.ok), { code: "assertion-failed" });
    device.submit(request);
    throws(() => device.submit(request), { code: "assertion-failed" });
    throws(() => request.returnLent(), { code: "assertion-failed" });
    strictEqual(device.inFlight, 1);
    request.lent = true;
    request.finish(Status.ok);
    strictEqual(request.generation, 1);
    throws(() => request.finish(Status.ok), { code: "assertion-failed" });
    throws(() => device.submit(request), { code: "assertion-failed" });
    request.returnLent();
    request.segments.push(1, 0, 512);
    request.errorOffset = 99;
    device.submit(request);
    strictEqual(request.errorOffset, -1);
    request.finish(Status.mediaError);
    strictEqual(request.generation, 2);
    strictEqual(request.completions, 2);
  }));

test("a read without segments is refused when it may not lend or the device does not", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const [lendsReads, flags, starts] of [
      [true, RequestFlag.mayLend, 1],
      [true, 0, 0],
      [false, RequestFlag.mayLend, 0],
    ] as const) {
      const device = new HeldDevice(reactor, { lendsReads });
      const request = makeRequest(Operation.read);
      request.segments.clear();
      request.flags = flags;
      device.submit(request);
      strictEqual(device.started.length, starts);
      await settle(reactor);
      if (starts === 0) strictEqual(request.status, Status.invalid);
      else request.finish(Status.ok);
      await device.close();
    }
  }));

test("operations run unless the table refuses them", () =>
  withReactor("fake", async ({ reactor }) => {
    const device = new HeldDevice(reactor);
    const discard = makeRequest(Operation.discard, 1024 * 1024);
    const refused = makeRequest(Operation.compareAndWrite);
    refused.segments.push(1, 0, 1024);
    device.submit(discard);
    device.submit(refused);
    await settle(reactor);
    deepStrictEqual(device.started, [discard]);
    strictEqual(refused.status, Status.unsupported);
    discard.finish(Status.ok);
    await device.close();
  }));

test("a device asserts when its info makes no sense", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const info of [
      { blockSizeBytes: 1024 },
      { sizeBytes: 513 },
      { maxTransferBytes: 2 * 1024 * 1024 },
    ]) {
      throws(() => new HeldDevice(reactor, info), { code: "assertion-failed" });
    }
  }));

test("modifies is true for what changes the content", () => {
  const changing = Object.values(Operation).filter((operation) => modifies(operation));
  deepStrictEqual(changing, [
    Operation.write,
    Operation.discard,
    Operation.writeZeroes,
    Operation.compareAndWrite,
  ]);
});
