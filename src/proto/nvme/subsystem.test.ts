// Tests of a subsystem's model by scripted hosts: Connect, associations, properties, lists, events.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  ManualClock,
  type ModelCommand,
  modelDevice,
  ModelHost,
} from "../../testing/nvme-model-rig.ts";
import {
  encodeAbort,
  encodeGetLogPage,
  encodeIdentify,
  encodeSetFeatures,
  queueCounts,
} from "./admin-commands.ts";
import { invalidParameter } from "./connect.ts";
import {
  AdminOpcode,
  AnaState,
  AsyncEventConfig,
  Cns,
  Feature,
  LogPage,
  NSID_ALL,
} from "./constants.ts";
import { decodeIdentifyController } from "./identify-controller.ts";
import { decodeNamespaceDescriptors, decodeNamespaceList } from "./identify-lists.ts";
import {
  decodeIdentifyIndependentNamespace,
  decodeIdentifyNamespace,
} from "./identify-namespace.ts";
import { decodeAnaLog } from "./log-ana.ts";
import { decodeErrorLog } from "./log-error.ts";
import { decodeSmartLog } from "./log-smart.ts";
import { NvmeNamespace } from "./namespace.ts";
import { decodeControllerStatus, PropertyOffset, ShutdownStatus } from "./properties.ts";
import { NvmeStatus } from "./status.ts";
import { NvmeSubsystem, type SubsystemEvents } from "./subsystem.ts";
import type { SubsystemOptions } from "./subsystem-options.ts";
import { decodeInstanceData, encodeInstanceCommand } from "./vendor.ts";

const NQN = "nqn.2026-11.io.penstock:test";
const UUID = "0a0b0c0d-1111-4222-8333-444455556666";

async function make(options: Partial<SubsystemOptions> = {}, events?: SubsystemEvents) {
  const clock = new ManualClock();
  const subsystem = new NvmeSubsystem(clock, { nqn: NQN, ...options }, events ?? null);
  const device = await modelDevice();
  subsystem.addNamespace(new NvmeNamespace({ nsid: 1, device, uuid: UUID }));
  return { clock, subsystem, device };
}

function log(host: ModelHost, logPage: number, more: Partial<LogRequest> = {}): ModelCommand {
  const request = { logPage, nsid: NSID_ALL, lengthBytes: 4096, offset: 0, specific: 0 };
  return host.do((sqe) => encodeGetLogPage({ ...request, retainEvent: false, ...more }, sqe));
}

type LogRequest = Parameters<typeof encodeGetLogPage>[0];

function identify(host: ModelHost, cns: number, nsid = 0, csi = 0): ModelCommand {
  return host.do((sqe) => encodeIdentify(cns, nsid, csi, sqe));
}

function setFeature(host: ModelHost, feature: number, value: number, nsid = 0): ModelCommand {
  return host.do((sqe) => encodeSetFeatures(feature, nsid, value, sqe));
}

test("Connect names what is wrong with it", async () => {
  const { subsystem } = await make({ hosts: ["nqn.2026-11.test:host"], queuesMax: 2 });
  const host = new ModelHost(subsystem);
  const wrong = (command: ModelCommand, offset: number, inData: boolean): void => {
    strictEqual(command.status, NvmeStatus.connectInvalidParameters);
    strictEqual(command.dw0, invalidParameter(offset, inData));
  };
  strictEqual(host.connect({ recordFormat: 1 }).status, NvmeStatus.connectIncompatibleFormat);
  wrong(host.connect({}, { subsystemNqn: "nqn.2026-11.io.penstock:other" }), 256, true);
  wrong(host.connect({}, { hostNqn: "host" }), 512, true);
  wrong(host.connect({}, { hostId: "00000000-0000-0000-0000-000000000000" }), 0, true);
  wrong(host.connect({}, { cntlid: 7 }), 16, true);
  wrong(host.connect({ queueSize: 1 }), 44, false);
  wrong(host.connect({ queueSize: 4096 }), 44, false);
  strictEqual(
    host.connect({}, { hostNqn: "nqn.2026-11.test:stranger" }).status,
    NvmeStatus.connectInvalidHost,
  );
  host.start();
  wrong(host.connect({ qid: 1 }, { cntlid: 999 }), 16, true);
  wrong(host.connectIo(3), 42, false);
  wrong(host.connectIo(1, { queueSize: 129 }), 44, false);
  wrong(
    host.connect(
      { qid: 1 },
      { cntlid: host.cntlid, hostId: "00000000-0000-4000-8000-00000000ffff" },
    ),
    0,
    true,
  );
  strictEqual(host.connectIo(1).status, NvmeStatus.success);
  strictEqual(host.connectIo(1).status, NvmeStatus.commandSequenceError);
});

test("an I/O queue comes in only while its controller is enabled", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem);
  host.connect();
  strictEqual(host.connectIo(1).status, NvmeStatus.commandSequenceError);
  strictEqual(identify(host, Cns.controller).code, NvmeStatus.commandSequenceError);
  strictEqual(host.configure({ sqeShift: 5 }).code, NvmeStatus.invalidField);
  host.configure({ enable: true });
  const io = host.connectIo(1);
  strictEqual(io.status, NvmeStatus.success);
  strictEqual(host.controller.isReady, true);
  host.configure({ enable: false });
  ok(io.queue.endedBy !== null);
  const ready = () => decodeControllerStatus(host.property(PropertyOffset.status).dw0).ready;
  strictEqual(ready(), true);
  strictEqual(host.configure({ enable: true }).code, NvmeStatus.commandSequenceError);
  io.queue.close();
  strictEqual(ready(), false);
  host.configure({ enable: true });
  strictEqual(host.connectIo(1).status, NvmeStatus.success);
});

test("a shutdown is complete when the I/O queues are gone, and forgotten later", async () => {
  const { clock, subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const io = host.connectIo(1);
  host.configure({ shutdown: 1 });
  const status = () => decodeControllerStatus(host.property(PropertyOffset.status).dw0).shutdown;
  strictEqual(status(), ShutdownStatus.occurring);
  io.queue.close();
  strictEqual(status(), ShutdownStatus.complete);
  clock.advance(121_000);
  ok(host.admin.endedBy !== null);
});

test("a controller that is enabled again stays", async () => {
  const { clock, subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  host.configure({ enable: false });
  clock.advance(60_000);
  host.configure({ enable: true });
  clock.advance(1_000_000);
  strictEqual(host.admin.endedBy, null);
  host.configure({ enable: false });
  clock.advance(121_000);
  ok(host.admin.endedBy !== null);
});

test("a host has one number for all its controllers, used again when it has gone", async () => {
  const { subsystem } = await make();
  const ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
  const [a, b] = ids.map((id) => new ModelHost(subsystem, { id }).start());
  const second = new ModelHost(subsystem, { peer: "192.0.2.2" }).start();
  deepStrictEqual(
    [a, b, second].map((host) => host?.controller.hostIndex),
    [0, 1, 0],
  );
  a?.admin.close();
  const stranger = { id: "00000000-0000-4000-8000-000000000003" };
  strictEqual(new ModelHost(subsystem, stranger).start().controller.hostIndex, 2);
  second.admin.close();
  const another = { id: "00000000-0000-4000-8000-000000000004" };
  strictEqual(new ModelHost(subsystem, another).start().controller.hostIndex, 0);
});

test("a host that comes back waits for the last command of its earlier association", async () => {
  const lost: string[] = [];
  const { subsystem } = await make(
    {},
    { hostConnected: () => undefined, hostLost: (_, reason) => lost.push(reason) },
  );
  const host = new ModelHost(subsystem).start();
  const [admin, cntlid] = [host.admin, host.cntlid];
  const io = host.connectIo(1);
  const aer = host.plain(AdminOpcode.asyncEventRequest);
  const back = host.connect();
  strictEqual(back.status, null);
  strictEqual(aer.code, NvmeStatus.abortedSqDeletion);
  ok(admin.endedBy !== null && io.queue.endedBy !== null);
  strictEqual(lost.length, 1);
  strictEqual(io.queue.controller.isReady, false);
  admin.close();
  strictEqual(back.status, null);
  // Late Connects of the earlier association name nobody.
  const late = host.connect({ qid: 2 }, { cntlid });
  strictEqual(late.status, NvmeStatus.connectInvalidParameters);
  io.queue.close();
  strictEqual(back.status, NvmeStatus.success);
  ok(host.cntlid !== cntlid);
  deepStrictEqual(subsystem.cntlids(), [host.cntlid]);
});

test("whoever comes from where a lost association was waits for its last command", async () => {
  const { subsystem } = await make();
  const [first, elsewhere] = ["192.0.2.1", "192.0.2.2"];
  const [id, nqn] = ["00000000-0000-4000-8000-00000000000b", "nqn.2026-11.test:another"];
  const lost = new ModelHost(subsystem, { peer: first }).start();
  const io = lost.connectIo(1);
  const living = new ModelHost(subsystem, { id, nqn, peer: first });
  strictEqual(living.connect().status, NvmeStatus.success, "one that lives keeps nobody waiting");
  lost.admin.close();
  ok(io.queue.endedBy !== null);
  // Its process was killed and started again under another name, or it came by another way.
  const renamed = new ModelHost(subsystem, { id: `${id.slice(0, -1)}c`, nqn, peer: first });
  const detoured = new ModelHost(subsystem, { peer: elsewhere });
  const waiting = [renamed.connect(), detoured.connect()];
  const stranger = { id: `${id.slice(0, -1)}d`, nqn: `${nqn}-stranger`, peer: elsewhere };
  strictEqual(new ModelHost(subsystem, stranger).connect().status, NvmeStatus.success);
  for (const { status } of waiting) strictEqual(status, null);
  io.queue.close();
  for (const { status } of waiting) strictEqual(status, NvmeStatus.success);
  strictEqual(living.admin.endedBy, null);
});

test("a newer Connect takes the place of one that waits; a closed one is forgotten", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const old = host.admin;
  const first = host.connect();
  const second = host.connect();
  strictEqual(first.code, NvmeStatus.connectControllerBusy);
  ok(first.queue.endedBy !== null);
  second.queue.close();
  old.close();
  strictEqual(second.status, null);
  strictEqual(subsystem.controllers.length, 0);
  strictEqual(new ModelHost(subsystem).connect().status, NvmeStatus.success);
});

test("a link that waits, or is a queue, becomes no other queue", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const old = host.admin;
  const waiting = host.connect();
  const { queue } = waiting;
  const again = (more: { qid?: number; hostNqn?: string; cntlid?: number }): ModelCommand => {
    const other = new ModelHost(subsystem, more.hostNqn ? { nqn: more.hostNqn } : {});
    other.link = () => queue;
    return other.connect({ qid: more.qid ?? 0 }, more.cntlid ? { cntlid: more.cntlid } : {});
  };
  const stranger = { hostNqn: "nqn.2026-11.test:stranger" };
  strictEqual(again(stranger).status, NvmeStatus.commandSequenceError);
  old.close();
  strictEqual(waiting.status, NvmeStatus.success);
  strictEqual(again({}).status, NvmeStatus.commandSequenceError);
  host.configure({ enable: true });
  strictEqual(again({ qid: 1, cntlid: host.cntlid }).status, NvmeStatus.commandSequenceError);
  strictEqual(queue.endedBy, null);
});

test("other ways and other hosts leave an association alone", async () => {
  const { subsystem } = await make();
  const hosts = [
    new ModelHost(subsystem),
    new ModelHost(subsystem, { peer: "192.0.2.2" }),
    new ModelHost(subsystem, { listener: "tcp:192.0.2.9:4421" }),
    new ModelHost(subsystem, { id: "00000000-0000-4000-8000-000000000002" }),
    new ModelHost(subsystem, { nqn: "nqn.2026-11.test:another" }),
  ];
  for (const host of hosts) host.start();
  for (const host of hosts) strictEqual(host.admin.endedBy, null);
});

test("the association of a lost admin queue, or of a silent host, ends as a whole", async () => {
  const { clock, subsystem } = await make();
  const host = new ModelHost(subsystem).start(5000);
  const io = host.connectIo(1);
  clock.advance(4000);
  strictEqual(host.plain(AdminOpcode.keepAlive).status, NvmeStatus.success);
  clock.advance(4900);
  strictEqual(io.queue.endedBy, null);
  clock.advance(1200);
  ok(String(io.queue.endedBy).includes("keep-alive"));
  const names = { id: "00000000-0000-4000-8000-00000000000b", nqn: "nqn.2026-11.test:another" };
  const other = new ModelHost(subsystem, { peer: "192.0.2.2", ...names }).start();
  const otherIo = other.connectIo(1);
  clock.advance(10_000_000);
  strictEqual(otherIo.queue.endedBy, null);
  other.admin.close();
  ok(otherIo.queue.endedBy !== null);
  otherIo.queue.close();
  host.admin.close();
  io.queue.close();
  strictEqual(subsystem.controllers.length, 0);
  strictEqual(clock.timers, 0);
});

test("controllers have identifiers of their range, used again late", async () => {
  const { subsystem } = await make({ cntlidMin: 5, cntlidMax: 7 });
  const ids: number[] = [];
  for (let round = 0; round < 5; round++) {
    const host = new ModelHost(subsystem).start();
    ids.push(host.cntlid);
    host.admin.close();
  }
  deepStrictEqual(ids, [5, 6, 7, 5, 6]);
  const peers = [1, 2, 3].map((peer) => new ModelHost(subsystem, { peer: `192.0.2.${peer}` }));
  for (const host of peers) host.start();
  const more = new ModelHost(subsystem, { peer: "192.0.2.4" }).connect();
  strictEqual(more.status, NvmeStatus.connectControllerBusy);
});

test("Identify tells of the controller and its namespaces", async () => {
  const { subsystem, device } = await make();
  const host = new ModelHost(subsystem).start();
  const controller = decodeIdentifyController(identify(host, Cns.controller).reply);
  strictEqual(controller?.cntlid, host.cntlid);
  strictEqual(controller?.subnqn, NQN);
  strictEqual(controller?.mdts, 8);
  strictEqual(controller?.ioccsz, (64 + 8192) / 16);
  strictEqual(decodeIdentifyNamespace(identify(host, Cns.namespace, 1).reply)?.nsze, 2048);
  const descriptors = decodeNamespaceDescriptors(identify(host, Cns.namespaceDescriptors, 1).reply);
  strictEqual(descriptors.uuid, UUID);
  strictEqual(descriptors.commandSet, 0);
  const ready = decodeIdentifyIndependentNamespace(
    identify(host, Cns.csiIndependentNamespace, 1).reply,
  );
  strictEqual(ready?.nstat, 1);
  deepStrictEqual(decodeNamespaceList(identify(host, Cns.activeNamespaceList).reply), [1]);
  deepStrictEqual(decodeNamespaceList(identify(host, Cns.activeNamespaceList, 1).reply), []);
  strictEqual(
    identify(host, Cns.activeNamespaceList, NSID_ALL).code,
    NvmeStatus.invalidNamespaceOrFormat,
  );
  ok(identify(host, Cns.namespace, 2).reply.every((byte) => byte === 0));
  strictEqual(identify(host, Cns.namespace, 5000).code, NvmeStatus.invalidNamespaceOrFormat);
  strictEqual(identify(host, Cns.csiNamespace, 1, 2).code, NvmeStatus.invalidField);
  strictEqual(identify(host, 0x7f).code, NvmeStatus.invalidField);
  for (const cns of [Cns.csiController, Cns.csiNamespace, Cns.commandSets, Cns.controllerList]) {
    strictEqual(identify(host, cns, 1).status, NvmeStatus.success);
  }
  const instance = host.do((sqe) => encodeInstanceCommand(1, sqe));
  strictEqual(decodeInstanceData(instance.reply)?.instanceId, device.info.instanceId);
});

test("namespaces that come, go and grow are told once per reading of the list", async () => {
  const { subsystem, device } = await make();
  const host = new ModelHost(subsystem).start();
  setFeature(host, Feature.asyncEventConfiguration, AsyncEventConfig.namespaceAttribute);
  const [first, second] = [0, 1].map(() => host.plain(AdminOpcode.asyncEventRequest));
  subsystem.addNamespace(new NvmeNamespace({ nsid: 7, device, uuid: UUID }));
  strictEqual(first?.dw0, 0x04_00_02);
  subsystem.removeNamespace(7, () => undefined);
  subsystem.addNamespace(new NvmeNamespace({ nsid: 3, device, uuid: UUID }));
  strictEqual(second?.status, null);
  const changed = (retainEvent: boolean) =>
    decodeNamespaceList(log(host, LogPage.changedNamespaces, { retainEvent }).reply);
  deepStrictEqual(changed(true), [3, 7]);
  deepStrictEqual(changed(false), [3, 7]);
  deepStrictEqual(changed(false), []);
  subsystem.resized(1);
  strictEqual(second?.status, null);
  subsystem.removeNamespace(3, () => undefined);
  strictEqual(second?.dw0, 0x04_00_02);
});

test("an ANA state is told, shown with a new change count, and stops commands", async () => {
  const { subsystem, device } = await make();
  subsystem.addNamespace(new NvmeNamespace({ nsid: 2, device, uuid: UUID }));
  const host = new ModelHost(subsystem).start();
  setFeature(host, Feature.asyncEventConfiguration, AsyncEventConfig.anaChange);
  const event = host.plain(AdminOpcode.asyncEventRequest);
  const before = decodeAnaLog(log(host, LogPage.ana).reply);
  subsystem.setAnaState(2, AnaState.optimized);
  strictEqual(event.status, null);
  subsystem.setAnaState(2, AnaState.inaccessible);
  strictEqual(event.dw0, 0x0c_03_02);
  const after = decodeAnaLog(log(host, LogPage.ana).reply);
  ok(after !== null && before !== null && after.changeCount > before.changeCount);
  deepStrictEqual(
    after.groups.map(({ id, state, nsids }) => [id, state, nsids]),
    [
      [1, AnaState.optimized, [1]],
      [2, AnaState.inaccessible, [2]],
    ],
  );
  strictEqual(host.controller.namespaceOf(2)?.pathStatus, NvmeStatus.anaInaccessible);
  strictEqual(host.controller.namespaceOf(1)?.pathStatus, 0);
  const groups = decodeAnaLog(log(host, LogPage.ana, { specific: 1 }).reply)?.groups;
  deepStrictEqual(
    groups?.map(({ nsids }) => nsids.length),
    [0, 0],
  );
});

test("a removed namespace is let go when the last command on it has ended", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const { queue } = host.connectIo(1);
  queue.commandsInFlight = 1;
  let isDone = false;
  subsystem.removeNamespace(1, () => {
    isDone = true;
  });
  strictEqual(host.controller.namespaceOf(1), null);
  strictEqual(isDone, false);
  for (const settled of queue.settling) settled();
  strictEqual(isDone, true);
});

test("features are set, read back, refused with SV, and reset with the controller", async () => {
  const { subsystem } = await make({ queuesMax: 4 });
  const host = new ModelHost(subsystem).start(7500);
  const get = (feature: number, value = 0, select = 0, nsid = 0) =>
    host.plain(AdminOpcode.getFeatures, nsid, (sqe) => {
      sqe.cdw10 = feature | (select << 8);
      sqe.cdw11 = value;
    });
  strictEqual(get(Feature.keepAliveTimer).dw0, 8000);
  strictEqual(get(Feature.volatileWriteCache).dw0, 1);
  strictEqual(setFeature(host, Feature.volatileWriteCache, 1).status, 0);
  strictEqual(
    setFeature(host, Feature.volatileWriteCache, 0).code,
    NvmeStatus.featureNotChangeable,
  );
  strictEqual(setFeature(host, Feature.numberOfQueues, queueCounts(9, 9)).dw0, queueCounts(4, 4));
  strictEqual(setFeature(host, Feature.numberOfQueues, 0xffff).code, NvmeStatus.invalidField);
  strictEqual(setFeature(host, Feature.arbitration, 5).status, 0);
  strictEqual(get(Feature.arbitration).dw0, 5);
  strictEqual(get(Feature.arbitration, 0, 1).dw0, 0);
  strictEqual(get(Feature.arbitration, 0, 3).dw0, 4);
  const saved = host.plain(AdminOpcode.setFeatures, 0, (sqe) => {
    sqe.cdw10 = (Feature.arbitration | 0x8000_0000) >>> 0;
  });
  strictEqual(saved.code, NvmeStatus.featureNotSaveable);
  strictEqual(
    setFeature(host, Feature.arbitration, 5, 1).code,
    NvmeStatus.featureNotNamespaceSpecific,
  );
  strictEqual(setFeature(host, Feature.hostIdentifier, 1).code, NvmeStatus.commandSequenceError);
  strictEqual(get(Feature.hostIdentifier, 0).code, NvmeStatus.hostIdInconsistentFormat);
  strictEqual(get(0x7d).code, NvmeStatus.invalidField);
  strictEqual(setFeature(host, Feature.errorRecovery, 9, 1).status, 0);
  strictEqual(get(Feature.errorRecovery, 0, 0, 1).dw0, 9);
  strictEqual(setFeature(host, Feature.reservationNotificationMask, 6, NSID_ALL).status, 0);
  strictEqual(get(Feature.reservationNotificationMask, 0, 0, 1).dw0, 6);
  // No store: nothing can be made to persist.
  strictEqual(setFeature(host, Feature.reservationPersistence, 1, 1).code, NvmeStatus.invalidField);
  const behavior = new Uint8Array(512);
  behavior[0] = 1;
  const set = host.do((sqe) => encodeSetFeatures(Feature.hostBehaviorSupport, 0, 0, sqe), behavior);
  strictEqual(set.status, 0);
  host.configure({ enable: false });
  host.configure({ enable: true });
  strictEqual(get(Feature.arbitration).dw0, 0);
});

test("errors are logged, newest first; SMART counts what hosts did", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  strictEqual(host.plain(0xc5).code, NvmeStatus.invalidOpcode);
  host.controller.noteError({
    qid: 1,
    cid: 9,
    status: NvmeStatus.lbaOutOfRange,
    nsid: 1,
    lba: 77,
  });
  const [newest, older] = decodeErrorLog(log(host, LogPage.error).reply);
  deepStrictEqual([newest?.errorCount, newest?.sqId, newest?.cid, newest?.lba], [2, 1, 9, 77]);
  strictEqual(older?.errorCount, 1);
  const counters = subsystem.namespaceOf(1)?.counters;
  ok(counters !== undefined);
  counters.writes = 3;
  counters.writeBytes = 512_001;
  const smart = decodeSmartLog(log(host, LogPage.smart).reply);
  deepStrictEqual(
    [smart?.errorLogEntries, smart?.hostWriteCommands, smart?.dataUnitsWritten],
    [2, 3, 2],
  );
  strictEqual(log(host, LogPage.smart, { nsid: 9 }).code, NvmeStatus.invalidNamespaceOrFormat);
});

test("log pages are read in parts, and what there is not is refused", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const whole = log(host, LogPage.commandsSupportedAndEffects).reply;
  const part = log(host, LogPage.commandsSupportedAndEffects, { offset: 1024, lengthBytes: 64 });
  deepStrictEqual(part.reply, whole.slice(1024, 1088));
  strictEqual(log(host, LogPage.smart, { offset: 516 }).code, NvmeStatus.invalidField);
  strictEqual(log(host, LogPage.smart, { offset: 2 }).code, NvmeStatus.invalidField);
  strictEqual(log(host, 0xc9).code, NvmeStatus.invalidLogPage);
  for (const id of [LogPage.supported, LogPage.firmwareSlot, LogPage.featureIdentifiersEffects]) {
    strictEqual(log(host, id).status, NvmeStatus.success);
  }
});

test("async event requests are bounded and can be aborted", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const requests = [1, 2, 3, 4].map((cid) =>
    host.plain(AdminOpcode.asyncEventRequest, 0, (sqe) => {
      sqe.cid = cid;
    }),
  );
  strictEqual(host.plain(AdminOpcode.asyncEventRequest).code, NvmeStatus.asyncEventLimitExceeded);
  strictEqual(host.do((sqe) => encodeAbort(0, 3, sqe)).dw0, 0);
  strictEqual(requests[2]?.code, NvmeStatus.abortRequested);
  strictEqual(host.do((sqe) => encodeAbort(0, 3, sqe)).dw0, 1);
  const { queue } = host.connectIo(1);
  queue.abortable.add(40);
  strictEqual(host.do((sqe) => encodeAbort(1, 40, sqe)).dw0, 0);
  strictEqual(host.do((sqe) => encodeAbort(1, 41, sqe)).dw0, 1);
});

test("hosts that may not connect any more are sent away; closing sends all", async () => {
  const { subsystem } = await make();
  const host = new ModelHost(subsystem).start();
  const other = new ModelHost(subsystem, { nqn: "nqn.2026-11.test:other" }).start();
  subsystem.setHosts(["nqn.2026-11.test:host"]);
  strictEqual(host.admin.endedBy, null);
  ok(other.admin.endedBy !== null);
  strictEqual(other.connect().status, NvmeStatus.connectInvalidHost);
  subsystem.close("the share ends");
  ok(host.admin.endedBy !== null);
  strictEqual(host.connect().status, NvmeStatus.connectControllerBusy);
});
