// Tests of fault: the conformance suite while it is inert, every kind of fault of every operation,
// and that a flipped byte is never where anybody else sees it.

import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { deviceConformance } from "../block/conformance.ts";
import { Filter, filterInfo, passAll } from "../block/filter.ts";
import { Joint } from "../block/joint.ts";
import { Operation, OPERATION_NAMES, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { Status, statusName } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { sleep, type TimedAsk, TimedRequest } from "../testing/timed-load.ts";
import { Prng } from "../util/prng.ts";
import {
  FaultFilter,
  type FaultKind,
  type FaultSettings,
  KINDS_OF_OPERATION,
  NO_FAULTS,
} from "./fault.ts";
import { MallocDevice } from "./malloc.ts";

const MIB = 2 ** 20;
const LENGTH = 16 * 512;
const OFFSET = MIB + 512;
const OLD = 1;
const NEW = 2;

const SETTINGS: FaultSettings = {
  kinds: NO_FAULTS,
  status: Status.mediaError,
  range: null,
  count: Number.POSITIVE_INFINITY,
  probability: 1,
  seed: undefined,
};

function kindsOf(faults: Partial<Record<keyof typeof Operation, FaultKind>>): FaultKind[] {
  const kinds = [...NO_FAULTS];
  for (const [name, kind] of Object.entries(faults)) {
    kinds[Operation[name as keyof typeof Operation]] = kind;
  }
  return kinds;
}

/** Notes what comes through. */
class WatchingFilter extends Filter {
  readonly seen: Operation[] = [];

  constructor(below: Joint) {
    super(below, filterInfo(below, "watching", "watching"), passAll(below));
  }

  protected override start(request: Request): void {
    this.seen.push(request.operation);
    this.pass(request);
  }
}

interface Rig {
  readonly reactor: Reactor;
  readonly malloc: MallocDevice;
  readonly watching: WatchingFilter;
  readonly fault: FaultFilter;
}

async function openMalloc(reactor: Reactor, blockSizeBytes = 512): Promise<MallocDevice> {
  const instanceId = "11111111-2222-4333-8444-555555555555";
  return MallocDevice.open(reactor, { name: "x", sizeBytes: 16 * MIB, instanceId, blockSizeBytes });
}

function withFaults(
  settings: Partial<FaultSettings>,
  body: (rig: Rig) => Promise<void>,
  { blockSizeBytes = 512, bufferLimitBytes = 64 * MIB } = {},
): Promise<void> {
  const run = async (reactor: Reactor): Promise<void> => {
    const malloc = await openMalloc(reactor, blockSizeBytes);
    await write(malloc, 0, new Uint8Array(MIB).fill(OLD));
    await write(malloc, MIB, new Uint8Array(MIB).fill(OLD));
    const watching = new WatchingFilter(new Joint(malloc));
    const all = { ...SETTINGS, ...settings };
    const fault = new FaultFilter(new Joint(watching), "fault", all, "test");
    const heldBytes = reactor.buffers.heldBytes;
    await body({ reactor, malloc, watching, fault });
    await fault.close();
    await malloc.close();
    strictEqual(reactor.buffers.heldBytes, heldBytes, "all copies are given back");
  };
  return withReactor("fake", ({ reactor }) => run(reactor), { bufferLimitBytes });
}

async function write(device: MallocDevice, offset: number, data: Uint8Array): Promise<void> {
  const { status } = await requestOf(device.reactor, {
    operation: Operation.write,
    offset,
    data,
  }).run(device);
  strictEqual(status, Status.ok);
}

async function contentOf(device: MallocDevice, offset: number, length: number) {
  const request = await new TimedRequest(device.reactor, { offset, length }).run(device);
  strictEqual(request.status, Status.ok);
  return bytesOf(device.reactor, request);
}

function bytesOf(reactor: Reactor, { segments }: Request): Uint8Array {
  const bytes = new Uint8Array(segments.lengthBytes);
  copyFromSegments(reactor.io.slabs, segments, 0, bytes, 0, bytes.length);
  return bytes;
}

/** `data`, else: writes write NEW, compares expect OLD. */
function requestOf(reactor: Reactor, ask: TimedAsk & { data?: Uint8Array }): TimedRequest {
  const { operation = Operation.read, data } = ask;
  const length = data?.length ?? ask.length ?? LENGTH;
  const request = new TimedRequest(reactor, { offset: OFFSET, ...ask, length });
  const bytes = data ?? new Uint8Array(request.segments.lengthBytes);
  if (data === undefined) {
    bytes.fill(operation === Operation.write ? NEW : OLD);
    if (operation === Operation.compareAndWrite) bytes.fill(NEW, length);
  }
  copyToSegments(reactor.io.slabs, request.segments, 0, bytes, 0, bytes.length);
  return request;
}

function differences(one: Uint8Array, other: Uint8Array): number[] {
  return [...one.keys()].filter((index) => one[index] !== other[index]);
}

deviceConformance("fault without faults", async ({ reactor }) => {
  return new FaultFilter(new Joint(await openMalloc(reactor)), "fault", SETTINGS, "test");
});
deviceConformance("fault that never strikes", async ({ reactor }) => {
  const kinds = kindsOf({ read: "error", write: "torn", flush: "drop", blockStatus: "hang" });
  const settings = { ...SETTINGS, kinds, probability: 0 };
  return new FaultFilter(new Joint(await openMalloc(reactor)), "fault", settings, "test");
});

/** What the range holds after a request that has done its work. */
const FILLED: Readonly<Record<number, number>> = {
  [Operation.write]: NEW,
  [Operation.compareAndWrite]: NEW,
  [Operation.discard]: 0,
  [Operation.writeZeroes]: 0,
};

for (const [name, operation] of Object.entries(Operation)) {
  const title = OPERATION_NAMES[operation];
  const old = new Uint8Array(LENGTH).fill(OLD);
  const done = new Uint8Array(LENGTH).fill(FILLED[operation] ?? OLD);

  test(`fault: ${title} with error ends with the status, and nothing goes down`, () =>
    withFaults({ kinds: kindsOf({ [name]: "error" }) }, async ({ reactor, ...rig }) => {
      const request = await requestOf(reactor, { operation }).run(rig.fault);
      strictEqual(statusName(request.status), "media-error");
      strictEqual(request.errorOffset, OFFSET);
      deepStrictEqual(rig.watching.seen, []);
      deepStrictEqual(await contentOf(rig.malloc, OFFSET, LENGTH), old);
      rig.fault.change({ ...SETTINGS, kinds: kindsOf({ [name]: "error" }), status: 14 });
      const other = await requestOf(reactor, { operation }).run(rig.fault);
      deepStrictEqual([statusName(other.status), other.errorOffset], ["aborted", -1]);
      rig.fault.change(SETTINGS);
      strictEqual((await requestOf(reactor, { operation }).run(rig.fault)).status, Status.ok);
      deepStrictEqual(rig.fault.describe().injected, { [title ?? ""]: 2 });
    }));

  test(`fault: ${title} that hangs is held for hours, and done when that is switched off`, () =>
    withFaults({ kinds: kindsOf({ [name]: "hang" }) }, async ({ reactor, ...rig }) => {
      const requests = [0, 1, 2].map(() => requestOf(reactor, { operation }));
      const runs = requests.slice(0, 2).map((request) => request.run(rig.fault));
      await sleep(reactor, 3_600_000);
      deepStrictEqual([...requests.map(({ endMs }) => endMs)], [-1, -1, -1]);
      deepStrictEqual(rig.watching.seen, []);
      strictEqual(rig.fault.describe().hung, 2);
      rig.fault.change({ ...SETTINGS, kinds: kindsOf({ [name]: "hang" }), count: 1 });
      strictEqual(rig.fault.describe().hung, 2, "what still is to hang stays");
      rig.fault.change(SETTINGS);
      await runs[0];
      strictEqual(requests[0]?.status, Status.ok);
      // The second one finds what the first has written.
      const isCompare = operation === Operation.compareAndWrite;
      strictEqual((await runs[1])?.status, isCompare ? Status.compareFailed : Status.ok);
      deepStrictEqual(rig.watching.seen, [operation, operation]);
      if (operation !== Operation.flush) {
        deepStrictEqual(await contentOf(rig.malloc, OFFSET, LENGTH), done);
      }
    }));

  if (KINDS_OF_OPERATION[operation]?.includes("drop")) {
    test(`fault: ${title} that is dropped ends with ok, and nothing goes down`, () =>
      withFaults({ kinds: kindsOf({ [name]: "drop" }) }, async ({ reactor, ...rig }) => {
        const request = await requestOf(reactor, { operation }).run(rig.fault);
        deepStrictEqual([request.status, request.errorOffset], [Status.ok, -1]);
        deepStrictEqual(rig.watching.seen, []);
        deepStrictEqual(await contentOf(rig.malloc, OFFSET, LENGTH), old);
      }));
  }
}

test("fault: hung requests go down when it is hurried or closed", () =>
  withFaults({ kinds: kindsOf({ read: "hang", write: "hang" }) }, async ({ reactor, fault }) => {
    const first = requestOf(reactor, { operation: Operation.write }).run(fault);
    await sleep(reactor, 1000);
    fault.hurry();
    strictEqual((await first).status, Status.ok);
    const later = requestOf(reactor, { operation: Operation.read });
    const run = later.run(fault);
    await sleep(reactor, 1000);
    strictEqual(later.endMs, -1, "later ones are held as before");
    await fault.close();
    strictEqual((await run).status, Status.ok);
    ok(bytesOf(reactor, later).every((byte) => byte === NEW));
  }));

test("fault: a corrupt read differs in one byte, in the reader's memory only", () =>
  withFaults({ kinds: kindsOf({ read: "corrupt" }) }, async ({ reactor, malloc, fault }) => {
    const places = new Set<number>();
    for (const flags of [0, RequestFlag.mayLend]) {
      for (let round = 0; round < 50; round++) {
        const request = await requestOf(reactor, { flags }).run(fault);
        strictEqual(request.status, Status.ok);
        strictEqual(request.lent, false, "memory that it was given is used");
        const found = bytesOf(reactor, request);
        const stored = await contentOf(malloc, OFFSET, LENGTH);
        const places_ = differences(found, stored);
        strictEqual(places_.length, 1);
        places.add(places_[0] ?? -1);
        ok(stored.every((byte) => byte === OLD));
      }
    }
    ok(places.size > 80, `${places.size} places in 100 reads`);
  }));

test("fault: a corrupt read without memory is lent a copy, which comes back", () =>
  withFaults({ kinds: kindsOf({ read: "corrupt" }) }, async ({ reactor, malloc, fault }) => {
    const { heldBytes } = reactor.buffers;
    const lent: TimedRequest[] = [];
    for (const length of [LENGTH, MIB]) {
      const request = requestOf(reactor, { flags: RequestFlag.mayLend, length, offset: 0 });
      request.segments.clear();
      await request.run(fault);
      strictEqual(request.status, Status.ok);
      strictEqual(request.lent, true);
      const stored = await contentOf(malloc, 0, length);
      ok(stored.every((byte) => byte === OLD));
      strictEqual(differences(bytesOf(reactor, request), stored).length, 1);
      lent.push(request);
    }
    strictEqual(fault.lent, 2);
    strictEqual(malloc.lent, 0, "nothing of the device's own memory is kept");
    ok(reactor.buffers.heldBytes >= heldBytes + LENGTH + MIB);
    for (const request of lent) request.returnLent();
    strictEqual(fault.lent, 0);
    strictEqual(reactor.buffers.heldBytes, heldBytes);
  }));

for (const operation of [Operation.write, Operation.compareAndWrite]) {
  const name = operation === Operation.write ? "write" : "compareAndWrite";
  test(`fault: a corrupt ${OPERATION_NAMES[operation]} changes one byte of what is stored`, () =>
    withFaults({ kinds: kindsOf({ [name]: "corrupt" }) }, async ({ reactor, malloc, fault }) => {
      // The largest there is: a compare-and-write carries twice that.
      for (const length of [512, LENGTH, MIB]) {
        await write(malloc, 0, new Uint8Array(MIB).fill(OLD));
        const request = requestOf(reactor, { operation, length, offset: 0 });
        const before = bytesOf(reactor, request);
        await request.run(fault);
        strictEqual(request.status, Status.ok);
        deepStrictEqual(differences(bytesOf(reactor, request), before), []);
        const stored = await contentOf(malloc, 0, length);
        strictEqual(differences(stored, new Uint8Array(length).fill(NEW)).length, 1);
      }
    }));
}

test("fault: corruption stays within the range", () => {
  const range = { offset: OFFSET + 512, end: OFFSET + 520 };
  const kinds = kindsOf({ read: "corrupt", write: "corrupt" });
  return withFaults({ kinds, range }, async ({ reactor, malloc, fault }) => {
    for (let round = 0; round < 30; round++) {
      const read = await requestOf(reactor, {}).run(fault);
      const [place = -1] = differences(bytesOf(reactor, read), new Uint8Array(LENGTH).fill(OLD));
      ok(place >= 512 && place < 520, `byte ${place}`);
    }
    await requestOf(reactor, { operation: Operation.write }).run(fault);
    const stored = await contentOf(malloc, OFFSET, LENGTH);
    const [place = -1] = differences(stored, new Uint8Array(LENGTH).fill(NEW));
    ok(place >= 512 && place < 520, `byte ${place}`);
  });
});

test("fault: without memory for a copy a request is spared, and counted", () =>
  withFaults(
    { kinds: kindsOf({ write: "corrupt", read: "corrupt" }), count: 1 },
    async ({ reactor, malloc, fault }) => {
      const all = reactor.buffers.acquire(MIB);
      const request = await requestOf(reactor, { operation: Operation.write }).run(fault);
      strictEqual(request.status, Status.ok);
      const read = requestOf(reactor, { flags: RequestFlag.mayLend });
      read.segments.clear();
      await read.run(fault);
      ok(bytesOf(reactor, read).every((byte) => byte === NEW));
      read.returnLent();
      const { spared, injected, left } = fault.describe();
      deepStrictEqual({ spared, injected, left }, { spared: 2, injected: {}, left: 1 });
      ok((await contentOf(malloc, OFFSET, LENGTH)).every((byte) => byte === NEW));
      all?.release();
    },
    { bufferLimitBytes: MIB },
  ));

for (const blockSizeBytes of [512, 4096]) {
  test(`fault: a torn write leaves whole blocks of ${blockSizeBytes}, never all of them`, () =>
    withFaults(
      { kinds: kindsOf({ write: "torn" }) },
      async ({ reactor, malloc, fault }) => {
        const shapes = { nothing: 0, prefix: 0, subset: 0 };
        const offset = MIB;
        for (let round = 0; round < 300; round++) {
          const count = 1 + (round % 16);
          const length = count * blockSizeBytes;
          await write(malloc, offset, new Uint8Array(length).fill(OLD));
          const request = requestOf(reactor, { operation: Operation.write, offset, length });
          await request.run(fault);
          strictEqual(request.status, Status.mediaError);
          const blocks = await blocksOf(malloc, offset, length, blockSizeBytes);
          const missing = blocks.indexOf(OLD);
          ok(missing >= 0, `a block is missing: ${blocks}`);
          strictEqual(request.errorOffset, offset + missing * blockSizeBytes);
          const written = blocks.filter((byte) => byte === NEW).length;
          if (written === 0) shapes.nothing++;
          else if (written === missing) shapes.prefix++;
          else shapes.subset++;
        }
        ok(
          Object.values(shapes).every((times) => times > 20),
          JSON.stringify(shapes),
        );
      },
      { blockSizeBytes },
    ));
}

/** The byte that each block is full of. */
async function blocksOf(
  malloc: MallocDevice,
  offset: number,
  length: number,
  blockSizeBytes: number,
): Promise<number[]> {
  const stored = await contentOf(malloc, offset, length);
  return Array.from({ length: length / blockSizeBytes }, (_, block) => {
    const bytes = stored.subarray(block * blockSizeBytes, (block + 1) * blockSizeBytes);
    ok(bytes.every((byte) => byte === bytes[0]));
    return bytes[0] ?? -1;
  });
}

test("fault: a torn write can end with ok, and with the real status when its parts fail", () =>
  withFaults(
    { kinds: kindsOf({ write: "torn" }), status: Status.ok },
    async ({ reactor, watching, fault }) => {
      const ask = { operation: Operation.write, length: MIB, offset: 0 };
      const request = await requestOf(reactor, ask).run(fault);
      deepStrictEqual([request.status, request.errorOffset], [Status.ok, -1]);
      await watching.close();
      const statuses = new Set<Status>();
      for (let round = 0; round < 50; round++) {
        statuses.add((await requestOf(reactor, ask).run(fault)).status);
      }
      // Nothing of some is sent at all.
      ok(statuses.has(Status.notReady), `${[...statuses]}`);
    },
  ));

test("fault strikes only what touches the range, and flushes", () => {
  const range = { offset: MIB, end: 2 * MIB };
  const kinds = kindsOf({ read: "error", flush: "error" });
  return withFaults({ kinds, range }, async ({ reactor, fault }) => {
    const cases: readonly (readonly [offset: number, length: number, errorOffset: number])[] = [
      [0, MIB, -1],
      [MIB - 512, 512, -1],
      [MIB - 512, 1024, MIB],
      [MIB, 512, MIB],
      [2 * MIB - 512, 4096, 2 * MIB - 512],
      [2 * MIB, 512, -1],
    ];
    for (const [offset, length, errorOffset] of cases) {
      const request = await requestOf(reactor, { offset, length }).run(fault);
      strictEqual(request.status, errorOffset === -1 ? Status.ok : Status.mediaError, `${offset}`);
      strictEqual(request.errorOffset, errorOffset, `${offset}`);
    }
    const flush = await requestOf(reactor, { operation: Operation.flush }).run(fault);
    strictEqual(flush.status, Status.mediaError);
  });
});

test("fault ends with its count, and a change gives it a new one", () =>
  withFaults({ kinds: kindsOf({ read: "error" }), count: 3 }, async ({ reactor, fault }) => {
    const run = async (): Promise<number> => {
      let failed = 0;
      for (let round = 0; round < 10; round++) {
        if ((await requestOf(reactor, {}).run(fault)).status !== Status.ok) failed++;
      }
      return failed;
    };
    deepStrictEqual([await run(), await run()], [3, 0]);
    strictEqual(fault.describe().left, 0);
    fault.change({ ...SETTINGS, kinds: kindsOf({ read: "error" }), count: 2 });
    strictEqual(await run(), 2);
    deepStrictEqual(fault.describe().injected, { read: 5 });
  }));

test("fault strikes the same requests when the seed is the same, about as often as asked", () => {
  const kinds = kindsOf({ read: "error" });
  return withFaults({ kinds, probability: 0.25, seed: 42 }, async ({ reactor, fault }) => {
    const run = async (settings: Partial<FaultSettings>): Promise<number[]> => {
      fault.change({ ...SETTINGS, kinds, probability: 0.25, ...settings });
      const struck: number[] = [];
      for (let round = 0; round < 400; round++) {
        const { status } = await requestOf(reactor, {}).run(fault);
        // What it could not strike draws nothing.
        await requestOf(reactor, { operation: Operation.blockStatus }).run(fault);
        if (status !== Status.ok) struck.push(round);
      }
      return struck;
    };
    const first = await run({ seed: 42 });
    ok(first.length > 60 && first.length < 140, `${first.length} of 400`);
    deepStrictEqual(await run({ seed: 42 }), first);
    notDeepStrictEqual(await run({ seed: 43 }), first);
    const prng = new Prng(42);
    const expected = Array.from({ length: 400 }, (_, round) => round).filter(() =>
      prng.chance(0.25),
    );
    deepStrictEqual(first, expected);
  });
});
