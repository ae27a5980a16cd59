// Tests of the NBD device: the suite of every device, through a share of our own.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import { ExtentFlag, ExtentList } from "../block/extents.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { type NbdPairOptions, openThroughNbd } from "../testing/nbd-pair.ts";
import { MallocDevice, type MallocOptions } from "./malloc.ts";
import { NullDevice } from "./null.ts";

const MALLOC: MallocOptions = {
  name: "test",
  sizeBytes: 16 * 1024 * 1024 + 4096,
  instanceId: "11111111-2222-4333-8444-555555555555",
};

const open =
  (options: NbdPairOptions = {}, malloc: Partial<MallocOptions> = {}) =>
  async ({ reactor }: TestReactor) => {
    const backing = await MallocDevice.open(reactor, { ...MALLOC, ...malloc });
    return openThroughNbd(reactor, backing, options);
  };

deviceConformance("nbd", open(), {
  openReadOnly: open({ shareReadOnly: true }),
  levels: TEST_LEVELS,
});
deviceConformance("nbd over one connection", open({ initiator: { connections: 1 } }));
deviceConformance(
  "nbd of 4096-byte blocks",
  open({ initiator: { blockSizeBytes: 4096 } }, { blockSizeBytes: 4096 }),
);

test("NbdDevice does what is longer than a request on the wire in parts", () =>
  withReactor("fake", async ({ reactor }) => {
    const backing = await NullDevice.open(reactor, { name: "null", sizeBytes: 2 ** 43 });
    const device = await openThroughNbd(reactor, backing);
    const range = { offset: 2 ** 42 - 4096, length: 5 * 2 ** 30 + 8192 };
    for (const operation of [Operation.discard, Operation.writeZeroes]) {
      strictEqual(await new AwaitedRequest().run(device, { operation, ...range }), Status.ok);
    }
    const request = new AwaitedRequest();
    request.extents = new ExtentList();
    const { blockStatus } = Operation;
    strictEqual(await request.run(device, { operation: blockStatus, ...range }), Status.ok);
    strictEqual(request.extents.count, 1);
    strictEqual(request.extents.lengthBytes, range.length);
    strictEqual((request.extents.flags[0] ?? 0) & ExtentFlag.zero, ExtentFlag.zero);
    await device.close();
  }));

test("NbdDevice opens as many connections as it is told to, four by default", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const [connections, expected] of [
      [1, 1],
      [3, 3],
      [undefined, 4],
    ] as const) {
      const backing = await MallocDevice.open(reactor, MALLOC);
      const initiator = connections === undefined ? {} : { connections };
      const device = await openThroughNbd(reactor, backing, { initiator });
      strictEqual(device.condition.connections, expected);
      strictEqual(device.condition.link, "up");
      await device.close();
      strictEqual(device.condition.link, "closed");
    }
  }));
