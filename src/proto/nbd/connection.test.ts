// Tests of NbdConnection over a stream whose receives and sends end when the test says so: what is
// in flight when a connection ends, and clients that go at every point of a command.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../../devices/file.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { request } from "../../testing/nbd-bytes.ts";
import { NbdConnectionRig, type RigOptions } from "../../testing/nbd-connection-rig.ts";
import { Command } from "./constants.ts";

const KIB = 1024;
const SIZE_BYTES = 8 * KIB * KIB;
const ECANCELED = 125;

function withRig(
  options: RigOptions & { readonly bufferLimitBytes?: number },
  body: (rig: NbdConnectionRig, device: FileDevice) => Promise<void>,
): Promise<void> {
  const { bufferLimitBytes = 8 * KIB * KIB } = options;
  return withReactor(
    "fake",
    async ({ reactor }) => {
      const device = await FileDevice.open(reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
      const rig = new NbdConnectionRig(device, options);
      await body(rig, device);
      rig.finish();
      await device.close();
    },
    { bufferLimitBytes },
  );
}

const WRITES = [
  { name: "a write", length: 256 * KIB },
  { name: "a long write", length: 3 * KIB * KIB },
  { name: "an unaligned write", length: 256 * KIB + 1 },
];

const ENDS = [
  { name: "drained", end: (rig: NbdConnectionRig) => void rig.connection.drain() },
  { name: "failed", end: (rig: NbdConnectionRig) => rig.connection.fail("the test says so") },
];

for (const { name, length } of WRITES) {
  for (const { name: how, end } of ENDS) {
    test(`${name} keeps its buffer while it is received into, though ${how}`, () =>
      withRig({}, async (rig) => {
        const { stream } = rig;
        stream.deliver(request({ command: Command.write, cookie: 1, offset: 0, length }));
        await rig.settle();
        stream.deliver(Buffer.alloc(1000, 1));
        await rig.settle();
        const before = rig.heldBytes;
        end(rig);
        await rig.settle();
        assert.equal(rig.heldBytes, before, "the kernel may still write into the payload's buffer");
        assert.equal(stream.isClosed, false);
        stream.deliver(Buffer.alloc(2000, 2));
        await rig.settle();
        if (stream.isReceiving) stream.endReceive(0);
        await rig.settle(1500);
      }));
  }
}

test("a write is not done when its client goes in the middle of the payload", () =>
  withRig({}, async (rig) => {
    const { stream } = rig;
    const header = { command: Command.write, cookie: 1, offset: 0, length: 64 * KIB };
    stream.deliver(request(header));
    await rig.settle();
    stream.deliver(Buffer.alloc(64 * KIB - 1, 1));
    await rig.settle();
    stream.endReceive(0);
    await rig.settle();
    assert.equal(stream.sent.length, 0);
  }));

test("a long simple read goes on with its own memory when all other is gone", () =>
  withRig({ replies: "simple" }, async (rig, device) => {
    const { stream } = rig;
    const { buffers } = device.reactor;
    const read = { command: Command.read, offset: 0 };
    const length = 3 * KIB * KIB;
    stream.sendsByItself = false;
    stream.deliver(
      Buffer.concat([
        request({ ...read, cookie: 1, length }),
        request({ ...read, cookie: 2, length: 64 * KIB }),
      ]),
    );
    await rig.settle();
    // The first part is being sent; the second read has ended, and waits behind the long one.
    const taken: PoolBuffer[] = [];
    const takeAll = (): void => {
      const one = buffers.acquire(4096);
      if (one === null) return;
      taken.push(one);
      takeAll();
    };
    // Others take whatever memory comes back, at once.
    for (let round = 0; round < 2000 && stream.isSending; round++) {
      takeAll();
      stream.endSend();
      takeAll();
      await rig.settle(5);
    }
    assert.equal(stream.sent.length, 16 + length + 16 + 64 * KIB);
    for (const one of taken) one.release();
    void rig.connection.drain();
    await rig.settle();
    stream.endReceive(-ECANCELED);
    await rig.settle();
    if (stream.isReceiving) stream.endReceive(0);
    await rig.settle();
  }));
