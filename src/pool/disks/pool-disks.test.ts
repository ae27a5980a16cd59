// Disks as addresses, and the joint sticky flush.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import { Errno } from "../../reactor/errno.ts";
import { IoLevel } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { type TestReactor, withReactor } from "../../reactor/test-reactor.ts";
import { fileDisks } from "../../testing/pool-disks-rig.ts";
import { addressOf, BLOCK_BYTES } from "../pool-layout.ts";
import { awaitFlush } from "../recovery/await-call.ts";
import type { DiskRequest } from "./disk-request.ts";
import type { PoolDisks } from "./pool-disks.ts";

function fake(body: (test: TestReactor) => Promise<void>): Promise<void> {
  return withReactor(IoLevel.fake, body);
}

/** Writes or reads one block filled with `value`. @returns the status, or the value read */
function transfer(
  reactor: Reactor,
  disks: PoolDisks,
  operation: Operation,
  address: number,
  value = 0,
): Promise<{ status: Status; value: number }> {
  const slab = reactor.io.slabs.allocate(BLOCK_BYTES);
  slab.bytes.fill(value);
  return new Promise((resolve) => {
    const request = disks.take({
      diskRequestEnded(ended: DiskRequest) {
        const result = { status: ended.status, value: slab.bytes[4095] as number };
        strictEqual(ended.item, "mine");
        disks.give(ended);
        reactor.io.slabs.release(slab);
        reactor.deliverLater(() => resolve(result));
      },
    });
    request.operation = operation;
    request.item = "mine";
    request.segments.push(slab.id, 0, BLOCK_BYTES);
    disks.submit(request, address, 1);
  });
}

/** Counts syncs of each disk. */
function syncCounts({ world }: TestReactor, count: number) {
  return Array.from({ length: count }, (_, index) =>
    world?.disk().faults.inject({
      effect: { kind: "delay", delayMs: 1 },
      path: `/disk${index}`,
      operations: ["sync"],
    }),
  );
}

test("PoolDisks finds the disk and the place of an address", () =>
  fake(async ({ reactor }) => {
    const { disks } = await fileDisks(reactor, [64, 32]);
    const places = [addressOf(0, 1), addressOf(0, 63), addressOf(1, 0), addressOf(1, 31)];
    for (const [index, address] of places.entries()) {
      ok(disks.holds(address, 1));
      await transfer(reactor, disks, Operation.write, address, index + 1);
    }
    for (const [index, address] of places.entries()) {
      const { value } = await transfer(reactor, disks, Operation.read, address);
      strictEqual(value, index + 1);
    }
    for (const address of [addressOf(0, 64), addressOf(1, 32), addressOf(2, 0)]) {
      strictEqual(disks.holds(address, 1), false);
    }
    strictEqual(disks.holds(addressOf(0, 60), 5), false);
    strictEqual(disks.inFlight, 0);
    await disks.close();
  }));

test("a flush syncs each disk that was written to, and at first all", () =>
  fake(async (place) => {
    const { reactor } = place;
    const { disks } = await fileDisks(reactor, [64, 64, 64]);
    const syncs = syncCounts(place, 3);
    const hits = () => syncs.map((sync) => sync?.hits);
    strictEqual(await awaitFlush(reactor, disks), Status.ok);
    deepStrictEqual(hits(), [1, 1, 1]);
    await awaitFlush(reactor, disks);
    deepStrictEqual(hits(), [1, 1, 1]);
    await transfer(reactor, disks, Operation.write, addressOf(1, 5), 1);
    strictEqual(disks.unflushedBytes, BLOCK_BYTES);
    await transfer(reactor, disks, Operation.read, addressOf(2, 5), 1);
    await awaitFlush(reactor, disks);
    deepStrictEqual(hits(), [1, 2, 1]);
    strictEqual(disks.unflushedBytes, 0);
    await disks.close();
  }));

test("a write that ends during a sync is the next one's", () =>
  fake(async (place) => {
    const { reactor, world } = place;
    const { disks } = await fileDisks(reactor, [64]);
    await awaitFlush(reactor, disks);
    const syncs = syncCounts(place, 1);
    await transfer(reactor, disks, Operation.write, 5, 1);
    const slow = world?.disk().faults.inject({
      effect: { kind: "hang" },
      operations: ["sync"],
    });
    // The older fault strikes first.
    syncs[0]?.remove();
    const flushing = awaitFlush(reactor, disks);
    await transfer(reactor, disks, Operation.write, 6, 1);
    const second = awaitFlush(reactor, disks);
    strictEqual(slow?.hits, 1);
    slow?.release();
    strictEqual(await flushing, Status.ok);
    strictEqual(await second, Status.ok);
    strictEqual(disks.at(0).isUnsynced, false);
    strictEqual(disks.unflushedBytes, 0);
    await disks.close();
  }));

test("a sync that fails is the pool's fault, and no later one is tried", () =>
  fake(async (place) => {
    const { reactor, world } = place;
    const { disks } = await fileDisks(reactor, [64, 64]);
    const faults: string[] = [];
    disks.onFault = ({ isSync, status, reason }) => {
      faults.push(`${isSync} ${status} ${reason}`);
    };
    const error = { kind: "error", errno: Errno.EIO } as const;
    const broken = world?.disk().faults.inject({
      effect: error,
      path: "/disk1",
      operations: ["sync"],
    });
    const all = [awaitFlush(reactor, disks), awaitFlush(reactor, disks)];
    deepStrictEqual(await Promise.all(all), [Status.mediaError, Status.mediaError]);
    await transfer(reactor, disks, Operation.write, 5, 1);
    strictEqual(await awaitFlush(reactor, disks), Status.mediaError);
    strictEqual(broken?.hits, 1);
    strictEqual(disks.unflushedBytes, BLOCK_BYTES);
    deepStrictEqual(faults.length, 1);
    ok(faults[0]?.startsWith("true 7 disk file:///disk1 could not be synced"));
    await disks.close();
  }));
