// Tests of the claims of the NVMe-oF device: who is kept out at the opening, what becomes of one
// that comes back late, and what targets without claims are.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import { Status } from "../block/status.ts";
import { nqnOfUuid } from "../proto/nvme/nqn.ts";
import { FakeWorld } from "../reactor/fake/fake-world.ts";
import type { SocketAddress } from "../reactor/io.ts";
import { Reactor } from "../reactor/reactor.ts";
import { NvmfService, type NvmfShare } from "../shares/nvmf-service.ts";
import { openingId } from "../testing/nbd-pair.ts";
import { PAIR_NQN, PAIR_UUID } from "../testing/nvmf-pair.ts";
import { HANG, PASS, ScriptedFilter } from "../testing/scripted-filter.ts";
import { MallocDevice } from "./malloc.ts";
import { NvmfDevice, type NvmfOptions } from "./nvmf.ts";

const BLOCK = 4096;
const PORTS = [7, 8];

/** One device behind two subsystems of one name, as two engines serve it; hosts "one" and "two". */
class ClaimRig {
  readonly world = new FakeWorld({ seed: 5 });
  readonly reactors = new Map<string, Reactor>();
  readonly shares: NvmfShare[] = [];
  disk: ScriptedFilter | null = null;

  constructor() {
    for (const host of ["target", "one", "two"]) {
      this.reactors.set(host, new Reactor({ id: 0, io: this.world.process({ host }).io }));
    }
  }

  async start(model?: string): Promise<void> {
    const reactor = this.reactorOf("target");
    const sizeBytes = 1024 * 1024;
    const device = await MallocDevice.open(reactor, {
      name: "m",
      sizeBytes,
      instanceId: openingId(),
    });
    this.disk = new ScriptedFilter(device);
    for (const port of PORTS) {
      const service = new NvmfService(reactor, { handOff: () => undefined });
      const named = model === undefined ? {} : { model };
      const share = service.addNamespace(addressOf(port), this.disk, {
        nsid: 1,
        uuid: PAIR_UUID,
        subsystem: { nqn: PAIR_NQN, cntlidMin: 100 * port, cntlidMax: 100 * port + 99, ...named },
      });
      this.shares.push(share);
      await service.listen(addressOf(port));
    }
  }

  open(host: string, options: Partial<NvmfOptions> = {}): Promise<NvmfDevice> {
    return NvmfDevice.open(this.reactorOf(host), {
      addresses: [addressOf(7)],
      subsystemNqn: PAIR_NQN,
      name: "nvmf://target/pair",
      openingId: openingId(),
      claims: true,
      ...options,
    });
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.reactorOf("one").clock.startTimer(delayMs, resolve);
    });
  }

  reactorOf(host: string): Reactor {
    const reactor = this.reactors.get(host);
    ok(reactor !== undefined);
    return reactor;
  }
}

function addressOf(port: number): SocketAddress {
  return { kind: "tcp", host: "target", port };
}

function inWorld(body: (rig: ClaimRig) => Promise<void>): () => Promise<void> {
  return () => {
    const rig = new ClaimRig();
    return rig.world.runUntil(body(rig));
  };
}

const CLAIMED = {
  code: "claimed",
  message: `target:7, ${PAIR_NQN}: another host has namespace 1 in a mirror that is in use`,
};

test(
  "NvmfDevice.open is refused what another host has claimed, until that is closed",
  inWorld(async (rig) => {
    await rig.start();
    const first = await rig.open("one");
    await rejects(rig.open("two"), CLAIMED);
    const reader = new PromiseDevice(await rig.open("two", { claims: false }));
    await reader.writeAt(0, new Uint8Array(BLOCK).fill(1));
    await reader.close();
    await rejects(rig.open("two"), CLAIMED);
    await first.close();
    const second = await rig.open("two");
    await rejects(rig.open("one"), CLAIMED);
    await second.close();
  }),
);

test(
  "NvmfDevice.open is refused when one of its paths is claimed, though others are free",
  inWorld(async (rig) => {
    await rig.start();
    const first = await rig.open("one");
    const addresses = PORTS.map(addressOf).reverse();
    await rejects(rig.open("two", { addresses }), CLAIMED);
    await first.close();
    const second = await rig.open("two", { addresses });
    await rejects(rig.open("one"), CLAIMED);
    await second.close();
  }),
);

test(
  "NvmfDevice has its claim again after an outage, and as the same host come back",
  inWorld(async (rig) => {
    await rig.start();
    const user = new PromiseDevice(await rig.open("one"));
    for (const connection of rig.world.network.connections) connection.reset();
    await user.writeAt(0, new Uint8Array(BLOCK).fill(1));
    await rejects(rig.open("two"), CLAIMED);
    await user.close();
    // As after kill -9: nobody closes the first one, and its association is ended by the next.
    const host = { hostId: openingId(), failFast: true };
    const killed = await rig.open("one", host);
    const again = await rig.open("one", host);
    await rejects(rig.open("two"), CLAIMED);
    strictEqual(killed.condition.link, "lost");
    await killed.close();
    await again.close();
    await (await rig.open("two")).close();
  }),
);

test(
  "NvmfDevice is fenced when another host has claimed the namespace in an outage",
  inWorld(async (rig) => {
    await rig.start();
    const device = await rig.open("one", { rideOutMs: 60_000, keepAliveMs: 1000 });
    const user = new PromiseDevice(device);
    rig.world.network.cut("one", "target");
    await rig.sleep(10_000);
    const kept = user.writeAt(0, new Uint8Array(BLOCK).fill(1));
    const isFenced = rejects(kept, { code: "fenced" });
    const second = new PromiseDevice(await rig.open("two"));
    rig.world.network.heal("one", "target");
    await isFenced;
    await rejects(user.readAt(0, BLOCK), { code: "fenced" });
    strictEqual(device.condition.fault, Status.fenced);
    strictEqual(device.condition.reason, CLAIMED.message);
    strictEqual((await second.readAt(0, BLOCK))[0], 0);
    await second.close();
    await rig.sleep(5000);
    await rejects(user.readAt(0, BLOCK), { code: "fenced" }, "not even when the other has gone");
    await user.close();
  }),
);

test(
  "NvmfDevice is fenced on all paths when one that comes back is another host's",
  inWorld(async (rig) => {
    await rig.start();
    const ownId = openingId();
    const own = { hostId: ownId, hostNqn: nqnOfUuid(ownId) };
    const addresses = PORTS.map(addressOf);
    const device = await rig.open("one", { addresses, rideOutMs: 60_000, ...own });
    const user = new PromiseDevice(device);
    const { disk } = rig;
    ok(disk !== null);
    disk.script = ({ operation }) => (operation === Operation.write ? HANG : PASS);
    const writing = rejects(user.writeAt(0, new Uint8Array(BLOCK)), { code: "fenced" });
    await rejects(rig.open("two", { addresses: [addressOf(8)] }), { code: "claimed" });
    // The path that is not in use is lost, and another host is faster than its coming back.
    const namespace = rig.shares[1]?.subsystem.model.namespaceOf(1);
    const hostId = openingId();
    namespace?.release(own);
    strictEqual(namespace?.claim({ hostNqn: nqnOfUuid(hostId), hostId }), true);
    for (const each of rig.world.network.connections) if (each.key.endsWith("8")) each.reset();
    await rig.sleep(1000);
    strictEqual(device.condition.fault, Status.fenced);
    strictEqual(disk.held.length, 1, "it was on its way by the other path");
    await writing;
    ok(rig.world.nowMs < 10_000, "at once");
    disk.letGo();
    await rejects(user.writeAt(0, new Uint8Array(BLOCK)), { code: "fenced" });
    await user.close();
  }),
);

test(
  "NvmfDevice.close gives its claim back, whatever else its host has there",
  inWorld(async (rig) => {
    await rig.start();
    const hostId = openingId();
    const first = await rig.open("one", { hostId });
    const other = await rig.open("two", { hostId, claims: false });
    await rejects(rig.open("two"), CLAIMED);
    await first.close();
    await (await rig.open("two")).close();
    await other.close();
  }),
);

test(
  "NvmfDevice claims nothing of a target that is not ours",
  inWorld(async (rig) => {
    await rig.start("Linux");
    const first = await rig.open("one");
    const second = await rig.open("two");
    await first.close();
    await second.close();
  }),
);
