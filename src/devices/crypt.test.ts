// Tests of crypt: the suite of every device over malloc and file, and what only crypt promises.

import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { after, test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import type { Device } from "../block/device.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import { Joint } from "../block/joint.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { MemoryPin, Request } from "../block/request.ts";
import { copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { Status } from "../block/status.ts";
import { BUFFER_BYTES_MAX, type PoolBuffer } from "../reactor/buffer-pool.ts";
import { Errno } from "../reactor/errno.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../reactor/test-reactor.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Prng } from "../util/prng.ts";
import { CryptFilter, type CryptOptions } from "./crypt.ts";
import { FileDevice } from "./file.ts";
import { MallocDevice } from "./malloc.ts";

const SIZE_BYTES = 16 * 1024 * 1024 + 4096;
const folder = makeTempDir({ after });
let files = 0;
type OpenBelow = (test: TestReactor) => Promise<Device>;

const malloc: OpenBelow = ({ reactor }) =>
  MallocDevice.open(reactor, {
    name: "below",
    sizeBytes: SIZE_BYTES,
    instanceId: "11111111-2222-4333-8444-555555555555",
  });

const file: OpenBelow = ({ reactor }) =>
  FileDevice.open(reactor, { path: `${folder}/${files++}.img`, sizeBytes: SIZE_BYTES });

const KEY = new Uint8Array(64).map((_, index) => index);

function optionsOf(extra: Partial<CryptOptions> = {}): CryptOptions {
  return {
    name: "crypt?key=file:/etc/k",
    sectorBytes: 512,
    ivLargeSectors: false,
    skipBytes: 0,
    discard: "zeroes",
    readKey: async () => KEY.slice(),
    ...extra,
  };
}

/** Full of encrypted zeroes, as the suite wants to find it. */
function zeroed(openBelow: OpenBelow, extra: Partial<CryptOptions> = {}): OpenBelow {
  return async (place) => {
    const below = await openBelow(place);
    const device = await CryptFilter.open(new Joint(below), optionsOf(extra));
    const { sizeBytes: length } = below.info;
    const operation = Operation.writeZeroes;
    strictEqual(await new AwaitedRequest().run(device, { operation, length }), Status.ok);
    return device;
  };
}

const real = TEST_LEVELS.filter((level) => level !== "fake");
const isLong = process.env.PENSTOCK_LONG === "1";

deviceConformance("crypt of 512-byte sectors over malloc", zeroed(malloc));
deviceConformance("crypt of 4096-byte sectors over malloc", zeroed(malloc, { sectorBytes: 4096 }));
deviceConformance(
  "crypt without discard, counting large sectors, over file",
  zeroed(file, { sectorBytes: 4096, ivLargeSectors: true, discard: "refuse" }),
  { levels: isLong ? real : real.filter((level) => level === "portable") },
);
deviceConformance("crypt of 512-byte sectors over file", zeroed(file), {
  levels: isLong ? TEST_LEVELS : TEST_LEVELS.filter((level) => level === "uring"),
});

/** What dm-crypt would store of `plain` at `offset`, worked out sector by sector. */
function sealed(plain: Uint8Array, offset: number, options: CryptOptions): Buffer {
  const { sectorBytes, ivLargeSectors, skipBytes } = options;
  const parts: Buffer[] = [];
  for (let at = 0; at < plain.length; at += sectorBytes) {
    const iv = Buffer.alloc(16);
    const sector = (offset + at + skipBytes) / (ivLargeSectors ? sectorBytes : 512);
    iv.writeBigUInt64LE(BigInt(sector), 0);
    const cipher = createCipheriv("aes-256-xts", KEY, iv);
    parts.push(cipher.update(plain.subarray(at, at + sectorBytes)));
  }
  return Buffer.concat(parts);
}

function noise(prng: Prng, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  prng.fill(bytes);
  return bytes;
}

const FORMATS: readonly Partial<CryptOptions>[] = [
  { sectorBytes: 512 },
  { sectorBytes: 4096 },
  { sectorBytes: 4096, ivLargeSectors: true },
  { sectorBytes: 512, skipBytes: 512 * 77 },
  { sectorBytes: 4096, skipBytes: 2 ** 43 },
  { sectorBytes: 4096, ivLargeSectors: true, skipBytes: 4096 * 5 },
];

/** Points the request at pieces of `memory`: any lengths, any places, in any order. */
function scatter(prng: Prng, request: Request, memory: { id: number }, length: number): void {
  const cuts = new Set<number>([0, length]);
  const wanted = 1 + prng.below(prng.pick([1, 3, 20, 256]));
  while (cuts.size <= Math.min(wanted, length)) cuts.add(1 + prng.below(length - 1));
  const places = [...cuts].sort((a, b) => a - b);
  const lengths = places.slice(1).map((end, index) => end - (places[index] as number));
  // From the end of the memory to its beginning, with gaps.
  let at = 2 * length + 256 * 64;
  request.segments.clear();
  for (const each of lengths) {
    at -= each + prng.below(32);
    request.segments.push(memory.id, at, each);
  }
}

for (const level of TEST_LEVELS) {
  test(`crypt stores what dm-crypt would, from and to any memory, at ${level}`, () =>
    withReactor(level, async (place) => {
      const { reactor, seed } = place;
      const prng = new Prng(seed);
      const { slabs } = reactor.io;
      const memory = slabs.allocate(1024 * 1024);
      for (const format of FORMATS) {
        const options = optionsOf(format);
        const below = await malloc(place);
        const raw = new PromiseDevice(below);
        const device = await CryptFilter.open(new Joint(below), options);
        strictEqual(device.info.blockSizeBytes, options.sectorBytes);
        for (let round = 0; round < 12; round++) {
          const length = (1 + prng.below(6)) * 4096;
          const offset = prng.below((SIZE_BYTES - length) / 4096) * 4096;
          const plain = noise(prng, length);
          const request = new AwaitedRequest();
          scatter(prng, request, memory, length);
          copyToSegments(slabs, request.segments, 0, plain, 0, length);
          const before = memory.bytes.slice();
          const ask = { operation: Operation.write, offset, length };
          strictEqual(await request.run(device, ask), Status.ok);
          strictEqual(Buffer.compare(memory.bytes, before), 0, "the memory of a write stays");
          const stored = await raw.readAt(offset, length);
          const expected = sealed(plain, offset, options);
          strictEqual(Buffer.compare(stored, expected), 0, JSON.stringify(format));
          scatter(prng, request, memory, length);
          strictEqual(await request.run(device, { ...ask, operation: Operation.read }), Status.ok);
          const found = new Uint8Array(length);
          copyFromSegments(slabs, request.segments, 0, found, 0, length);
          strictEqual(Buffer.compare(found, plain), 0, JSON.stringify(format));
        }
        await device.close();
        await raw.close();
      }
      slabs.release(memory);
    }));

  test(`crypt goes on with its reserve while all other memory is taken, at ${level}`, () =>
    withReactor(
      level,
      async (place) => {
        const { reactor } = place;
        const below = await malloc(place);
        const device = await CryptFilter.open(new Joint(below), optionsOf({ sectorBytes: 4096 }));
        const slab = reactor.io.slabs.allocate(1024 * 1024);
        slab.bytes.fill(7);
        const taken = takeAll(reactor);
        const whole = { operation: Operation.writeZeroes, length: SIZE_BYTES };
        const zeroing = new AwaitedRequest().run(device, whole);
        const writes = Array.from({ length: 20 }, (_, index) => {
          const request = new AwaitedRequest();
          request.segments.push(slab.id, 0, slab.lengthBytes);
          const offset = index % 2 === 0 ? 0 : 8 * 1024 * 1024;
          const ask = { operation: Operation.write, offset, length: slab.lengthBytes };
          return request.run(device, ask);
        });
        const statuses = await Promise.all([zeroing, ...writes]);
        ok(statuses.every((status) => status === Status.ok));
        const compare = new AwaitedRequest();
        compare.segments.push(slab.id, 0, slab.lengthBytes);
        const { length } = slab.bytes;
        const ask = { operation: Operation.write, offset: 0, length };
        strictEqual(await compare.run(device, ask), Status.ok);
        const again = { ...ask, operation: Operation.compare };
        strictEqual(await compare.run(device, again), Status.ok);
        for (const buffer of taken) buffer.release();
        await device.close();
        strictEqual(reactor.buffers.heldBytes, 0);
        await below.close();
      },
      { bufferLimitBytes: 2 * BUFFER_BYTES_MAX },
    ));

  test(`crypt is encrypted by the level's own means, at ${level}`, () =>
    withReactor(level, async (place) => {
      const below = await malloc(place);
      const device = await CryptFilter.open(new Joint(below), optionsOf());
      const { encryptedBy } = device.describe();
      const isNative = level === "uring" || level === "posix";
      strictEqual(encryptedBy, isNative ? "openssl" : "node");
      await device.close();
      await below.close();
    }));
}

function takeAll({ buffers }: Reactor): PoolBuffer[] {
  const taken: PoolBuffer[] = [];
  for (let length = BUFFER_BYTES_MAX; length >= 4096; length /= 2) {
    for (let each = buffers.acquire(length); each !== null; each = buffers.acquire(length)) {
      taken.push(each);
    }
  }
  return taken;
}

/** Runs `body` with a crypt over malloc at the fake level, and both as promise devices. */
function withCrypt(
  extra: Partial<CryptOptions>,
  body: (parts: { device: PromiseDevice; below: PromiseDevice }) => Promise<void>,
): Promise<void> {
  return withReactor("fake", async (place) => {
    const below = new PromiseDevice(await malloc(place));
    const crypt = await CryptFilter.open(new Joint(below.device), optionsOf(extra));
    const device = new PromiseDevice(crypt);
    await body({ device, below });
    await device.close();
    await below.close();
  });
}

test("crypt with another key reads noise", () =>
  withCrypt({ sectorBytes: 4096 }, async ({ device, below }) => {
    await device.writeAt(0, new Uint8Array(64 * 1024));
    const readKey = async () => KEY.map((byte) => byte ^ 1);
    const joint = new Joint(below.device);
    const other = new PromiseDevice(
      await CryptFilter.open(joint, optionsOf({ sectorBytes: 4096, readKey })),
    );
    const bytes = await other.readAt(0, 64 * 1024);
    const counts = new Map<number, number>();
    for (const byte of bytes) counts.set(byte, (counts.get(byte) ?? 0) + 1);
    strictEqual(counts.size, 256);
    ok(
      [...counts.values()].every((count) => count < 512),
      "no byte stands out",
    );
    await other.close();
  }));

test("crypt lets no zeroes and no holes through", () =>
  withCrypt({}, async ({ device, below }) => {
    const length = 128 * 1024;
    await device.writeZeroes(0, length);
    await device.discard(length, length);
    const zeroes = new Uint8Array(2 * length);
    strictEqual(Buffer.compare(await device.readAt(0, 2 * length), zeroes), 0);
    const expected = sealed(zeroes, 0, optionsOf());
    strictEqual(Buffer.compare(await below.readAt(0, 2 * length), expected), 0);
    deepStrictEqual(await device.blockStatus(0, SIZE_BYTES), [
      { offset: 0, length: SIZE_BYTES, flags: 0 },
    ]);
    // What was never written is noise, whatever is known of it below.
    const never = await device.readAt(8 * 1024 * 1024, 4096);
    notStrictEqual(Buffer.compare(never, new Uint8Array(4096)), 0);
  }));

test("crypt zeroes a short range while a long one is still being written", () =>
  withReactor("fake", async (place) => {
    const below = await file(place);
    const device = await CryptFilter.open(new Joint(below), optionsOf());
    const ends: string[] = [];
    const zero = async (name: string, offset: number, length: number): Promise<void> => {
      const ask = { operation: Operation.writeZeroes, offset, length };
      strictEqual(await new AwaitedRequest().run(device, ask), Status.ok);
      ends.push(name);
    };
    const all = [zero("long", 0, 8 * 1024 * 1024), zero("short", 8 * 1024 * 1024, 4096)];
    ok(place.reactor.buffers.heldBytes <= 2 * 1024 * 1024, "bounded, however long the range");
    await Promise.all(all);
    deepStrictEqual(ends, ["short", "long"]);
    await device.close();
    await below.close();
  }));

test("crypt answers the first failure below, once, and goes on", () =>
  withReactor("fake", async (place) => {
    const { world } = place;
    ok(world !== null);
    const below = await FileDevice.open(place.reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
    const device = await CryptFilter.open(new Joint(below), optionsOf({ sectorBytes: 4096 }));
    const effect = { kind: "error", errno: Errno.EIO } as const;
    const range = { offset: 3 * 1024 * 1024 + 8192, length: 4096 };
    world.disk().faults.inject({ effect, operations: ["write"], range, count: 1 });
    const zeroing = new AwaitedRequest();
    const ask = { operation: Operation.writeZeroes, length: 8 * 1024 * 1024 };
    strictEqual(await zeroing.run(device, ask), Status.mediaError);
    ok(zeroing.errorOffset >= 3 * 1024 * 1024 && zeroing.errorOffset <= range.offset);
    strictEqual(await zeroing.run(device, ask), Status.ok);
    await device.close();
    await below.close();
    strictEqual(place.reactor.buffers.heldBytes, 0);
  }));

/** Answers writes while it still uses their memory, as a mirror does whose leg hangs. */
class HangingFilter extends Filter {
  readonly pins: { readonly pin: MemoryPin; readonly at: number; readonly bytes: Uint8Array }[] =
    [];

  constructor(below: Joint) {
    super(below, filterInfo(below, "hanging", "hanging"), passAll(below));
  }

  protected override start(request: Request): void {
    if (request.operation === Operation.write && request.canPin) {
      const { segments } = request;
      const { bytes } = this.reactor.io.slabs.get(segments.slabId(0));
      const memory = bytes.subarray(segments.offset(0), segments.offset(0) + request.length);
      this.pins.push({ pin: request.pinMemory(), at: request.offset, bytes: memory });
    }
    this.pass(request);
  }
}

test("crypt leaves the memory of a write to who still needs it", () =>
  withReactor("fake", async (place) => {
    const below = await malloc(place);
    const hanging = new HangingFilter(new Joint(below));
    const device = new PromiseDevice(await CryptFilter.open(new Joint(hanging), optionsOf()));
    const prng = new Prng(place.seed);
    const written = Array.from({ length: 16 }, () => noise(prng, 8192));
    for (const [index, bytes] of written.entries()) await device.writeAt(index * 8192, bytes);
    strictEqual(hanging.pins.length, written.length);
    for (const [index, { bytes, at, pin }] of hanging.pins.entries()) {
      const expected = sealed(written[index] as Uint8Array, at, optionsOf());
      strictEqual(Buffer.compare(bytes, expected), 0, `write ${index}`);
      pin.release();
    }
    await device.close();
    strictEqual(place.reactor.buffers.heldBytes, 0);
    await below.close();
  }));

test("crypt shows its key nowhere and wipes what it was given", () =>
  withReactor("fake", async (place) => {
    const below = await malloc(place);
    const given = KEY.slice();
    const device = await CryptFilter.open(
      new Joint(below),
      optionsOf({ readKey: async () => given }),
    );
    ok(given.every((byte) => byte === 0));
    const shown = JSON.stringify([device.info, device.describe()]);
    const key = Buffer.from(KEY);
    for (const encoding of ["hex", "base64", "latin1"] as const) {
      ok(!shown.includes(key.toString(encoding).slice(0, 16)), encoding);
    }
    await device.close();
    await below.close();
  }));

test("crypt refuses a device of no whole number of its sectors, before it asks for a key", () =>
  withReactor("fake", async ({ reactor }) => {
    const sizeBytes = 1024 * 1024 + 512;
    const instanceId = "11111111-2222-4333-8444-555555555555";
    const below = await MallocDevice.open(reactor, { name: "odd", sizeBytes, instanceId });
    let asked = 0;
    const readKey = async () => {
      asked++;
      throw new Error("no key");
    };
    const open = (extra: Partial<CryptOptions>) =>
      CryptFilter.open(new Joint(below), optionsOf({ readKey, ...extra }));
    const refusal = { code: "size-invalid", message: /1049088 bytes.*sector=4096/ };
    await rejects(open({ sectorBytes: 4096 }), refusal);
    await rejects(open({ skipBytes: 2 ** 53 - 512 }), { code: "size-invalid" });
    strictEqual(asked, 0);
    await rejects(open({}), { message: "no key" });
    strictEqual(asked, 1);
    strictEqual(reactor.buffers.heldBytes, 0, "a refused opening keeps nothing");
    await below.close();
  }));

test("crypt has the larger of both block sizes", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const [blockSizeBytes, sectorBytes, expected] of [
      [512, 512, 512],
      [512, 4096, 4096],
      [4096, 512, 4096],
      [4096, 4096, 4096],
    ] as const) {
      const instanceId = "11111111-2222-4333-8444-555555555555";
      const options = { name: "x", sizeBytes: SIZE_BYTES, instanceId, blockSizeBytes };
      const below = await MallocDevice.open(reactor, options);
      const device = await CryptFilter.open(new Joint(below), optionsOf({ sectorBytes }));
      strictEqual(device.info.blockSizeBytes, expected);
      strictEqual(device.info.lendsReads, false);
      await device.close();
      await below.close();
    }
  }));

test("crypt offers what the device below can be asked for", () =>
  withReactor("fake", async (place) => {
    const below = await malloc(place);
    const open = async (operations: Partial<Device["operations"]>) => {
      const limited = new LimitedFilter(new Joint(below), operations);
      const { operations: offered } = await CryptFilter.open(new Joint(limited), optionsOf());
      return offered;
    };
    const plain = await open({ discard: "refuse", writeZeroes: "refuse", compare: "refuse" });
    deepStrictEqual(
      [plain.discard, plain.writeZeroes, plain.compare, plain.blockStatus],
      ["translate", "translate", "translate", "translate"],
    );
    // Atomic for all who use the device below, or not at all.
    strictEqual((await open({ compareAndWrite: "refuse" })).compareAndWrite, "refuse");
    const fixed = await open({ write: "refuse" });
    deepStrictEqual([fixed.write, fixed.discard, fixed.writeZeroes], Array(3).fill("refuse"));
    await below.close();
  }));

class LimitedFilter extends Filter {
  constructor(below: Joint, operations: Partial<Device["operations"]>) {
    super(below, filterInfo(below, "limited", "x"), { ...passAll(below), ...operations });
  }

  protected override start(request: Request): void {
    this.pass(request);
  }
}

test("crypt refuses zeroes that must be fast, and takes the flag of durable ones along", () =>
  withReactor("fake", async (place) => {
    const { world } = place;
    ok(world !== null);
    const below = await FileDevice.open(place.reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
    const device = await CryptFilter.open(new Joint(below), optionsOf());
    const zero = { operation: Operation.writeZeroes, length: 1024 * 1024 };
    const fast = { ...zero, flags: RequestFlag.fastZero };
    strictEqual(await new AwaitedRequest().run(device, fast), Status.unsupported);
    const durable = { ...zero, flags: RequestFlag.fua };
    strictEqual(await new AwaitedRequest().run(device, durable), Status.ok);
    world.disk().powerLoss(0);
    const found = await new PromiseDevice(device).readAt(0, 1024 * 1024);
    ok(found.every((byte) => byte === 0));
    await device.close();
    await below.close();
  }));
