// Discards of freed blocks: merged, few, and none that is late.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { Status } from "../../block/status.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { sleepOn } from "../../testing/mirror-rig.ts";
import { HANG, PASS, ScriptedFilter, type Turn } from "../../testing/scripted-filter.ts";
import { Prng } from "../../util/prng.ts";
import { PoolDisks } from "../disks/pool-disks.ts";
import { addressOf, BLOCK_BYTES, blockOf } from "../pool-layout.ts";
import { PunchQueue } from "./punch-queue.ts";

const UUID = "11111111-2222-4333-8444-555555555555";
const DISK_BLOCKS = 2 ** 16;

interface Rig {
  readonly reactor: Reactor;
  readonly queue: PunchQueue;
  readonly disks: readonly ScriptedFilter[];
  /** Blocks of discards that the disks were given: [first, count]. */
  readonly discards: (readonly [number, number])[];
  /** What `punched` was told. */
  readonly punched: Map<number, number>;
  drained(): Promise<void>;
}

/** Two disks; `script` says what becomes of each discard. */
function withQueue(script: () => Turn, body: (rig: Rig) => Promise<void>): Promise<void> {
  return withReactor("fake", async ({ reactor }) => {
    const discards: (readonly [number, number])[] = [];
    const open = async () => {
      const sizeBytes = DISK_BLOCKS * BLOCK_BYTES;
      const source = await MallocDevice.open(reactor, { name: "x", sizeBytes, instanceId: UUID });
      const disk = new ScriptedFilter(source);
      disk.script = ({ operation, offset, length }: Request) => {
        strictEqual(operation, Operation.discard);
        discards.push([offset / BLOCK_BYTES, length / BLOCK_BYTES]);
        return script();
      };
      return disk;
    };
    const disks = [await open(), await open()];
    const pool = new PoolDisks(
      disks.map((device) => ({ uuid: UUID, device, blocks: DISK_BLOCKS })),
    );
    const punched = new Map<number, number>();
    const queue = new PunchQueue(pool, (address, count) => punched.set(address, count));
    const drained = () =>
      new Promise<void>((resolve) => queue.drain(() => reactor.deliverLater(resolve)));
    await body({ reactor, queue, disks, discards, punched, drained });
    await pool.close();
  });
}

test("PunchQueue merges what a turn has freed, in any order", () =>
  withQueue(
    () => PASS,
    async ({ queue, discards, punched, drained }) => {
      for (const block of [30, 10, 11, 29, 12, 500]) queue.add(addressOf(0, block), 1);
      strictEqual(queue.waitingBlocks, 6);
      await drained();
      deepStrictEqual(
        discards.toSorted(([a], [b]) => a - b),
        [
          [10, 3],
          [29, 2],
          [500, 1],
        ],
      );
      strictEqual(punched.get(addressOf(0, 10)), 3);
      strictEqual(queue.waitingBlocks, 0);
    },
  ));

test("PunchQueue keeps disks apart and cuts long runs", () =>
  withQueue(
    () => PASS,
    async ({ queue, discards, drained }) => {
      queue.add(addressOf(0, 2 ** 16 - 1), 1);
      queue.add(addressOf(1, 0), 2 ** 16);
      await drained();
      strictEqual(discards.length, 5);
      ok(discards.every(([, count]) => count <= 2 ** 14));
    },
  ));

test("PunchQueue has at most 16 discards in flight, and frees a run only after its own", () =>
  withQueue(
    () => HANG,
    async ({ queue, disks, discards, punched, drained }) => {
      const [disk] = disks as [ScriptedFilter, ScriptedFilter];
      for (let index = 0; index < 40; index++) queue.add(addressOf(0, 100 + 2 * index), 1);
      await sleepOn(disk.reactor, 1);
      strictEqual(discards.length, 16);
      strictEqual(punched.size, 0);
      while (queue.waitingBlocks > 0) {
        disk.letGo();
        await sleepOn(disk.reactor, 1);
      }
      await drained();
      strictEqual(punched.size, 40);
    },
  ));

test("PunchQueue frees a run whose discard has failed", () =>
  withQueue(
    () => ({ kind: "fail", status: Status.mediaError }),
    async ({ queue, punched, drained }) => {
      queue.add(addressOf(0, 7), 3);
      await drained();
      deepStrictEqual([...punched], [[addressOf(0, 7), 3]]);
    },
  ));

test("PunchQueue gives each block back once, whatever comes when", () =>
  withQueue(
    () => ({ kind: "delay", delayMs: 1 }),
    async ({ queue, reactor, discards, drained }) => {
      const random = new Prng(3);
      const free = new Set(Array.from({ length: 1000 }, (_, index) => index + 1));
      const before = free.size;
      for (let round = 0; round < 50; round++) {
        for (const block of [...free]) {
          if (!random.chance(0.05)) continue;
          free.delete(block);
          queue.add(addressOf(0, block), 1);
        }
        if (random.chance(0.5)) await sleepOn(reactor, 0.5);
      }
      await drained();
      const blocks = discards.flatMap(([first, count]) =>
        Array.from({ length: count }, (_, index) => blockOf(addressOf(0, first)) + index),
      );
      strictEqual(new Set(blocks).size, blocks.length);
      strictEqual(blocks.length, before - free.size);
    },
  ));
