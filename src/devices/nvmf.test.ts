// Tests of the NVMe-oF device: the suite of every device, through a target of our own.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { FaultRig } from "../testing/fault-rig.ts";
import { type NvmfPairOptions, openThroughNvmf } from "../testing/nvmf-pair.ts";
import { NVMF_PAIR } from "../testing/remote-pairs.ts";
import { MallocDevice, type MallocOptions } from "./malloc.ts";

const MALLOC: MallocOptions = {
  name: "test",
  sizeBytes: 16 * 1024 * 1024 + 4096,
  instanceId: "11111111-2222-4333-8444-555555555555",
};

const open =
  (options: NvmfPairOptions = {}, malloc: Partial<MallocOptions> = {}) =>
  async ({ reactor }: TestReactor) => {
    const backing = await MallocDevice.open(reactor, { ...MALLOC, ...malloc });
    return openThroughNvmf(reactor, backing, options);
  };

deviceConformance("nvmf", open(), {
  openReadOnly: open({ shareReadOnly: true }),
  levels: TEST_LEVELS,
});
deviceConformance("nvmf over one queue", open({ initiator: { queues: 1, queueDepth: 2 } }));
deviceConformance(
  "nvmf with digests",
  open({ initiator: { headerDigest: true, dataDigest: true } }),
);
deviceConformance(
  "nvmf of 4096-byte blocks, without data in capsules",
  open({ subsystem: { inCapsuleBytesMax: 0 } }, { blockSizeBytes: 4096 }),
);

test("NvmfDevice opens as many queues as it is told to, four by default", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const [queues, expected] of [
      [1, 1],
      [3, 3],
      [undefined, 4],
    ] as const) {
      const backing = await MallocDevice.open(reactor, MALLOC);
      const initiator = queues === undefined ? {} : { queues };
      const device = await openThroughNvmf(reactor, backing, { initiator });
      strictEqual(device.condition.connections, expected);
      strictEqual(device.condition.link, "up");
      await device.close();
      strictEqual(device.condition.link, "closed");
    }
  }));

test("NvmfDevice does not call a comparison failed that another host has overwritten", () => {
  const rig = new FaultRig(NVMF_PAIR, 7, { initiator: { isSingle: true } });
  return rig.run(async () => {
    await rig.startTarget();
    const device = await rig.openDevice();
    const ours = [...rig.world.network.connections];
    const other = new PromiseDevice(await rig.openDevice());
    const length = 4096;
    const slab = rig.reactor.io.slabs.allocate(2 * length);
    slab.bytes.fill(1, length);
    const request = new AwaitedRequest();
    request.segments.push(slab.id, 0, 2 * length);
    for (const connection of ours) connection.pause("to-client");
    const ending = request.run(device, { operation: Operation.compareAndWrite, length });
    await rig.sleep(50);
    deepStrictEqual(await other.readAt(0, length), slab.bytes.subarray(length), "it is done");
    await other.writeAt(0, new Uint8Array(length).fill(2));
    for (const connection of ours) connection.reset();
    // Retryable: it may have been done, or not.
    strictEqual(await ending, Status.aborted);
    await device.close();
    await other.close();
  });
});
