// Tests of NbdConnection over a stream whose receives and sends end when the test says so: what is
// in flight when a connection ends, and clients that go at every point of a command.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import { FileDevice } from "../../devices/file.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { request } from "../../testing/nbd-bytes.ts";
import { NbdConnectionRig, type RigOptions } from "../../testing/nbd-connection-rig.ts";
import { Command, CommandFlag, NbdError } from "./constants.ts";

const KIB = 1024;
const SIZE_BYTES = 8 * KIB * KIB;
const ECANCELED = 125;

function withRig(
  options: RigOptions & { readonly bufferLimitBytes?: number; readonly sizeBytes?: number },
  body: (rig: NbdConnectionRig, device: FileDevice) => Promise<void>,
): Promise<void> {
  const { bufferLimitBytes = 8 * KIB * KIB, sizeBytes = SIZE_BYTES } = options;
  return withReactor(
    "fake",
    async ({ reactor }) => {
      const device = await FileDevice.open(reactor, { path: "/d.img", sizeBytes });
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
      await rig.settle();
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

/** The client goes, and the connection closes. */
async function leave(rig: NbdConnectionRig): Promise<void> {
  rig.stream.endReceive(0);
  await rig.settle();
}

/** Errors of simple replies without data. */
function errorsOf(sent: Buffer): number[] {
  return Array.from({ length: sent.length / 16 }, (_, index) => sent.readUInt32BE(index * 16 + 4));
}

test("a payload that no command takes is skipped, with extended headers", () =>
  withRig({ replies: "extended" }, async (rig) => {
    const { payloadLen: flags } = CommandFlag;
    const commands = [Command.read, Command.flush, Command.trim, Command.blockStatus, 99];
    for (const command of commands) {
      rig.stream.deliver(
        Buffer.concat([
          request({ command, cookie: 1, flags, length: 512 }, true),
          Buffer.alloc(512, 0xff),
          request({ command: Command.flush, cookie: 2 }, true),
        ]),
      );
      await rig.settle();
      assert.equal(rig.stream.isShut, false, `the stream is in step after command ${command}`);
    }
    // Each pair: an error chunk with words, and a chunk of its header alone.
    assert.equal(rig.stream.sent.length, commands.length * (32 + 6 + "invalid".length + 32));
    await leave(rig);
  }));

test("flags that were not negotiated are refused", () =>
  withRig({ replies: "simple" }, async (rig) => {
    const { df, payloadLen, noHole } = CommandFlag;
    rig.stream.deliver(
      Buffer.concat([
        request({ command: Command.read, cookie: 1, flags: df, length: 512 }),
        request({ command: Command.write, cookie: 2, flags: payloadLen, length: 512 }),
        Buffer.alloc(512),
        request({ command: Command.flush, cookie: 3, flags: noHole }),
        request({ command: Command.flush, cookie: 4 }),
      ]),
    );
    await rig.settle();
    const { einval } = NbdError;
    assert.deepEqual(errorsOf(rig.stream.sent).sort(), [0, einval, einval, einval]);
    await leave(rig);
  }));

test("CACHE of a huge range ends with its connection", () =>
  withRig({ replies: "extended", sizeBytes: 1024 ** 4 }, async (rig, device) => {
    rig.stream.deliver(request({ command: Command.cache, cookie: 1, length: 1024 ** 4 }, true));
    await rig.settle();
    assert.equal(rig.stream.sent.length, 0);
    const { clock } = device.reactor;
    const startMs = clock.nowMs();
    await leave(rig);
    assert.ok(rig.stream.isClosed && clock.nowMs() - startMs < 1000);
  }));

test("CACHE commands together hold no more than a connection's share", () =>
  withRig({ sizeBytes: 1024 ** 3, bufferLimitBytes: 16 * KIB * KIB }, async (rig) => {
    const cache = { command: Command.cache, offset: 0, length: 1024 ** 3 };
    const all = Array.from({ length: 64 }, (_, cookie) => request({ ...cache, cookie }));
    rig.stream.deliver(Buffer.concat(all));
    await rig.settle(5);
    assert.ok(rig.heldBytes < 5 * KIB * KIB, `${rig.heldBytes} bytes are held`);
    await leave(rig);
  }));

for (const first of [
  { command: Command.write, cookie: 1, offset: 100, length: 1000 },
  { command: Command.writeZeroes, cookie: 1, offset: 100, length: 1000 },
]) {
  test(`an unaligned change does not undo a later one of the same blocks (${first.command})`, () =>
    withRig({ replies: "simple" }, async (rig, device) => {
      const { write } = Command;
      rig.stream.deliver(
        Buffer.concat([
          request(first),
          first.command === write ? Buffer.alloc(first.length, 1) : Buffer.alloc(0),
          request({ command: write, cookie: 2, offset: 0, length: 2048 }),
          Buffer.alloc(2048, 2),
        ]),
      );
      await rig.settle();
      assert.deepEqual(errorsOf(rig.stream.sent), [0, 0]);
      const promised = new PromiseDevice(device);
      assert.deepEqual(new Set(await promised.readAt(0, 2048)), new Set([2]));
      await leave(rig);
      await promised.close();
    }));
}
