// What namespaces of one subsystem say of it, on one reactor at the fake level.

import { deepStrictEqual, rejects } from "node:assert/strict";
import { test } from "node:test";
import { MallocDevice } from "../../devices/malloc.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { uuidOfName } from "../../util/uuid.ts";
import type { NvmfSharePlan, NvmfSubsystemSettings } from "../share-plan.ts";
import { NvmfShares } from "./nvmf-share-service.ts";

const NQN = "nqn.2026-11.io.penstock:set";
const ADDRESS = { kind: "tcp", host: "127.0.0.1", port: 4420 } as const;
const NOTHING_SAID: NvmfSubsystemSettings = {
  hosts: undefined,
  serial: undefined,
  model: undefined,
  controllerIds: undefined,
  transferBytesMax: undefined,
  queuesMax: undefined,
  queueDepthMax: undefined,
  inCapsuleBytes: undefined,
  maxConnections: undefined,
};

function planOf(nsid: number, said: Partial<NvmfSubsystemSettings> = {}): NvmfSharePlan {
  return {
    kind: "nvmf",
    address: ADDRESS,
    nqn: NQN,
    nsid,
    uuid: uuidOfName(`${nsid}`),
    readOnly: false,
    anaState: "optimized",
    reservationsPath: undefined,
    subsystem: { ...NOTHING_SAID, ...said },
  };
}

test("what the first namespace has said of its subsystem counts as long as that lives", () =>
  withReactor("fake", async ({ reactor }) => {
    const shares = new NvmfShares(reactor, () => undefined);
    const device = await MallocDevice.open(reactor, {
      name: "m",
      sizeBytes: 1024 * 1024,
      instanceId: uuidOfName("m"),
    });
    const context = { isDeviceShared: false };
    const open = (plan: NvmfSharePlan) => shares.open(ADDRESS, device, plan, context);
    const hosts = ["nqn.2026-11.io.penstock:host"];
    const differs = { code: "subsystem-differs" };
    const first = await open(planOf(1, { hosts }));
    const second = await open(planOf(2));
    await rejects(open(planOf(3, { hosts: ["nqn.2026-11.io.penstock:other"] })), differs);
    await first.close();
    const third = await open(planOf(3, { hosts }));
    await rejects(open(planOf(4, { serial: "S" })), differs);

    // The subsystem ends with the last one; who comes meanwhile makes a new one.
    const closing = [second.close(), third.close()];
    const next = await open(planOf(1));
    await rejects(open(planOf(2, { hosts })), differs);
    await Promise.all(closing);
    await next.close();
    const last = await open(planOf(1, { serial: "S" }));
    deepStrictEqual(last.describe().protocol, "nvmf");
    await last.close();
    await shares.close();
    await device.close();
  }));
