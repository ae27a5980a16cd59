// Tests of the NVMe-oF device with several paths: which one it uses, what happens to requests when
// one is lost or may not be used any more, and what changes of the namespace it hears of.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../block/promise-device.ts";
import { AnaState } from "../proto/nvme/constants.ts";
import { FakeWorld } from "../reactor/fake/fake-world.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { NvmfService, type NvmfShare } from "../shares/nvmf-service.ts";
import { Operation } from "../block/operation.ts";
import { openingId } from "../testing/nbd-pair.ts";
import { PAIR_NQN, PAIR_UUID } from "../testing/nvmf-pair.ts";
import { HANG, PASS, ScriptedFilter } from "../testing/scripted-filter.ts";
import { MallocDevice } from "./malloc.ts";
import { NvmfDevice, type NvmfOptions } from "./nvmf.ts";

const BLOCK = 4096;
const SIZE_BYTES = 4 * 1024 * 1024;
const ADDRESSES: readonly SocketAddress[] = [
  { kind: "tcp", host: "target", port: 7 },
  { kind: "tcp", host: "target", port: 8 },
];
/** A host that can be cut off alone, with a device of its own. */
const REMOTE: SocketAddress = { kind: "tcp", host: "remote", port: 7 };
const INSTANCE_ID = openingId();

const filled = (value: number): Uint8Array => new Uint8Array(BLOCK).fill(value);

/** One device behind two subsystems of one name, as two engines would serve it. */
class PathsRig {
  readonly world = new FakeWorld({ seed: 11 });
  readonly reactor: Reactor;
  readonly targetReactor: Reactor;
  readonly services: NvmfService[] = [];
  readonly shares: NvmfShare[] = [];
  backing: MallocDevice | null = null;
  /** Between the backing and the shares. */
  disk: ScriptedFilter | null = null;

  constructor() {
    this.reactor = new Reactor({ id: 0, io: this.world.process({ host: "initiator" }).io });
    this.targetReactor = new Reactor({ id: 0, io: this.world.process({ host: "target" }).io });
  }

  async start(states: readonly AnaState[]): Promise<void> {
    this.backing = await MallocDevice.open(this.targetReactor, {
      name: "m",
      sizeBytes: SIZE_BYTES,
      instanceId: INSTANCE_ID,
    });
    const disk = new ScriptedFilter(this.backing);
    this.disk = disk;
    for (const [index, anaState] of states.entries()) {
      const service = new NvmfService(this.targetReactor, { handOff: () => undefined });
      const address = ADDRESSES[index] as SocketAddress;
      const cntlids = { cntlidMin: 1 + 100 * index, cntlidMax: 100 + 100 * index };
      const share = service.addNamespace(address, disk, {
        nsid: 1,
        uuid: PAIR_UUID,
        anaState,
        subsystem: { nqn: PAIR_NQN, ...cntlids },
      });
      await service.listen(address);
      this.services.push(service);
      this.shares.push(share);
    }
  }

  /** The first path leads to another host, whose device is empty and passes for the same. */
  async startApart(): Promise<readonly SocketAddress[]> {
    const { io } = this.world.process({ host: "remote" });
    const reactor = new Reactor({ id: 0, io });
    const sizeBytes = SIZE_BYTES;
    const device = await MallocDevice.open(reactor, {
      name: "r",
      sizeBytes,
      instanceId: INSTANCE_ID,
    });
    const service = new NvmfService(reactor, { handOff: () => undefined });
    const subsystem = { nqn: PAIR_NQN, cntlidMin: 500 };
    service.addNamespace(REMOTE, device, { nsid: 1, uuid: PAIR_UUID, subsystem });
    await service.listen(REMOTE);
    await this.start([AnaState.optimized]);
    return [REMOTE, ...ADDRESSES.slice(0, 1)];
  }

  open(options: Partial<NvmfOptions> = {}): Promise<NvmfDevice> {
    return NvmfDevice.open(this.reactor, {
      addresses: ADDRESSES,
      subsystemNqn: PAIR_NQN,
      name: "nvmf://target/pair",
      openingId: openingId(),
      ...options,
    });
  }

  setAna(index: number, state: AnaState): void {
    this.shares[index]?.subsystem.model.setAnaState(1, state);
  }

  /** The next write hangs in the disk, the others pass it. */
  hangNextWrite(): ScriptedFilter {
    const disk = this.disk as ScriptedFilter; // it has started
    let isNext = true;
    disk.script = ({ operation }) => {
      if (!isNext || operation !== Operation.write) return PASS;
      isNext = false;
      return HANG;
    };
    return disk;
  }

  /** Connections to that address. */
  connections(index: number) {
    const key = `${7 + index}`;
    return this.world.network.connections.filter((each) => each.key.endsWith(key));
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.reactor.clock.startTimer(delayMs, resolve);
    });
  }
}

function inWorld(body: (rig: PathsRig) => Promise<void>): () => Promise<void> {
  return () => {
    const rig = new PathsRig();
    return rig.world.runUntil(body(rig));
  };
}

function usedPath(device: NvmfDevice): number {
  return device.condition.paths.findIndex(({ isUsed }) => isUsed);
}

const { optimized, nonOptimized, inaccessible } = AnaState;

test(
  "NvmfDevice uses the optimized path, whatever its place",
  inWorld(async (rig) => {
    await rig.start([nonOptimized, optimized]);
    const user = new PromiseDevice(await rig.open());
    strictEqual(usedPath(user.device as NvmfDevice), 1);
    await user.writeAt(0, filled(1));
    deepStrictEqual(await user.readAt(0, BLOCK), filled(1));
    await user.close();
  }),
);

test(
  "NvmfDevice goes on over the other path when one is ended, without losing anything",
  inWorld(async (rig) => {
    await rig.start([optimized, optimized]);
    const device = await rig.open({ failFast: true });
    const user = new PromiseDevice(device);
    await user.writeAt(0, filled(1));
    strictEqual(usedPath(device), 0);
    for (let round = 0; round < 10; round++) {
      const index = usedPath(device);
      const writes = Array.from({ length: 20 }, (_, block) =>
        user.writeAt(block * BLOCK, filled(round + block)),
      );
      await rig.sleep(round * 0.2);
      for (const connection of rig.connections(index)) connection.reset();
      await Promise.all(writes);
      await user.flush();
      for (let block = 0; block < 20; block++) {
        deepStrictEqual(await user.readAt(block * BLOCK, BLOCK), filled(round + block));
      }
      await rig.sleep(3000);
      ok(
        device.condition.paths.every(({ isUp }) => isUp),
        "the lost path is there again",
      );
    }
    await user.close();
  }),
);

test(
  "NvmfDevice follows a change of the ANA states",
  inWorld(async (rig) => {
    await rig.start([optimized, inaccessible]);
    const device = await rig.open();
    const user = new PromiseDevice(device);
    await user.writeAt(0, filled(1));
    for (let round = 0; round < 6; round++) {
      const index = round % 2;
      strictEqual(usedPath(device), index);
      const writing = user.writeAt(BLOCK * round, filled(round));
      rig.setAna(index, inaccessible);
      rig.setAna(1 - index, optimized);
      await writing;
      await rig.sleep(50);
      strictEqual(usedPath(device), 1 - index);
      deepStrictEqual(await user.readAt(BLOCK * round, BLOCK), filled(round));
    }
    await user.close();
  }),
);

test(
  "NvmfDevice waits while no path may be used, and fails when that lasts too long",
  inWorld(async (rig) => {
    await rig.start([optimized, inaccessible]);
    const device = await rig.open({ rideOutMs: 10_000 });
    const user = new PromiseDevice(device);
    rig.setAna(0, inaccessible);
    const writing = user.writeAt(0, filled(1));
    await rig.sleep(5000);
    strictEqual(device.condition.link, "down");
    rig.setAna(1, nonOptimized);
    await writing;
    strictEqual(usedPath(device), 1);
    rig.setAna(1, inaccessible);
    const before = rig.world.nowMs;
    await rejects(user.writeAt(0, filled(2)), { code: "path-lost" });
    const tookMs = rig.world.nowMs - before;
    ok(tookMs >= 10_000 && tookMs < 12_000, `${tookMs} ms`);
    rig.setAna(0, optimized);
    await rig.sleep(3000);
    await user.writeAt(0, filled(3));
    deepStrictEqual(await user.readAt(0, BLOCK), filled(3));
    await user.close();
  }),
);

test(
  "NvmfDevice holds a change back that the controller of a silent path may still do",
  inWorld(async (rig) => {
    const addresses = await rig.startApart();
    const device = await rig.open({ addresses, timeoutMs: 2000, keepAliveMs: 4000 });
    const user = new PromiseDevice(device);
    await user.writeAt(0, filled(1));
    rig.world.network.cut("initiator", "remote");
    const before = rig.world.nowMs;
    const writing = user.writeAt(0, filled(2));
    deepStrictEqual(await user.readAt(BLOCK, BLOCK), filled(0));
    const readMs = rig.world.nowMs - before;
    ok(readMs >= 2000 && readMs < 3000, `the read is sent again at once: ${readMs} ms`);
    // Newer changes of the range do not overtake it; others are not held up.
    const newer = user.writeAt(0, filled(3));
    await user.writeAt(2 * BLOCK, filled(4));
    ok(rig.world.nowMs - before < 3000);
    await writing;
    const writeMs = rig.world.nowMs - before;
    ok(writeMs >= 2000 + 4000 && writeMs < 9000, `${writeMs} ms`);
    await newer;
    deepStrictEqual(await user.readAt(0, BLOCK), filled(3));
    await user.close();
  }),
);

for (const index of [0, 1, 4]) {
  test(
    `NvmfDevice goes elsewhere when the lost path's commands have ended: connection ${index}`,
    inWorld(async (rig) => {
      await rig.start([optimized, optimized]);
      const user = new PromiseDevice(await rig.open());
      const disk = rig.hangNextWrite();
      const older = user.writeAt(0, filled(1));
      await rig.sleep(10);
      strictEqual(disk.held.length, 1);
      // The network resets one connection of five; the controller lives, and so does the write.
      rig.connections(0)[index]?.reset();
      await rig.sleep(5);
      const newer = user.writeAt(0, filled(2));
      await user.writeAt(BLOCK, filled(3));
      // Longer than an association lives without its host.
      await rig.sleep(15_000);
      disk.letGo();
      await Promise.all([older, newer]);
      deepStrictEqual(await user.readAt(0, BLOCK), filled(2));
      await user.close();
    }),
  );
}

test(
  "NvmfDevice goes elsewhere at once when nobody is left at the lost path",
  inWorld(async (rig) => {
    await rig.start([optimized, optimized]);
    const user = new PromiseDevice(await rig.open());
    const disk = rig.hangNextWrite();
    const writing = user.writeAt(0, filled(1));
    await rig.sleep(10);
    strictEqual(disk.held.length, 1);
    // As when the process is killed, which ends what it has.
    await rig.services[0]?.unlisten(ADDRESSES[0] as SocketAddress);
    for (const connection of rig.connections(0)) connection.reset();
    const before = rig.world.nowMs;
    await writing;
    ok(rig.world.nowMs - before < 200, `${rig.world.nowMs - before} ms`);
    disk.letGo();
    await user.close();
  }),
);

test(
  "NvmfDevice waits as long as a silent controller may still live, however short its Keep Alive",
  inWorld(async (rig) => {
    const addresses = await rig.startApart();
    const user = new PromiseDevice(await rig.open({ addresses, keepAliveMs: 100 }));
    await user.writeAt(0, filled(1));
    rig.world.network.cut("initiator", "remote");
    const before = rig.world.nowMs;
    await user.writeAt(0, filled(2));
    // A target takes whole seconds, and grants one.
    ok(rig.world.nowMs - before > 2000, `${rig.world.nowMs - before} ms`);
    await user.close();
  }),
);

test(
  "NvmfDevice notices a silent controller by its Keep Alive",
  inWorld(async (rig) => {
    await rig.start([optimized, optimized]);
    const device = await rig.open({ keepAliveMs: 2000 });
    await rig.sleep(10_000);
    ok(
      device.condition.paths.every(({ isUp }) => isUp),
      "both are alive",
    );
    for (const connection of rig.connections(0)) connection.blackHole();
    await rig.sleep(4000);
    strictEqual(usedPath(device), 1);
    await device.close();
  }),
);

test(
  "NvmfDevice.open is content with one of its paths",
  inWorld(async (rig) => {
    await rig.start([optimized]);
    const device = await rig.open();
    deepStrictEqual(
      device.condition.paths.map(({ isUp }) => isUp),
      [true, false],
    );
    ok((device.condition.paths[1]?.reason ?? "").length > 0);
    await device.close();
  }),
);

test(
  "NvmfDevice hears of a larger namespace, and takes its size when it is told to",
  inWorld(async (rig) => {
    await rig.start([optimized]);
    const device = await rig.open();
    const [service, share] = [rig.services[0], rig.shares[0]];
    ok(service !== undefined && share !== undefined && rig.disk !== null);
    rig.disk.info = { ...rig.disk.info, sizeBytes: 2 * SIZE_BYTES };
    service.resized(share);
    await rig.sleep(100);
    strictEqual(device.condition.sizeBytes, 2 * SIZE_BYTES);
    strictEqual(device.info.sizeBytes, SIZE_BYTES);
    await rejects(device.grow(3 * SIZE_BYTES), { code: "size-invalid" });
    await device.grow(2 * SIZE_BYTES);
    strictEqual(device.info.sizeBytes, 2 * SIZE_BYTES);
    await device.close();
  }),
);
