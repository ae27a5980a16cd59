// Tests of file: the suite of every device, at every level, and what only files promise.

import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import { Operation, RequestFlag, Support } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { Errno } from "../reactor/errno.ts";
import { FakeWorld } from "../reactor/fake/fake-world.ts";
import type { Io } from "../reactor/io.ts";
import { Reactor } from "../reactor/reactor.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { TEST_LEVELS, withReactor } from "../reactor/test-reactor.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { FileDevice, type FileOptions } from "./file.ts";

const SIZE_BYTES = 16 * 1024 * 1024 + 4096;
const folder = makeTempDir({ after });
let files = 0;

/** Opens a fresh sparse file. */
function open(options: Partial<FileOptions> = {}) {
  return ({ reactor }: TestReactor): Promise<FileDevice> => {
    const path = `${folder}/${files++}.img`;
    return FileDevice.open(reactor, { path, sizeBytes: SIZE_BYTES, ...options });
  };
}

const readOnly = async (place: TestReactor): Promise<FileDevice> => {
  const path = `${folder}/read-only.img`;
  const made = await FileDevice.open(place.reactor, { path, sizeBytes: SIZE_BYTES });
  await made.close();
  return FileDevice.open(place.reactor, { path, readOnly: true });
};

const real = TEST_LEVELS.filter((level) => level !== "fake");
const withDirect = TEST_LEVELS.filter((level) => level === "uring" || level === "posix");

deviceConformance("file", open(), { openReadOnly: readOnly, levels: TEST_LEVELS });
deviceConformance("file of 4096-byte blocks", open({ blockSizeBytes: 4096 }));
deviceConformance("file with direct I/O", open({ direct: true }), { levels: withDirect });

/** A device on a fake disk, with its world. */
function withFake(
  body: (device: PromiseDevice, world: FakeWorld, raw: FileDevice) => Promise<void>,
): Promise<void> {
  return withReactor("fake", async ({ reactor, world }) => {
    assert.ok(world !== null);
    const raw = await FileDevice.open(reactor, { path: "/disk.img", sizeBytes: SIZE_BYTES });
    const device = new PromiseDevice(raw);
    await body(device, world, raw);
    await device.close();
  });
}

const EIO = { kind: "error", errno: Errno.EIO } as const;

test("file stays faulted after a failed flush, though the medium has recovered", () =>
  withFake(async (device, world) => {
    await device.writeAt(0, new Uint8Array(4096).fill(1));
    const fault = world.disk().faults.inject({ effect: EIO, operations: ["sync"], count: 1 });
    await assert.rejects(device.flush(), { code: "media-error" });
    assert.equal(fault.hits, 1);
    // The kernel would call a second fsync a success, although it has dropped the data.
    await assert.rejects(device.flush(), { code: "media-error" });
    await assert.rejects(device.readAt(0, 4096), { code: "media-error" });
    await assert.rejects(device.writeAt(0, new Uint8Array(512)), { code: "media-error" });
    assert.equal(fault.hits, 1);
  }));

test("file stays faulted after a failed durable write", () =>
  withFake(async (device, world) => {
    world.disk().faults.inject({ effect: EIO, operations: ["write"], count: 1 });
    const write = device.writeAt(0, new Uint8Array(4096).fill(1), { fua: true });
    await assert.rejects(write, { code: "media-error" });
    await assert.rejects(device.flush(), { code: "media-error" });
  }));

test("file stays faulted after a durable write that failed in whatever way", async () => {
  for (const errno of [Errno.ENODATA, Errno.ENOLINK, Errno.ETIMEDOUT, Errno.EROFS]) {
    await withFake(async (device, world) => {
      const effect = { kind: "error", errno } as const;
      world.disk().faults.inject({ effect, operations: ["write"], count: 1 });
      const write = device.writeAt(0, new Uint8Array(4096), { fua: true });
      await assert.rejects(write, { code: "media-error" }, `errno ${errno}`);
      await assert.rejects(device.flush(), { code: "media-error" });
    });
  }
});

test("file tells a full disk from a sync that found lost writes, after a durable write", () =>
  withFake(async (device, world) => {
    const effect = { kind: "error", errno: Errno.ENOSPC } as const;
    const write = () => device.writeAt(0, new Uint8Array(4096), { fua: true });
    const full = world.disk().faults.inject({ effect, operations: ["write"] });
    await assert.rejects(write(), { code: "no-space" });
    full.remove();
    await write();
    // Writing itself works: it was the sync that found no space, perhaps for an earlier write.
    world.disk().faults.inject({ effect, operations: ["write"], count: 1 });
    await assert.rejects(write(), { code: "media-error" });
    await assert.rejects(device.flush(), { code: "media-error" });
  }));

test("file lets nothing durable succeed that was under way when another sync failed", () =>
  withFake(async (device, world) => {
    const { faults } = world.disk();
    const late = { kind: "delay", delayMs: 100 } as const;
    await device.writeAt(0, new Uint8Array(4096).fill(1));
    faults.inject({ effect: EIO, operations: ["sync"], count: 1 });
    faults.inject({ effect: late, operations: ["sync"], count: 1 });
    faults.inject({ effect: late, operations: ["write"], count: 1 });
    const flushes = [device.flush(), device.flush()];
    const write = device.writeAt(8192, new Uint8Array(4096), { fua: true });
    const ends = await Promise.allSettled([...flushes, write]);
    for (const end of ends) {
      assert.equal(end.status === "rejected" && end.reason.code, "media-error");
    }
  }));

test("file goes on zeroing fast where only holes cannot be made", () =>
  withFake(async (device, world, raw) => {
    const effect = { kind: "error", errno: Errno.EOPNOTSUPP } as const;
    world.disk().faults.inject({ effect, operations: ["punch"] });
    await Promise.all([device.discard(0, 4096), device.discard(8192, 4096)]);
    const status = await new AwaitedRequest().run(raw, {
      operation: Operation.writeZeroes,
      length: 4096,
      flags: RequestFlag.fastZero,
    });
    assert.equal(status, Status.ok);
  }));

/** Moves `length` bytes, not at the start of anything, in all ways that may need a buffer. */
async function exchangeWithEmptyPool(place: TestReactor, options: Partial<FileOptions>) {
  const { reactor } = place;
  const device = await open(options)(place);
  const { buffers, io } = reactor;
  const taken = [];
  for (let one = buffers.acquire(4096); one !== null; one = buffers.acquire(4096)) {
    taken.push(one);
  }
  const length = 100 * 1024;
  const memory = io.slabs.allocate(4 * length);
  const data = memory.bytes.subarray(7, 7 + length);
  for (let index = 0; index < length; index++) data[index] = index % 251;
  const run = (operation: Operation, at: number, bytes: number): Promise<Status> => {
    const request = new AwaitedRequest();
    request.segments.push(memory.id, at, bytes);
    return request.run(device, { operation, offset: 512, length });
  };
  const { write, read, compare, compareAndWrite } = Operation;
  assert.equal(await run(write, 7, length), Status.ok);
  assert.equal(await run(read, 2 * length + 1, length), Status.ok);
  const back = memory.bytes.subarray(2 * length + 1, 3 * length + 1);
  assert.equal(Buffer.compare(data, back), 0);
  assert.equal(await run(compare, 7, length), Status.ok);
  // What is expected, then what is to be written.
  memory.bytes.fill(9, 7 + length, 7 + 2 * length);
  assert.equal(await run(compareAndWrite, 7, 2 * length), Status.ok);
  assert.equal(await run(compareAndWrite, 7, 2 * length), Status.compareFailed);
  assert.equal(await run(read, 2 * length + 1, length), Status.ok);
  assert.ok(back.every((byte) => byte === 9));
  for (const one of taken) one.release();
  await device.close();
  io.slabs.release(memory);
  assert.equal(buffers.heldBytes, 0);
}

for (const level of TEST_LEVELS) {
  test("file compares, piece by piece, when the pool is empty", () =>
    withReactor(level, (place) => exchangeWithEmptyPool(place, {})));
}
for (const level of withDirect) {
  test("file with direct I/O goes on, piece by piece, when the pool is empty", () =>
    withReactor(level, (place) => exchangeWithEmptyPool(place, { direct: true })));
}

test("file changes its instance id after a fault, and only then", () =>
  withReactor("fake", async ({ reactor, world }) => {
    assert.ok(world !== null);
    const openDisk = () => FileDevice.open(reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
    const first = await openDisk();
    await first.close();
    const second = await openDisk();
    assert.equal(second.info.instanceId, first.info.instanceId);
    world.disk().faults.inject({ effect: EIO, operations: ["sync"], count: 1 });
    const device = new PromiseDevice(second);
    await assert.rejects(device.flush(), { code: "media-error" });
    await device.close();
    const third = await openDisk();
    assert.notEqual(third.info.instanceId, first.info.instanceId);
    await third.close();
  }));

test("file's instance id tells of a fault before its process was killed", async () => {
  const world = new FakeWorld({ seed: 1 });
  const engine = world.process();
  const openDisk = (io: Io): Promise<FileDevice> =>
    FileDevice.open(new Reactor({ id: 0, io }), { path: "/d.img", sizeBytes: SIZE_BYTES });
  const first = await world.runUntil(openDisk(engine.io));
  world.disk().faults.inject({ effect: EIO, operations: ["sync"], count: 1 });
  await assert.rejects(world.runUntil(new PromiseDevice(first).flush()), { code: "media-error" });
  engine.kill();
  const second = await world.runUntil(openDisk(world.process().io));
  assert.notEqual(second.info.instanceId, first.info.instanceId);
});

test("file's faults in one world say nothing of another world's disk of the same identity", () =>
  withFake(async (device, world, raw) => {
    world.disk().faults.inject({ effect: EIO, operations: ["sync"], count: 1 });
    await assert.rejects(device.flush(), { code: "media-error" });
    await withFake(async (_device, otherWorld, otherRaw) => {
      assert.notEqual(otherWorld, world);
      assert.equal(otherRaw.info.instanceId, raw.info.instanceId);
    });
  }));

test("file tells where a read failed, and reads on elsewhere", () =>
  withFake(async (device, world) => {
    const range = { offset: 8192, length: 512 };
    world.disk().faults.inject({ effect: EIO, operations: ["read"], range });
    await assert.rejects(device.readAt(8192, 4096), { code: "media-error" });
    assert.equal((await device.readAt(0, 4096)).length, 4096);
  }));

test("file answers a full disk with no-space and goes on", () =>
  withFake(async (device, world) => {
    const effect = { kind: "error", errno: Errno.ENOSPC } as const;
    world.disk().faults.inject({ effect, operations: ["write"], count: 1 });
    await assert.rejects(device.writeAt(0, new Uint8Array(4096)), { code: "no-space" });
    await device.writeAt(0, new Uint8Array(4096).fill(3));
    assert.equal((await device.readAt(0, 512))[0], 3);
  }));

test("file keeps what was flushed, and what was written with FUA, over a power loss", () =>
  withFake(async (device, world) => {
    await device.writeAt(0, new Uint8Array(4096).fill(1));
    await device.flush();
    await device.writeAt(4096, new Uint8Array(4096).fill(2), { fua: true });
    await device.writeAt(8192, new Uint8Array(4096).fill(3));
    world.disk().powerLoss(0);
    const expected = Buffer.concat([fill(1), fill(2), fill(0)]);
    assert.equal(Buffer.compare(await device.readAt(0, 12_288), expected), 0);
  }));

test("file zeroes by writing where the file system can neither punch nor zero", () =>
  withFake(async (device, world) => {
    const effect = { kind: "error", errno: Errno.EOPNOTSUPP } as const;
    world.disk().faults.inject({ effect, operations: ["punch", "zero"] });
    await device.writeAt(0, new Uint8Array(3 * 1024 * 1024).fill(7));
    await device.discard(512, 2 * 1024 * 1024);
    await device.writeZeroes(2 * 1024 * 1024 + 512, 512, { fua: true });
    const bytes = await device.readAt(0, 3 * 1024 * 1024);
    const zeroEnd = 2 * 1024 * 1024 + 1024;
    assert.ok(bytes.subarray(0, 512).every((byte) => byte === 7));
    assert.ok(bytes.subarray(512, zeroEnd).every((byte) => byte === 0));
    assert.ok(bytes.subarray(zeroEnd).every((byte) => byte === 7));
  }));

test("file closes only when a hung operation has ended", () =>
  withFake(async (device, world, raw) => {
    const fault = world.disk().faults.inject({ effect: { kind: "hang" }, operations: ["write"] });
    const write = device.writeAt(0, new Uint8Array(512));
    let closed = false;
    const closing = raw.close().then(() => {
      closed = true;
    });
    await new Promise<void>((resolve) => {
      raw.reactor.clock.startTimer(60_000, resolve);
    });
    assert.equal(closed, false);
    fault.release();
    await write;
    await closing;
  }));

for (const level of real) {
  test(`file creates, grows and never cuts, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const path = `${folder}/grow-${level}.img`;
      const first = await FileDevice.open(reactor, { path, sizeBytes: 8192 });
      await first.close();
      assert.equal(statSync(path).size, 8192);
      const grown = await FileDevice.open(reactor, { path, sizeBytes: 16_384 });
      assert.equal(grown.info.sizeBytes, 16_384);
      await grown.close();
      const smaller = FileDevice.open(reactor, { path, sizeBytes: 4096 });
      await assert.rejects(smaller, { code: "size-mismatch", message: /16384.*4096/ });
      assert.equal(statSync(path).size, 16_384);
    }));

  test(`file refuses what is no disk, by name, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const odd = `${folder}/odd-${level}.img`;
      writeFileSync(odd, new Uint8Array(1000));
      const cases: readonly (readonly [FileOptions, string, RegExp])[] = [
        [{ path: odd }, "size-invalid", /odd.*1000/],
        [{ path: `${folder}/missing.img` }, "not-found", /missing\.img/],
        [{ path: folder }, "invalid-file", /./],
        [{ path: "/dev/zero" }, "invalid-file", /\/dev\/zero/],
        [
          { path: `${folder}/b.img`, sizeBytes: 4096, blockSizeBytes: 1024 },
          "block-size-invalid",
          /1024/,
        ],
      ];
      for (const [options, code, message] of cases) {
        await assert.rejects(FileDevice.open(reactor, options), { code, message }, options.path);
      }
      // A refused file is let go of: the next opener gets it.
      const again = await FileDevice.open(reactor, { path: odd, sizeBytes: 4096 });
      await again.close();
    }));

  test(`file names who holds it, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const path = `${folder}/held-${level}.img`;
      const options = { path, sizeBytes: 4096 };
      const first = await FileDevice.open(reactor, { ...options, holder: "pipe gold" });
      const second = FileDevice.open(reactor, options);
      await assert.rejects(second, { code: "claimed", message: /pipe gold/ });
      await first.close();
      const third = await FileDevice.open(reactor, options);
      await third.close();
    }));

  test(`file with shared=1 is there for two, who see each other's writes, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const options = { path: `${folder}/shared-${level}.img`, sizeBytes: 65_536, shared: true };
      const one = await FileDevice.open(reactor, options);
      const other = new PromiseDevice(await FileDevice.open(reactor, options));
      assert.deepEqual(one.describe(), { shared: true });
      // Nothing keeps the other one from writing between its two halves.
      assert.equal(one.operations.compareAndWrite, Support.refuse);
      const writer = new PromiseDevice(one);
      await writer.writeAt(4096, new Uint8Array(4096).fill(3));
      assert.ok((await other.readAt(4096, 4096)).every((byte) => byte === 3));
      await writer.close();
      await other.close();
    }));

  test(`file has every acknowledged write in the file at once, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const path = `${folder}/written-${level}.img`;
      const device = new PromiseDevice(await FileDevice.open(reactor, { path, sizeBytes: 65_536 }));
      await device.writeAt(512, new Uint8Array(1024).fill(9));
      const content = readFileSync(path);
      assert.equal(content.length, 65_536);
      assert.ok(content.subarray(512, 1536).every((byte) => byte === 9));
      assert.equal(content[511], 0);
      await device.close();
    }));
}

function fill(value: number): Buffer {
  return Buffer.alloc(4096, value);
}
