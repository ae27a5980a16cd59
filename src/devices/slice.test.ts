// Tests of slice: the conformance suite in the middle of a device, what lies around stays as it
// is, offsets of errors, and which slices are refused.

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  strictEqual,
  throws,
} from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import type { Device } from "../block/device.ts";
import { ExtentList } from "../block/extents.ts";
import { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { PenstockError } from "../util/errors.ts";
import { MallocDevice, type MallocOptions } from "./malloc.ts";
import { SliceFilter, type SliceRange } from "./slice.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const INSTANCE_ID = "11111111-2222-4333-8444-555555555555";

function openMalloc(reactor: Reactor, extra: Partial<MallocOptions> = {}): Promise<Device> {
  const options = { name: "x", sizeBytes: 32 * MIB, instanceId: INSTANCE_ID, ...extra };
  return MallocDevice.open(reactor, options);
}

async function sliceOf(
  reactor: Reactor,
  range: SliceRange,
  extra: Partial<MallocOptions> = {},
): Promise<SliceFilter> {
  return new SliceFilter(new Joint(await openMalloc(reactor, extra)), "slice", range);
}

for (const [title, range, extra] of [
  ["slice of all", { offset: 0 }, {}],
  ["slice in the middle", { offset: MIB + 512, length: 16 * MIB }, {}],
  ["slice of the end, 4096-byte blocks", { offset: 5 * MIB + 4096 }, { blockSizeBytes: 4096 }],
] as const) {
  deviceConformance(title, ({ reactor }) => sliceOf(reactor, range, extra), {
    openReadOnly: ({ reactor }) => sliceOf(reactor, range, { ...extra, readOnly: true }),
  });
}

deviceConformance("slice of a slice", async ({ reactor }) => {
  const outer = await sliceOf(reactor, { offset: MIB, length: 24 * MIB });
  return new SliceFilter(new Joint(outer), "slice", { offset: 2 * MIB });
});

interface Place {
  readonly reactor: Reactor;
  readonly malloc: Device;
  readonly slice: SliceFilter;
}

function withSlice(range: SliceRange, body: (place: Place) => Promise<void>): Promise<void> {
  return withReactor("fake", async ({ reactor }) => {
    const malloc = await openMalloc(reactor);
    const slice = new SliceFilter(new Joint(malloc), "slice", range);
    await body({ reactor, malloc, slice });
    await slice.close();
    await malloc.close();
  });
}

async function run(
  device: Device,
  operation: Operation,
  offset: number,
  bytes: Uint8Array,
): Promise<AwaitedRequest> {
  const { slabs } = device.reactor.io;
  const slab = slabs.allocate(bytes.length);
  slab.bytes.set(bytes);
  const request = new AwaitedRequest();
  request.segments.push(slab.id, 0, bytes.length);
  await request.run(device, { operation, offset, length: bytes.length });
  if (operation === Operation.read) bytes.set(slab.bytes.subarray(0, bytes.length));
  slabs.release(slab);
  return request;
}

test("slice changes nothing outside of itself and gives each request back as it was", () =>
  withSlice({ offset: MIB, length: 2 * MIB }, async ({ malloc, slice }) => {
    for (let at = 0; at < 4 * MIB; at += MIB) {
      await run(malloc, Operation.write, at, new Uint8Array(MIB).fill(1 + at / MIB));
    }
    const first = await run(slice, Operation.write, 0, new Uint8Array(512).fill(11));
    const last = await run(slice, Operation.write, 2 * MIB - 512, new Uint8Array(512).fill(12));
    deepStrictEqual([first.offset, last.offset], [0, 2 * MIB - 512]);
    const whole = { operation: Operation.discard, offset: 512, length: 2 * MIB - 1024 };
    const discard = new AwaitedRequest();
    strictEqual(await discard.run(slice, whole), Status.ok);
    strictEqual(discard.offset, 512);
    const found: [number, number][] = [];
    for (let at = 0; at < 4 * MIB; at += 512) {
      const bytes = new Uint8Array(512);
      await run(malloc, Operation.read, at, bytes);
      ok(bytes.every((byte) => byte === bytes[0]));
      if (found.at(-1)?.[1] !== bytes[0]) found.push([at, bytes[0] ?? -1]);
    }
    deepStrictEqual(found, [
      [0, 1],
      [MIB, 11],
      [MIB + 512, 0],
      [3 * MIB - 512, 12],
      [3 * MIB, 4],
    ]);
  }));

test("slice says where an error is by its own offsets, and leaves flush alone", () =>
  withSlice({ offset: 3 * MIB + 512 }, async ({ slice }) => {
    const bytes = new Uint8Array(4096);
    bytes[1000] = 1;
    const compare = await run(slice, Operation.compare, 8192, bytes);
    strictEqual(compare.status, Status.compareFailed);
    strictEqual(compare.errorOffset, 8192 + 1000);
    const flush = new AwaitedRequest();
    const far = Number.MAX_SAFE_INTEGER;
    strictEqual(await flush.run(slice, { operation: Operation.flush, offset: far }), Status.ok);
    strictEqual(flush.offset, far);
    strictEqual(flush.errorOffset, -1);
  }));

test("slice's block status is that of its range", () =>
  withSlice({ offset: MIB, length: 2 * MIB }, async ({ malloc, slice }) => {
    await run(malloc, Operation.write, MIB + 64 * KIB, new Uint8Array(64 * KIB).fill(1));
    await run(malloc, Operation.write, 3 * MIB, new Uint8Array(64 * KIB).fill(1));
    const request = new AwaitedRequest();
    request.extents = new ExtentList();
    const all = { operation: Operation.blockStatus, offset: 0, length: 2 * MIB };
    strictEqual(await request.run(slice, all), Status.ok);
    const { lengths, count } = request.extents;
    deepStrictEqual([...lengths.slice(0, count)], [64 * KIB, 64 * KIB, 2 * MIB - 128 * KIB]);
  }));

test("slice states its own size and identity, and the rest as the device below", () =>
  withSlice({ offset: MIB, length: 2 * MIB }, async ({ malloc, slice }) => {
    const other = new SliceFilter(slice.below, "other", { offset: 2 * MIB, length: 2 * MIB });
    notStrictEqual(slice.info.instanceId, malloc.info.instanceId);
    notStrictEqual(slice.info.instanceId, other.info.instanceId);
    const again = new SliceFilter(slice.below, "again", { offset: MIB, length: 2 * MIB });
    strictEqual(again.info.instanceId, slice.info.instanceId);
    const { instanceId } = slice.info;
    deepStrictEqual(slice.info, {
      ...malloc.info,
      kind: "slice",
      name: "slice",
      sizeBytes: 2 * MIB,
      instanceId,
    });
    const uneven = new SliceFilter(slice.below, "uneven", { offset: 512 });
    strictEqual(uneven.info.physicalBlockSizeBytes, 512);
  }));

test("slice is refused with the value and the limit when it does not fit", () =>
  withReactor("fake", async ({ reactor }) => {
    const joint = new Joint(await openMalloc(reactor, { blockSizeBytes: 4096 }));
    const cases: readonly (readonly [SliceRange, RegExp])[] = [
      [{ offset: 32 * MIB }, /begins at 33554432, expected less than its 33554432 bytes/],
      [{ offset: 512 }, /offset 512, expected a multiple of its block size, 4096/],
      [{ offset: 0, length: 4608 }, /length 4608, expected a multiple of its block size, 4096/],
      [{ offset: MIB, length: 0 }, /ends at 1048576 \+ 0/],
      [{ offset: 16 * MIB, length: 17 * MIB }, /= 34603008, expected 1 block to 16MiB/],
    ];
    for (const [range, words] of cases) {
      throws(
        () => new SliceFilter(joint, "slice", range),
        (error) => {
          ok(error instanceof PenstockError);
          strictEqual(error.code, "slice-invalid");
          match(error.message, words);
          return true;
        },
      );
    }
  }));
