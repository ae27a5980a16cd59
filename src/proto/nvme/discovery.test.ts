// Tests of discovery controllers by scripted hosts: log, generation, events, keep-alive, refusals.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { ManualClock, ModelHost } from "../../testing/nvme-model-rig.ts";
import { encodeGetLogPage, encodeIdentify, encodeSetFeatures } from "./admin-commands.ts";
import { AdminOpcode, AsyncEventConfig, Cns, Feature, LogPage } from "./constants.ts";
import { DiscoverySubsystem } from "./discovery.ts";
import { ControllerType, decodeIdentifyController } from "./identify-controller.ts";
import {
  AddressFamily,
  decodeDiscoveryEntry,
  decodeDiscoveryHeader,
  DISCOVERY_ENTRY_BYTES,
  DISCOVERY_HEADER_BYTES,
  type DiscoveryEntry,
  SubsystemType,
  TCP_ENTRY,
} from "./log-discovery.ts";
import { DISCOVERY_NQN } from "./nqn.ts";
import { NvmeStatus } from "./status.ts";

function entry(name: string, subsystemType: number = SubsystemType.nvm): DiscoveryEntry {
  return {
    ...TCP_ENTRY,
    addressFamily: AddressFamily.ipv4,
    subsystemType,
    portId: 1,
    serviceId: "4420",
    subsystemNqn: `nqn.2026-11.io.penstock:${name}`,
    address: "192.0.2.9",
  };
}

function make(options: { nqn?: string } = {}) {
  const clock = new ManualClock();
  const entries = [entry("a"), entry("elsewhere", SubsystemType.referral)];
  const asked: string[] = [];
  const provider = {
    entries: (listener: string, hostNqn: string) => {
      asked.push(`${listener} ${hostNqn}`);
      return entries;
    },
  };
  return { clock, entries, asked, subsystem: new DiscoverySubsystem(clock, provider, options) };
}

function readLog(host: ModelHost) {
  const { reply } = host.do((sqe) =>
    encodeGetLogPage(
      {
        logPage: LogPage.discovery,
        nsid: 0,
        lengthBytes: DISCOVERY_HEADER_BYTES + 4 * DISCOVERY_ENTRY_BYTES,
        offset: 0,
        specific: 0,
        retainEvent: false,
      },
      sqe,
    ),
  );
  const header = decodeDiscoveryHeader(reply);
  const names = Array.from({ length: header?.records ?? 0 }, (_, index) => {
    const at = DISCOVERY_HEADER_BYTES + DISCOVERY_ENTRY_BYTES * index;
    const found = decodeDiscoveryEntry(reply, at);
    return [found?.subsystemType, found?.subsystemNqn.split(":")[1]];
  });
  return { generation: header?.generation ?? 0, names };
}

test("a discovery controller lists what the provider says, by listener and host", () => {
  const { subsystem, asked } = make();
  const host = new ModelHost(subsystem).start();
  deepStrictEqual(readLog(host).names, [
    [SubsystemType.nvm, "a"],
    [SubsystemType.referral, "elsewhere"],
  ]);
  deepStrictEqual(asked, ["tcp:192.0.2.9:4420 nqn.2026-11.test:host"]);
  const reply = host.do((sqe) => encodeIdentify(Cns.controller, 0, 0, sqe)).reply;
  const controller = decodeIdentifyController(reply);
  strictEqual(controller?.cntrltype, ControllerType.discovery);
  strictEqual(controller?.subnqn, DISCOVERY_NQN);
});

test("a change raises the generation, and an event where it is asked for", () => {
  const { subsystem, entries } = make();
  const host = new ModelHost(subsystem).start();
  const before = readLog(host);
  const event = host.plain(AdminOpcode.asyncEventRequest);
  subsystem.changed();
  strictEqual(event.status, null);
  host.do((sqe) =>
    encodeSetFeatures(Feature.asyncEventConfiguration, 0, AsyncEventConfig.discoveryLogChange, sqe),
  );
  entries.push(entry("b"));
  subsystem.changed();
  strictEqual(event.dw0, 0x70_f0_02);
  const after = readLog(host);
  strictEqual(after.names.length, 3);
  strictEqual(after.generation, before.generation + 2);
});

test("a discovery subsystem answers to its own name and to the well-known one", () => {
  const nqn = "nqn.2026-11.io.penstock:discovery";
  const { subsystem } = make({ nqn });
  const host = new ModelHost(subsystem);
  strictEqual(host.connect().status, 0);
  strictEqual(host.connect({}, { subsystemNqn: DISCOVERY_NQN }).status, 0);
  strictEqual(
    host.connect({}, { subsystemNqn: `${nqn}2` }).status,
    NvmeStatus.connectInvalidParameters,
  );
});

test("discovery leaves other connections of a host alone, and has no I/O queues", () => {
  const { subsystem } = make();
  const first = new ModelHost(subsystem).start();
  const second = new ModelHost(subsystem).start();
  strictEqual(first.admin.endedBy, null);
  strictEqual(second.connectIo(1).status, NvmeStatus.connectInvalidParameters);
  for (const opcode of [0xc2, AdminOpcode.securitySend]) {
    strictEqual(second.plain(opcode).code, NvmeStatus.invalidOpcode);
  }
  strictEqual(
    second.do((sqe) => encodeIdentify(Cns.activeNamespaceList, 0, 0, sqe)).code,
    NvmeStatus.invalidField,
  );
});

test("a silent discovery controller goes, one with a time-out of its own stays with it", () => {
  const { clock, subsystem } = make();
  const silent = new ModelHost(subsystem).start();
  const persistent = new ModelHost(subsystem, { peer: "192.0.2.2" }).start(30_000);
  for (let round = 0; round < 8; round++) {
    clock.advance(20_000);
    strictEqual(persistent.plain(AdminOpcode.keepAlive).status, 0);
  }
  ok(silent.admin.endedBy !== null);
  strictEqual(persistent.admin.endedBy, null);
  clock.advance(32_000);
  ok(persistent.admin.endedBy !== null);
});
