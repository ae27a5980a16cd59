// Tests of the promise API: pieces, back-pressure, errors, closing, on every level.

import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { MallocDevice } from "../devices/malloc.ts";
import { NullDevice } from "../devices/null.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { Prng } from "../util/prng.ts";
import { AlignedMemory } from "./aligned-memory.ts";
import { DeviceError } from "./device-error.ts";
import { ExtentFlag } from "./extents.ts";
import { PENDING_CALLS_MAX, PromiseDevice, READ_BYTES_MAX } from "./promise-device.ts";
import { Status } from "./status.ts";

const MIB = 1024 * 1024;
const HOLE = ExtentFlag.hole | ExtentFlag.zero;

async function openMalloc({ reactor }: TestReactor, sizeBytes = 8 * MIB): Promise<PromiseDevice> {
  const instanceId = "11111111-2222-4333-8444-555555555555";
  return new PromiseDevice(await MallocDevice.open(reactor, { name: "t", sizeBytes, instanceId }));
}

function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  new Prng("noise").fill(bytes);
  return bytes;
}

for (const level of TEST_LEVELS) {
  test(`10,000 reads at once end when nothing else happens, at ${level}`, () =>
    withReactor(level, async (place) => {
      const device = await openMalloc(place);
      const data = noise(4096);
      await device.writeAt(4096, data);
      const reads = Array.from({ length: 10_000 }, (_, index) =>
        device.readAt((index % 2) * 4096, 4096),
      );
      const all = await Promise.all(reads);
      for (const [index, bytes] of all.entries()) {
        deepStrictEqual(bytes, index % 2 === 0 ? new Uint8Array(4096) : data);
      }
      await device.close();
    }));

  test(`one call far over maxTransfer is cut and joined, at ${level}`, () =>
    withReactor(level, async (place) => {
      const device = await openMalloc(place);
      const data = noise(5 * MIB + 512);
      await device.writeAt(512, data, { fua: true });
      await device.flush();
      const target = new Uint8Array(data.length);
      strictEqual(await device.readAt(512, target), target);
      strictEqual(Buffer.compare(target, data), 0);
      strictEqual(Buffer.compare(await device.readAt(512, data.length), data), 0);
      await device.compare(512, data);
      await device.close();
    }));

  test(`calls share the smallest pool when it is far too small, at ${level}`, () =>
    withReactor(
      level,
      async (place) => {
        const device = await openMalloc(place);
        const { buffers } = place.reactor;
        const data = noise(8 * MIB);
        const writes = Array.from({ length: 16 }, (_, index) => {
          const at = index * (MIB / 2);
          return device.writeAt(at, data.subarray(at, at + MIB / 2));
        });
        ok(buffers.heldBytes <= MIB);
        await Promise.all(writes);
        // Others hold all that is left: the reserve alone carries it.
        const held = [];
        for (let size = MIB; size >= 4096; size /= 2) {
          for (let got = buffers.acquire(size); got !== null; got = buffers.acquire(size)) {
            held.push(got);
          }
        }
        strictEqual(buffers.heldBytes, MIB);
        strictEqual(Buffer.compare(await device.readAt(0, 8 * MIB), data), 0);
        for (const buffer of held) buffer.release();
        await device.close();
        strictEqual(buffers.heldBytes, 0);
      },
      { bufferLimitBytes: MIB },
    ));
}

test("errors are DeviceErrors that say what was asked when a call fails", () =>
  withReactor("fake", async (place) => {
    const device = await openMalloc(place);
    await rejects(device.readAt(8 * MIB, 512), (error) => {
      ok(error instanceof DeviceError);
      strictEqual(error.code, "out-of-range");
      strictEqual(error.status, Status.outOfRange);
      strictEqual(error.retryable, false);
      strictEqual(
        error.message,
        "read of 512 bytes at 8388608 on malloc:///t?size=8MiB: out-of-range",
      );
      deepStrictEqual(error.details, {
        device: "malloc:///t?size=8MiB",
        operation: "read",
        offset: 8 * MIB,
        length: 512,
        errorOffset: -1,
      });
      return true;
    });
    const failing: readonly [call: () => Promise<unknown>, code: string][] = [
      [() => device.readAt(1, 512), "misaligned"],
      [() => device.readAt(0, 100), "misaligned"],
      [() => device.readAt(0, 0), "invalid"],
      [() => device.readAt(0, -512), "invalid"],
      [() => device.readAt(Number.NaN, 512), "invalid"],
      [() => device.readAt(0, 16 * MIB), "out-of-range"],
      [() => device.readAt(0, READ_BYTES_MAX + 512), "length-too-large"],
      [() => device.writeAt(512, new Uint8Array(8 * MIB)), "out-of-range"],
      [() => device.writeAt(0, new Uint8Array(MIB + 1)), "misaligned"],
      [() => device.discard(0, 16 * MIB), "out-of-range"],
      [() => device.writeZeroes(3, 512), "misaligned"],
      [() => device.blockStatus(0, 0), "invalid"],
    ];
    for (const [call, code] of failing) await rejects(call(), { code }, `${call}`);
    deepStrictEqual(await device.blockStatus(0, 8 * MIB), [
      { offset: 0, length: 8 * MIB, flags: HOLE },
    ]);
    await device.close();
  }));

test("compare names the first difference in the whole call when several pieces differ", () =>
  withReactor("fake", async (place) => {
    const device = await openMalloc(place);
    const data = noise(4 * MIB);
    await device.writeAt(0, data);
    const other = data.slice();
    for (const at of [4 * MIB - 1, 2 * MIB + 77]) other[at] = (other[at] as number) ^ 1;
    await rejects(device.compare(0, other), (error) => {
      ok(error instanceof DeviceError);
      strictEqual(error.code, "compare-failed");
      strictEqual(error.details.errorOffset, 2 * MIB + 77);
      return true;
    });
    await device.close();
  }));

test("discard, writeZeroes and blockStatus take any length when the device does", () =>
  withReactor("fake", async (place) => {
    const device = await openMalloc(place);
    await device.writeAt(0, noise(8 * MIB));
    await device.discard(0, 3 * MIB);
    await device.writeZeroes(5 * MIB, 2 * MIB, { fua: true });
    deepStrictEqual(await device.blockStatus(MIB, 7 * MIB), [
      { offset: MIB, length: 2 * MIB, flags: HOLE },
      { offset: 3 * MIB, length: 2 * MIB, flags: 0 },
      { offset: 5 * MIB, length: 2 * MIB, flags: HOLE },
      { offset: 7 * MIB, length: MIB, flags: 0 },
    ]);
    deepStrictEqual(await device.readAt(2 * MIB, MIB), new Uint8Array(MIB));
    await device.close();
  }));

test("blockStatus goes on when one answer is full", () =>
  withReactor("fake", async (place) => {
    const chunk = 64 * 1024;
    const count = 10_000;
    const device = await openMalloc(place, count * chunk);
    for (let index = 0; index < count; index += 2) await device.writeAt(index * chunk, noise(512));
    const extents = await device.blockStatus(0, count * chunk);
    strictEqual(extents.length, count);
    for (const [index, extent] of extents.entries()) {
      const flags = index % 2 === 0 ? 0 : HOLE;
      deepStrictEqual(extent, { offset: index * chunk, length: chunk, flags });
    }
    await device.close();
  }));

test("unsupported is the error when the device refuses an operation", () =>
  withReactor("fake", async ({ reactor }) => {
    const device = new PromiseDevice(await NullDevice.open(reactor, { name: "n", sizeBytes: MIB }));
    await rejects(device.compare(0, new Uint8Array(512)), { code: "unsupported" });
    await device.close();
  }));

test("close ends what runs and refuses what waits, and what comes later", () =>
  withReactor(
    "fake",
    async (place) => {
      const device = await openMalloc(place);
      const calls = Array.from({ length: 20 }, () => device.readAt(0, MIB / 2));
      const outcomes = Promise.allSettled(calls);
      const closed = device.close();
      strictEqual(device.close(), closed);
      await closed;
      const codes = (await outcomes).map((outcome) =>
        outcome.status === "fulfilled" ? "ok" : (outcome.reason as DeviceError).code,
      );
      strictEqual(codes[0], "ok");
      strictEqual(codes.at(-1), "not-ready");
      deepStrictEqual(new Set(codes), new Set(["ok", "not-ready"]));
      await rejects(device.readAt(0, 512), { code: "not-ready" });
      await rejects(device.flush(), { code: "not-ready" });
      strictEqual(place.reactor.buffers.heldBytes, 0);
    },
    { bufferLimitBytes: MIB },
  ));

test("calls are refused when too many have not ended", () =>
  withReactor("fake", async (place) => {
    const device = await openMalloc(place);
    const flushes = Array.from({ length: PENDING_CALLS_MAX }, () => device.flush());
    await rejects(device.flush(), { code: "too-many-calls", retryable: true });
    await Promise.all(flushes);
    await device.flush();
    await device.close();
  }));

test("a PromiseDevice is refused when the pool has no buffer for its reserve", () =>
  withReactor(
    "fake",
    async ({ reactor }) => {
      const device = await NullDevice.open(reactor, { name: "n", sizeBytes: MIB });
      const all = reactor.buffers.acquire(MIB);
      await rejects(async () => new PromiseDevice(device), { code: "out-of-buffers" });
      all?.release();
      await new PromiseDevice(device).close();
    },
    { bufferLimitBytes: MIB },
  ));

for (const level of TEST_LEVELS) {
  test(`bytes of AlignedMemory move without a buffer of the pool, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const memory = new AlignedMemory(reactor.io.slabs, { limitBytes: 8 * MIB });
      const instanceId = "11111111-2222-4333-8444-555555555555";
      const settings = { name: "t", sizeBytes: 8 * MIB, instanceId };
      const device = new PromiseDevice(await MallocDevice.open(reactor, settings), memory);
      const own = memory.allocate(3 * MIB - 512);
      strictEqual(memory.allocatedBytes, 4 * MIB);
      own.set(noise(own.length));
      const before = reactor.buffers.heldBytes;
      const write = device.writeAt(512, own);
      strictEqual(reactor.buffers.heldBytes, before);
      throws(() => memory.free(own.buffer), { code: "buffer-in-use" });
      await write;
      deepStrictEqual(await device.readAt(512, own.length), own);
      const part = memory.allocate(8192);
      strictEqual(await device.readAt(512, part), part);
      deepStrictEqual(part, own.subarray(0, 8192));
      // Where a page does not begin, bytes are copied; the answer is the same.
      const odd = part.subarray(512, 1536);
      await device.readAt(512, odd);
      deepStrictEqual(odd, own.subarray(0, 1024));
      throws(() => memory.allocate(4 * MIB), {
        code: "out-of-memory",
        message: /4202496 of 8388608/,
      });
      memory.free(own.buffer);
      memory.free(own.buffer);
      const again = memory.allocate(4 * MIB);
      ok(again.every((byte) => byte === 0));
      memory.freeAll();
      strictEqual(memory.allocatedBytes, 0);
      await device.close();
    }));

  test(`a buffer that goes away during its call fails that call only, at ${level}`, () =>
    withReactor(
      level,
      async (place) => {
        const device = await openMalloc(place);
        const data = noise(4 * MIB);
        const leaving = new Uint8Array(data);
        const target = new Uint8Array(8192);
        // More than the pool holds: its last part is copied later than the call.
        const write = device.writeAt(0, leaving);
        const read = device.readAt(4 * MIB, target);
        structuredClone(leaving.buffer, { transfer: [leaving.buffer] });
        structuredClone(target.buffer, { transfer: [target.buffer] });
        await rejects(write, { code: "buffer-changed", message: /of 4194304 bytes/ });
        await rejects(read, { code: "buffer-changed" });
        await device.writeAt(0, data);
        strictEqual(Buffer.compare(await device.readAt(0, data.length), data), 0);
        await device.close();
        strictEqual(place.reactor.buffers.heldBytes, 0);
      },
      { bufferLimitBytes: MIB },
    ));
}
