/**
 * The tests of a remote device's outages, the same for every protocol: how long it waits, what it
 * reports, what it refuses to go on with, and that no older write of a dead connection overtakes a
 * newer one. `remoteOutageTests` registers them.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import type { Device } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, type PoolBuffer } from "../reactor/buffer-pool.ts";
import { FaultRig, type FaultRigOptions, type RemotePair } from "./fault-rig.ts";

const BLOCK = 4096;

const filled = (value: number): Uint8Array => new Uint8Array(BLOCK).fill(value);

function flush(device: Device): Promise<Status> {
  return new AwaitedRequest().run(device, { operation: Operation.flush });
}

/** Takes all memory but single small buffers, for connections. @returns what gives it back */
function hog(rig: FaultRig): () => void {
  const { buffers } = rig.reactor;
  const held: PoolBuffer[] = [];
  const take = (size: number): void => {
    for (let buffer = buffers.acquire(size); buffer !== null; buffer = buffers.acquire(size)) {
      held.push(buffer);
    }
  };
  take(BUFFER_BYTES_MAX);
  held.pop()?.release();
  take(BUFFER_BYTES_MIN);
  // None of them has its buddy beside it: they cannot be joined.
  const isLower = ({ offset, lengthBytes }: PoolBuffer): boolean =>
    lengthBytes === BUFFER_BYTES_MIN && offset % (2 * BUFFER_BYTES_MIN) === 0;
  for (const buffer of held.filter(isLower)) buffer.release();
  const kept = held.filter((buffer) => !isLower(buffer));
  return () => {
    for (const buffer of kept) buffer.release();
    rig.reactor.io.requestTurn();
  };
}

type OutageCase = readonly [
  title: string,
  options: FaultRigOptions,
  run: (rig: FaultRig, pair: RemotePair) => Promise<void>,
];

const CASES: readonly OutageCase[] = [
  [
    "DEVICE fails requests when the ride-out is over, and goes on when the target is back",
    { initiator: { rideOutMs: 10_000 } },
    async (rig) => {
      await rig.startTarget();
      const device = await rig.openDevice();
      const user = new PromiseDevice(device);
      await user.writeAt(0, filled(1));
      rig.killTarget();
      await rejects(user.writeAt(0, filled(2)), { code: "path-lost" });
      ok(rig.world.nowMs >= 10_000 && rig.world.nowMs < 14_000, `${rig.world.nowMs} ms`);
      strictEqual(device.condition.link, "lost");
      const before = rig.world.nowMs;
      await rejects(user.readAt(0, BLOCK), { code: "path-lost" });
      ok(rig.world.nowMs - before < 10, "no second wait");
      await rig.startTarget();
      await rig.sleep(3000);
      strictEqual(device.condition.link, "up");
      await user.writeAt(0, filled(3));
      deepStrictEqual(await user.readAt(0, BLOCK), filled(3));
      await user.flush();
      await user.close();
    },
  ],

  [
    "DEVICE under a nexus fails at once when the target dies, and stays lost",
    { initiator: { failFast: true } },
    async (rig) => {
      await rig.startTarget();
      const device = await rig.openDevice();
      const user = new PromiseDevice(device);
      await user.writeAt(0, filled(1));
      const before = rig.world.nowMs;
      const writing = user.writeAt(0, filled(2));
      rig.killTarget();
      await rejects(writing, { code: "path-lost" });
      ok(rig.world.nowMs - before < 100);
      await rig.startTarget();
      await rig.sleep(5000);
      strictEqual(device.condition.link, "lost");
      await rejects(user.readAt(0, BLOCK), { code: "path-lost" });
      await user.close();
    },
  ],

  [
    "DEVICE under a nexus gives a hung target five seconds, then leaves memory alone",
    { initiator: { failFast: true } },
    async (rig) => {
      await rig.startTarget();
      const device = await rig.openDevice();
      const slab = rig.reactor.io.slabs.allocate(1024 * 1024);
      const requests = Array.from({ length: 40 }, (_, index) => {
        const request = new AwaitedRequest();
        request.segments.push(slab.id, index * BLOCK, BLOCK);
        return request;
      });
      await rig.sleep(1);
      rig.pauseTarget();
      const before = rig.world.nowMs;
      const ends = requests.map((request, index) => {
        const operation = index % 2 === 0 ? Operation.read : Operation.write;
        return request.run(device, { operation, offset: index * BLOCK, length: BLOCK });
      });
      const statuses = await Promise.all(ends);
      const tookMs = rig.world.nowMs - before;
      ok(tookMs >= 5000 && tookMs < 6500, `${tookMs} ms`);
      ok(statuses.every((status) => status === Status.timeout));
      // What a late answer would bring must not arrive any more.
      slab.bytes.fill(0xee);
      rig.resumeTarget();
      await rig.sleep(2000);
      ok(slab.bytes.every((byte) => byte === 0xee));
      await device.close();
    },
  ],

  [
    "DEVICE waits out refusals and sends what had no answer",
    {},
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      await user.writeAt(0, filled(1));
      rig.killTarget();
      const writing = Promise.all([
        user.writeAt(BLOCK, filled(2)),
        user.writeAt(BLOCK, filled(3)),
        user.flush(),
      ]);
      await rig.sleep(3000);
      await rig.startTarget();
      await writing;
      deepStrictEqual(await user.readAt(0, BLOCK), filled(1));
      deepStrictEqual(await user.readAt(BLOCK, BLOCK), filled(3));
      await user.close();
    },
  ],

  [
    "DEVICE lets no older copy of a write that was sent again overtake a newer one",
    { initiator: { timeoutMs: 2000 } },
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      const { faults } = rig.world.disk("target");
      const fault = faults.inject({ effect: { kind: "hang" }, operations: ["write"], count: 1 });
      const first = user.writeAt(0, filled(1));
      await rig.sleep(50);
      strictEqual(fault.hungCount, 1);
      rig.cutConnections("all");
      const second = first.then(() => user.writeAt(0, filled(2)));
      // Long enough for new connections: they have to wait for what the old ones do.
      await rig.sleep(1500);
      let isDone = false;
      void second.then(() => {
        isDone = true;
      });
      await rig.sleep(5000);
      strictEqual(isDone, false, "the target ends what is old first");
      fault.release();
      await second;
      await rig.sleep(1000);
      deepStrictEqual(await user.readAt(0, BLOCK), filled(2));
      await user.close();
    },
  ],

  [
    "DEVICE's writes that were held up on their way are not done after newer ones",
    { initiator: { timeoutMs: 2000, isSingle: true } },
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      const old = rig.world.network.connections.at(-1);
      ok(old !== undefined);
      old.pause("to-server");
      await user.writeAt(0, filled(1));
      ok(rig.world.nowMs > 2000, "it was answered over a second connection");
      await user.writeAt(0, filled(2));
      old.resume("to-server");
      await rig.sleep(1000);
      deepStrictEqual(await user.readAt(0, BLOCK), filled(2));
      await user.close();
    },
  ],

  [
    "DEVICE fails requests when a target that is there answers nothing for too long",
    { initiator: { timeoutMs: 1000, rideOutMs: 3000 } },
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      const { faults } = rig.world.disk("target");
      const fault = faults.inject({ effect: { kind: "hang" }, operations: ["read"] });
      await rejects(user.readAt(0, BLOCK), { code: "timeout" });
      ok(rig.world.nowMs > 3000 && rig.world.nowMs < 6500, `${rig.world.nowMs} ms`);
      fault.release();
      await rig.sleep(3000);
      deepStrictEqual(await user.readAt(0, BLOCK), new Uint8Array(BLOCK));
      await user.close();
    },
  ],

  [
    "DEVICE does not go on with an export that came back smaller",
    { source: "malloc" },
    async (rig) => {
      await rig.startTarget(2 * 1024 * 1024);
      const device = await rig.openDevice();
      rig.killTarget();
      const reading = new AwaitedRequest().run(device, { operation: Operation.flush });
      await rig.startTarget(1024 * 1024);
      strictEqual(await reading, Status.dataLost);
      strictEqual(await flush(device), Status.dataLost);
      match(device.condition.reason, /1048576 bytes instead of 2097152/);
      await device.close();
    },
  ],

  [
    "DEVICE does not go on with memory that came back empty",
    { source: "malloc" },
    async (rig) => {
      await rig.startTarget();
      const device = await rig.openDevice();
      strictEqual(device.info.volatileCache, false);
      const user = new PromiseDevice(device);
      await user.writeAt(0, filled(1));
      await user.flush();
      rig.killTarget();
      await rig.startTarget();
      await rejects(user.readAt(0, BLOCK), { code: "data-lost" });
      await user.close();
    },
  ],

  [
    "DEVICE reports a failed flush for good",
    {},
    async (rig) => {
      await rig.startTarget();
      const device = await rig.openDevice();
      const { faults } = rig.world.disk("target");
      faults.inject({ effect: { kind: "error", errno: 5 }, operations: ["sync"], count: 1 });
      strictEqual(await flush(device), Status.mediaError);
      strictEqual(await flush(device), Status.mediaError);
      strictEqual(device.condition.fault, Status.mediaError);
      await device.close();
    },
  ],

  [
    "DEVICE keeps a comparison that was true when the write after it has to be sent again",
    {},
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      const { device } = user;
      await user.writeAt(0, filled(1));
      const slab = rig.reactor.io.slabs.allocate(2 * BLOCK);
      for (let round = 0; round < 30; round++) {
        slab.bytes.fill(1 + round, 0, BLOCK);
        slab.bytes.fill(2 + round, BLOCK);
        const request = new AwaitedRequest();
        request.segments.push(slab.id, 0, 2 * BLOCK);
        const operation = Operation.compareAndWrite;
        const ending = request.run(device, { operation, length: BLOCK, flags: RequestFlag.fua });
        await rig.sleep((round * 0.1) % 1.7);
        rig.cutConnections("all");
        strictEqual(await ending, Status.ok, `round ${round}`);
        deepStrictEqual(await user.readAt(0, BLOCK), filled(2 + round));
      }
      await user.close();
    },
  ],

  [
    "DEVICE compares in pieces, one request after the other, while there is no memory",
    { initiator: { isSingle: true } },
    async (rig) => {
      await rig.startTarget();
      const user = new PromiseDevice(await rig.openDevice());
      const { device } = user;
      const length = 16 * BLOCK;
      const slab = rig.reactor.io.slabs.allocate(2 * length);
      const data = slab.bytes.subarray(0, length);
      for (let index = 0; index < length; index++) data[index] = 1 + (index % 251);
      await user.writeAt(BLOCK, data);
      const heldBytes = rig.reactor.buffers.heldBytes;
      const giveBack = hog(rig);
      const run = async (operation: Operation): Promise<readonly [Status, number]> => {
        const request = new AwaitedRequest();
        request.segments.push(slab.id, 0, operation === Operation.compare ? length : 2 * length);
        const status = await request.run(device, { operation, offset: BLOCK, length });
        return [status, request.errorOffset];
      };
      const equal = await Promise.all(Array.from({ length: 3 }, () => run(Operation.compare)));
      deepStrictEqual(equal, Array(3).fill([Status.ok, -1]));
      // What is expected, then what is to be written.
      slab.bytes.fill(9, length);
      data[length - 2] = 0;
      const otherByte = BLOCK + length - 2;
      deepStrictEqual(await run(Operation.compareAndWrite), [Status.compareFailed, otherByte]);
      data[length - 2] = 1 + ((length - 2) % 251);
      deepStrictEqual(await run(Operation.compareAndWrite), [Status.ok, -1]);
      deepStrictEqual(await run(Operation.compareAndWrite), [Status.compareFailed, BLOCK]);
      giveBack();
      deepStrictEqual(await user.readAt(BLOCK, length), new Uint8Array(length).fill(9));
      strictEqual(rig.reactor.buffers.heldBytes, heldBytes, "all of it came back");
      await user.close();
    },
  ],

  ...["while the link is down", "after the reconnection"].map(
    (when): OutageCase => [
      `DEVICE compares once when memory is there again ${when}`,
      { initiator: { isSingle: true } },
      async (rig) => {
        await rig.startTarget();
        const device = await rig.openDevice();
        const length = 16 * BLOCK;
        const slab = rig.reactor.io.slabs.allocate(length);
        const requests = Array.from({ length: 3 }, () => {
          const request = new AwaitedRequest();
          request.segments.push(slab.id, 0, length);
          return request;
        });
        const giveBack = hog(rig);
        const ends = requests.map((request) =>
          request.run(device, { operation: Operation.compare, length }),
        );
        await rig.sleep(0);
        rig.killTarget();
        await rig.sleep(3000);
        if (when === "while the link is down") {
          giveBack();
          await rig.sleep(100);
        }
        await rig.startTarget();
        await rig.sleep(5000);
        strictEqual(device.condition.link, "up");
        if (when === "after the reconnection") giveBack();
        deepStrictEqual(await Promise.all(ends), [Status.ok, Status.ok, Status.ok]);
        strictEqual(device.activeCount, 0);
        await device.close();
      },
    ],
  ),

  [
    "DEVICE closes soon when the target is away, or hangs",
    {},
    async (rig) => {
      for (const how of ["killed", "paused"]) {
        await rig.startTarget();
        const device = await rig.openDevice();
        const reading = new AwaitedRequest().run(device, { operation: Operation.flush });
        if (how === "killed") rig.killTarget();
        else rig.pauseTarget();
        await rig.sleep(how === "killed" ? 100 : 0);
        const waiting = new AwaitedRequest().run(device, { operation: Operation.flush });
        const before = rig.world.nowMs;
        await device.close();
        ok(rig.world.nowMs - before < 1700, `${rig.world.nowMs - before} ms`);
        for (const status of [await reading, await waiting]) {
          ok(status === Status.pathLost || status === Status.aborted || status === Status.ok);
        }
        rig.killTarget();
      }
    },
  ],

  [
    "DEVICE closes soon when the target is away and writes wait for others",
    {},
    async (rig) => {
      for (const how of ["hurried", "closed", "lost while it closes"]) {
        await rig.startTarget();
        const device = await rig.openDevice();
        const slab = rig.reactor.io.slabs.allocate(BLOCK);
        const write = (): Promise<Status> => {
          const request = new AwaitedRequest();
          request.segments.push(slab.id, 0, BLOCK);
          return request.run(device, { operation: Operation.write, length: BLOCK });
        };
        const { faults } = rig.world.disk("target");
        const fault = faults.inject({ effect: { kind: "hang" }, operations: ["write"] });
        const writes = [write(), write(), write()];
        await rig.sleep(10);
        if (how !== "lost while it closes") rig.killTarget();
        await rig.sleep(100);
        const before = rig.world.nowMs;
        if (how === "hurried") {
          device.hurry();
          await device.whenIdle();
        }
        const closed = device.close();
        if (how === "lost while it closes") rig.killTarget();
        await closed;
        ok(rig.world.nowMs - before < 1700, `${how}: ${rig.world.nowMs - before} ms`);
        for (const status of await Promise.all(writes)) {
          ok(status === Status.pathLost || status === Status.aborted, how);
        }
        fault.release();
      }
    },
  ],

  [
    "DEVICE.open says what is wrong, within its time",
    {},
    async (rig, pair) => {
      await rejects(rig.openDevice(), { code: "connection-refused" });
      await rig.startTarget();
      await rejects(rig.openDevice({ isUnknown: true }), pair.unknown);
      rig.pauseTarget();
      const before = rig.world.nowMs;
      await rejects(rig.openDevice(), { code: "connection-timeout" });
      ok(rig.world.nowMs - before < 2100);
      rig.killTarget();
    },
  ],
];

/** Registers the tests, named after the pair's device. */
export function remoteOutageTests(pair: RemotePair): void {
  for (const [title, options, run] of CASES) {
    test(title.replace("DEVICE", pair.name), () => {
      const rig = new FaultRig(pair, 7, options);
      return rig.run(() => run(rig, pair));
    });
  }
}
