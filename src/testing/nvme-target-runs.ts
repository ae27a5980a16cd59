/**
 * Tests of a target's connection: one NvmeTargetRig at the fake level, over memory or over a file,
 * and its device closed behind it.
 */

import assert from "node:assert/strict";
import type { Device } from "../block/device.ts";
import { FileDevice } from "../devices/file.ts";
import { MallocDevice } from "../devices/malloc.ts";
import { IoOpcode } from "../proto/nvme/constants.ts";
import { PduFlag } from "../proto/nvme-tcp/common.ts";
import { type TestReactor, type TestReactorOptions, withReactor } from "../reactor/test-reactor.ts";
import { capsule } from "./nvme-pdus.ts";
import { NvmeTargetRig } from "./nvme-target-rig.ts";

/** Of the device behind the rig. */
export const RIG_SIZE_BYTES: number = 8 * 1024 * 1024;

/** Over memory, which is lent to reads. */
export async function withRig(
  body: (rig: NvmeTargetRig) => Promise<void>,
  options: TestReactorOptions & { readonly blockSizeBytes?: number } = {},
): Promise<void> {
  const run = async ({ reactor }: TestReactor): Promise<void> => {
    const { blockSizeBytes = 512 } = options;
    const device = await MallocDevice.open(reactor, {
      name: "m",
      sizeBytes: RIG_SIZE_BYTES,
      blockSizeBytes,
      instanceId: "01234567-89ab-cdef-0123-456789abcdef",
    });
    await body(new NvmeTargetRig(device));
    await device.close();
  };
  await withReactor("fake", run, options);
}

/** Over a file, which lends no memory. */
export async function withFileRig(
  body: (rig: NvmeTargetRig, device: Device) => Promise<void>,
  options: TestReactorOptions = {},
): Promise<void> {
  const run = async ({ reactor }: TestReactor): Promise<void> => {
    const device = await FileDevice.open(reactor, { path: "/d.img", sizeBytes: RIG_SIZE_BYTES });
    await body(new NvmeTargetRig(device), device);
    await device.close();
  };
  await withReactor("fake", run, options);
}

/** Reads blocks and returns their data; the status must be success. */
export async function readBlocks(
  rig: NvmeTargetRig,
  slba: number,
  blocks: number,
): Promise<Buffer> {
  const transferBytes = blocks << rig.model.blockShift;
  await rig.say(
    capsule({
      opcode: IoOpcode.read,
      cid: 999,
      nsid: 1,
      cdw10: slba,
      cdw12: blocks - 1,
      transferBytes,
    }),
  );
  await rig.settle(20);
  const parts: Buffer[] = [];
  for (let isLast = false; !isLast; ) {
    const { data, flags, fields } = rig.take("data");
    assert.equal(fields.offset, Buffer.concat(parts).length);
    parts.push(data);
    isLast = (flags & PduFlag.last) !== 0;
    if ((flags & PduFlag.success) !== 0) return Buffer.concat(parts);
  }
  assert.equal(rig.takeStatus(999), 0);
  return Buffer.concat(parts);
}
