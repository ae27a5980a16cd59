// Writing the log: frames, flushes, room.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../../block/status.ts";
import { Errno } from "../../reactor/errno.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { IoLevel } from "../../reactor/io.ts";
import { type TestReactor, USUAL_LEVELS, withReactor } from "../../reactor/test-reactor.ts";
import { fileDisks, mallocDisks, testUuid } from "../../testing/pool-disks-rig.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { FlushWaiter, LogWaiter } from "../pool-layout.ts";
import { awaitFlush } from "../recovery/await-call.ts";
import { frameOwner } from "./log-frame.ts";
import { type LogScan, readRing, scanLog } from "./log-scan.ts";
import { type LogEntry, PoolLog } from "./pool-log.ts";

const POOL = testUuid(1000);
const SESSION = "0000000000000b0b";
const BLOCKS = 64;
const RING = { address: 16, blocks: BLOCKS, unitBytes: 512 };

/** Told what has become of a record. */
class Entry implements LogEntry {
  nextEntry: LogEntry | null = null;
  readonly #told: (entry: Entry, status: Status, sequence: number) => void;
  readonly number: number;

  constructor(number: number, told: (entry: Entry, status: Status, sequence: number) => void) {
    this.number = number;
    this.#told = told;
  }

  logged(status: Status, sequence: number): void {
    this.#told(this, status, sequence);
  }
}

class LogRig {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly log: PoolLog;
  readonly durable: number[] = [];
  readonly told: { number: number; status: Status; sequence: number }[] = [];
  wanted = 0;

  constructor(reactor: Reactor, disks: PoolDisks, position = 0) {
    this.reactor = reactor;
    this.disks = disks;
    const reuse = { durableThrough: (sequence: number) => this.durable.push(sequence) };
    this.log = new PoolLog({ reactor, disks, reuse, poolUuid: POOL, ring: RING });
    this.log.onCheckpointWanted = () => this.wanted++;
    this.log.open({ session: SESSION, generation: 5, sequence: 10, position, prevCrc: 9 });
  }

  /** @returns false: no room */
  gone(objectId: number): boolean {
    const entry = new Entry(objectId, ({ number }, status, sequence) => {
      this.told.push({ number, status, sequence });
    });
    return this.log.objectGone(entry, objectId);
  }

  /** Logs properties of so many bytes and waits until they are written. */
  async properties(objectId: number, lengthBytes: number): Promise<number> {
    return await new Promise((resolve) => {
      const entry = new Entry(objectId, (_entry, status, sequence) => {
        strictEqual(status, Status.ok);
        this.reactor.deliverLater(() => resolve(sequence));
      });
      ok(this.log.properties(entry, objectId, new Uint8Array(lengthBytes)), "room");
    });
  }

  /** Until so many records have ended. */
  async settled(count: number): Promise<void> {
    while (this.told.length < count) await this.pause();
  }

  pause(): Promise<void> {
    return new Promise((resolve) => {
      this.reactor.clock.startTimer(1, resolve);
    });
  }

  async scan(start = { sequence: 10, position: 0, prevCrc: 9 }): Promise<LogScan> {
    const { slab, ring } = await readRing(this.disks, RING);
    try {
      return scanLog(ring, frameOwner(POOL, SESSION), start);
    } finally {
      this.reactor.io.slabs.release(slab);
    }
  }

  async close(): Promise<void> {
    this.log.close();
    await this.disks.close();
  }
}

for (const level of USUAL_LEVELS) {
  test(`PoolLog tells entries in order, several in a frame, at ${level}`, () =>
    withReactor(level, async ({ reactor }) => {
      const { disks } = await mallocDisks(reactor, [256]);
      const rig = new LogRig(reactor, disks);
      for (let number = 0; number < 200; number++) {
        ok(rig.gone(number));
        if (number % 7 === 0) await rig.pause();
      }
      await rig.settled(200);
      deepStrictEqual(
        rig.told.map(({ number }) => number),
        Array.from({ length: 200 }, (_, index) => index),
      );
      const sequences = rig.told.map(({ sequence }) => sequence);
      deepStrictEqual(
        sequences,
        [...sequences].sort((one, other) => one - other),
      );
      const scan = await rig.scan();
      strictEqual(scan.frames.length, (sequences.at(-1) ?? 0) - 9);
      ok(scan.frames.length < 150, "frames have several records");
      strictEqual(rig.log.recordCount, 200);
      await rig.close();
    }));
}

function fake(body: (test: TestReactor) => Promise<void>): Promise<void> {
  return withReactor(IoLevel.fake, body);
}

test("a flush says what is durable, and a frame carries that, once", () =>
  fake(async ({ reactor }) => {
    const { disks } = await fileDisks(reactor, [256, 256]);
    const rig = new LogRig(reactor, disks);
    rig.gone(1);
    await rig.settled(1);
    strictEqual(await awaitFlush(reactor, rig.log), Status.ok);
    deepStrictEqual([rig.durable, rig.log.durableSequence], [[10], 10]);
    await rig.pause();
    await rig.pause();
    strictEqual(rig.log.writtenSequence, 11);
    deepStrictEqual((await rig.scan()).mark, 10);
    // Nothing was logged since: no frame says so again.
    await awaitFlush(reactor, rig.log);
    await awaitFlush(reactor, rig.log);
    await rig.pause();
    strictEqual(rig.log.writtenSequence, 11);
    await rig.close();
  }));

test("flushes that are asked for together are one, and one that comes later is another", () =>
  fake(async ({ reactor, world }) => {
    const { disks } = await fileDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks);
    const syncs = world?.disk().faults.inject({
      effect: { kind: "delay", delayMs: 5 },
      operations: ["sync"],
    });
    rig.gone(1);
    await rig.settled(1);
    const ended: string[] = [];
    const waiter = (name: string): FlushWaiter => ({
      nextFlush: null,
      flushEnded: (status) => ended.push(`${name} ${status} ${syncs?.hits}`),
    });
    for (const name of ["a", "b", "c"]) rig.log.flush(waiter(name));
    await rig.pause();
    rig.gone(2);
    rig.log.flush(waiter("d"));
    while (ended.length < 4) await rig.pause();
    deepStrictEqual(ended, ["a 0 1", "b 0 1", "c 0 1", "d 0 2"]);
    deepStrictEqual(rig.durable.at(-1), rig.log.durableSequence);
    ok(rig.log.durableSequence >= 11);
    await rig.pause();
    await rig.close();
  }));

test("a failed sync faults the pool for good, and all that is logged later fails", () =>
  fake(async ({ reactor, world }) => {
    const { disks } = await fileDisks(reactor, [256, 256]);
    const rig = new LogRig(reactor, disks);
    const faults: boolean[] = [];
    disks.onFault = ({ isSync }) => faults.push(isSync);
    rig.gone(1);
    await rig.settled(1);
    world?.disk().faults.inject({
      effect: { kind: "error", errno: Errno.EIO },
      path: "/disk1",
      operations: ["sync"],
      count: 1,
    });
    for (let count = 0; count < 3; count++) {
      strictEqual(await awaitFlush(reactor, rig.log), Status.mediaError);
    }
    ok(rig.gone(2));
    await rig.settled(2);
    deepStrictEqual(rig.told[1], { number: 2, status: Status.mediaError, sequence: 0 });
    deepStrictEqual([rig.durable, faults], [[], [true]]);
    await rig.close();
  }));

test("a frame that cannot be written fails its records and all later ones, in order", () =>
  fake(async ({ reactor, world }) => {
    const { disks } = await fileDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks);
    const error = { kind: "error", errno: Errno.EIO } as const;
    world?.disk().faults.inject({ effect: error, operations: ["write"], count: 1 });
    rig.gone(1);
    rig.gone(2);
    await rig.settled(2);
    rig.gone(3);
    await rig.settled(3);
    deepStrictEqual(
      rig.told.map(({ number, status }) => [number, status]),
      [1, 2, 3].map((number) => [number, Status.mediaError]),
    );
    deepStrictEqual([rig.log.writtenSequence, disks.fault], [9, Status.mediaError]);
    await rig.close();
  }));

test("a log that is held begins no frame, and goes on where it was", () =>
  fake(async ({ reactor }) => {
    const { disks } = await fileDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks);
    rig.gone(1);
    await new Promise<void>((resolve) => {
      rig.log.hold(() => reactor.deliverLater(resolve));
    });
    rig.gone(2);
    await rig.pause();
    await rig.pause();
    ok(rig.told.length < 2);
    const { sequence } = rig.log.startOfReplay();
    strictEqual(sequence, 10 + rig.told.length);
    rig.log.resume();
    await rig.settled(2);
    await rig.close();
  }));

test("a full log asks for a checkpoint, and those who wait go on in their order", () =>
  fake(async ({ reactor }) => {
    const { disks } = await fileDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks);
    let number = 0;
    // Frames of 20 KiB in both copies together: half of the ring after seven.
    for (; number < 12; number++) await rig.properties(number, 10_000);
    ok(rig.wanted > 0, "asked for at half of the ring");
    const order: number[] = [];
    const fill = (): boolean => rig.log.properties(new Entry(number, noted), 1, big);
    const noted = ({ number: told }: Entry): void => void order.push(told);
    const big = new Uint8Array(12_000);
    strictEqual(fill(), false);
    const waiters = [100, 101, 102].map((name): LogWaiter => {
      const waiter: LogWaiter = {
        nextLog: null,
        roomInLog() {
          if (!rig.log.properties(new Entry(name, noted), name, big)) rig.log.waitForRoom(waiter);
        },
      };
      return waiter;
    });
    for (const waiter of waiters) rig.log.waitForRoom(waiter);
    await rig.pause();
    deepStrictEqual(order, []);
    await new Promise<void>((resolve) => {
      rig.log.hold(() => reactor.deliverLater(resolve));
    });
    const start = rig.log.startOfReplay();
    rig.log.resume();
    rig.log.releaseThrough(start.sequence - 1, 6);
    while (order.length < 3) await rig.pause();
    deepStrictEqual(order, [100, 101, 102]);
    const scan = await rig.scan(start);
    deepStrictEqual([scan.frames.length, scan.generation], [scan.end.sequence - start.sequence, 6]);
    strictEqual(scan.end.sequence - 1, rig.log.writtenSequence);
    await rig.close();
  }));

test("PoolLog goes round the ring many times, and each time an import finds its end", () =>
  fake(async ({ reactor, seed }) => {
    const { disks } = await fileDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks, seed % 512);
    let start = { sequence: 10, position: seed % 512, prevCrc: 9 };
    for (let round = 0; round < 60; round++) {
      await rig.properties(round, (seed * (round + 7)) % 15_000);
      const scan = await rig.scan(start);
      strictEqual(scan.end.sequence - 1, rig.log.writtenSequence);
      strictEqual(scan.frames.length, scan.end.sequence - start.sequence);
      if (round % 3 !== 0) continue;
      start = rig.log.startOfReplay();
      rig.log.releaseThrough(start.sequence - 1, 6);
    }
    await rig.close();
  }));

test("what has been written without a sync asks for one by itself, once", () =>
  fake(async ({ reactor }) => {
    const { disks } = await mallocDisks(reactor, [256]);
    const rig = new LogRig(reactor, disks);
    disks.noteWritten(0, 256 * 1024 * 1024);
    rig.gone(1);
    await rig.settled(1);
    while (rig.durable.length === 0) await rig.pause();
    await rig.pause();
    deepStrictEqual(rig.durable, [10]);
    ok(disks.unflushedBytes < 4096);
    await rig.close();
  }));
