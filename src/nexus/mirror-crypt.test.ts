// Crypt above and below a mirror: the suite of every device, and children that hang beneath it.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { deviceConformance } from "../block/conformance.ts";
import type { Device } from "../block/device.ts";
import { Joint } from "../block/joint.ts";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { CryptFilter } from "../devices/crypt.ts";
import { MallocDevice } from "../devices/malloc.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { openMirror, sleepOn, statesOf, withMirror } from "../testing/mirror-rig.ts";
import { HANG } from "../testing/scripted-filter.ts";
import { Prng } from "../util/prng.ts";
import { uuidOfName } from "../util/uuid.ts";

const SIZE_BYTES = 16 * 2 ** 20;
const PIECE = 16 * 1024;

function cryptOver(below: Device, salt = 0): Promise<CryptFilter> {
  return CryptFilter.open(new Joint(below), {
    name: "crypt?key=env:K&sector=4096",
    sectorBytes: 4096,
    ivLargeSectors: false,
    skipBytes: 0,
    discard: "zeroes",
    readKey: async () => Uint8Array.from({ length: 64 }, (_, index) => index ^ salt),
  });
}

function openMalloc(reactor: Reactor, name: string): Promise<Device> {
  const instanceId = uuidOfName(name);
  return MallocDevice.open(reactor, { name, sizeBytes: SIZE_BYTES, instanceId });
}

async function zeroed(device: Device): Promise<Device> {
  const ask = { operation: Operation.writeZeroes, length: device.info.sizeBytes };
  strictEqual(await new AwaitedRequest().run(device, ask), Status.ok);
  return device;
}

const levels = { levels: ["fake"] } as const;

deviceConformance(
  "crypt on a mirror",
  async ({ reactor }) => {
    const legs = [await openMalloc(reactor, "a"), await openMalloc(reactor, "b")];
    return zeroed(await cryptOver(await openMirror(reactor, legs)));
  },
  levels,
);

deviceConformance(
  "mirror of two crypts of different keys",
  async ({ reactor }) => {
    const legs = [
      await cryptOver(await openMalloc(reactor, "a"), 1),
      await cryptOver(await openMalloc(reactor, "b"), 2),
    ];
    return zeroed(await openMirror(reactor, legs));
  },
  levels,
);

for (const operation of [Operation.read, Operation.write]) {
  const name = operation === Operation.read ? "reads" : "writes";
  test(`crypt on a mirror: ${name} that hang in a child, let go late, change nothing`, () =>
    withMirror(2, {}, async ({ reactor, mirror, legs, media, seed }) => {
      const prng = new Prng(seed);
      const device = new PromiseDevice(await cryptOver(mirror));
      const model = new Uint8Array(mirror.info.sizeBytes);
      const write = async (offset: number): Promise<void> => {
        const bytes = new Uint8Array(PIECE);
        prng.fill(bytes);
        model.set(bytes, offset);
        await device.writeAt(offset, bytes);
      };
      for (let at = 0; at < model.length; at += PIECE) await write(at);
      const [first] = legs;
      ok(first !== undefined);
      first.script = (request) => (request.operation === operation ? HANG : { kind: "pass" });
      if (operation === Operation.write) {
        await Promise.all([0, 1, 2].map((index) => write(index * PIECE)));
      } else {
        // Compares are reads below, into memory of the filter's own.
        const compares = Array.from({ length: 8 }, (_, index) => {
          const at = (8 + index) * PIECE;
          return device.compare(at, model.slice(at, at + PIECE));
        });
        const reads = Array.from({ length: 8 }, (_, index) => device.readAt(index * PIECE, PIECE));
        for (const [index, bytes] of (await Promise.all(reads)).entries()) {
          const expected = model.subarray(index * PIECE, (index + 1) * PIECE);
          strictEqual(Buffer.compare(bytes, expected), 0, `read ${index}`);
        }
        await Promise.all(compares);
      }
      deepStrictEqual(statesOf(mirror), ["timeout", "in-sync"]);
      ok(mirror.orphans.count > 0, "the child still has memory of ours");
      for (let round = 0; round < 200; round++) await write(prng.below(64) * PIECE);
      first.letGo();
      await sleepOn(reactor, 1);
      strictEqual(mirror.orphans.count, 0);
      strictEqual(Buffer.compare(await device.readAt(0, model.length), model), 0);
      // The child in sync holds exactly what the same crypt reads without the mirror.
      const medium = media[1];
      ok(medium !== undefined);
      const alone = await cryptOver(medium);
      const beside = await new PromiseDevice(alone).readAt(0, model.length);
      strictEqual(Buffer.compare(beside, model), 0);
      await device.close();
    }));
}
