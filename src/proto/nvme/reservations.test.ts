// Tests of reservations by scripted hosts: random programs against a dumb model, what other hosts
// are told, saving before answering, preemption of commands that last.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  ManualClock,
  type ModelCommand,
  modelDevice,
  ModelHost,
  type ModelLink,
} from "../../testing/nvme-model-rig.ts";
import {
  type ModelReservationCommand,
  type ModelResult,
  ReservationModel,
} from "../../testing/reservation-model.ts";
import { testSeed } from "../../testing/test-seed.ts";
import { Prng } from "../../util/prng.ts";
import { beginAdmin, encodeGetLogPage, encodeSetFeatures } from "./admin-commands.ts";
import { AdminOpcode, AnaState, Feature, IoOpcode, LogPage, ReservationType } from "./constants.ts";
import { NvmeNamespace } from "./namespace.ts";
import {
  decodeReport,
  decodeReservationNotification,
  encodeAcquire,
  encodeRegister,
  encodeRelease,
  type ReservationReport,
} from "./reservation-data.ts";
import type { ReservationState } from "./reservation-rules.ts";
import { decodeReservations, encodeReservations } from "./reservation-store.ts";
import { NvmeReservations } from "./reservations.ts";
import { codeOf, NvmeStatus } from "./status.ts";
import { NvmeSubsystem } from "./subsystem.ts";
import { Access } from "./transport.ts";

const NQN = "nqn.2026-11.io.penstock:test";
const UUID = "0a0b0c0d-1111-4222-8333-444455556666";
const PROGRAMS = 300;
const STEPS = 60;

/** A host with an I/O queue, and what it says. */
class ReservingHost extends ModelHost {
  readonly #link: ModelLink;

  constructor(subsystem: NvmeSubsystem, number: number) {
    const id = `00000000-0000-4000-8000-00000000000${number}`;
    super(subsystem, { id, peer: `192.0.2.${number}` });
    this.start();
    this.#link = this.connectIo(1).queue;
  }

  get queue(): ModelLink {
    return this.#link;
  }

  run(command: Omit<ModelReservationCommand, "host">, persistence = 0): ModelCommand {
    const { kind, action, ignoreKey, type, current, other } = command;
    const base = { action, ignoreExistingKey: ignoreKey, type, currentKey: current };
    return this.io(this.#link, (sqe) => {
      beginAdmin(OPCODES[kind], 1, 16, sqe);
      if (kind === "register") {
        return encodeRegister({ ...base, changePersistence: persistence, newKey: other }, sqe);
      }
      if (kind === "acquire") return encodeAcquire({ ...base, preemptKey: other }, sqe);
      return encodeRelease(base, sqe);
    });
  }

  register(key: bigint, persistence = 0): ModelCommand {
    return this.run({ ...PLAIN, kind: "register", other: key }, persistence);
  }

  acquire(key: bigint, type: number, preempted: bigint | null = null, aborts = false) {
    const action = preempted === null ? 0 : aborts ? 2 : 1;
    const command = { ...PLAIN, action, type, current: key, other: preempted ?? 0n };
    return this.run({ ...command, kind: "acquire" });
  }

  report(extended = true, lengthBytes = 4096): ModelCommand {
    return this.io(this.#link, (sqe) => {
      beginAdmin(IoOpcode.reservationReport, 1, lengthBytes, sqe);
      sqe.cdw10 = lengthBytes / 4 - 1;
      sqe.cdw11 = extended ? 1 : 0;
      return undefined;
    });
  }

  reported(): ReservationReport {
    const report = decodeReport(this.report().reply, true);
    ok(report !== null);
    return report;
  }

  notice(retainEvent = false) {
    const { reply } = this.do((sqe) =>
      encodeGetLogPage(
        {
          logPage: LogPage.reservationNotification,
          nsid: 0,
          lengthBytes: 64,
          offset: 0,
          specific: 0,
          retainEvent,
        },
        sqe,
      ),
    );
    return decodeReservationNotification(reply);
  }

  may(access: Access): boolean {
    const namespace = this.controller.namespaceOf(1);
    ok(namespace !== null);
    return !namespace.isReserved || !namespace.refuses(this.controller.hostIndex, access);
  }
}

const OPCODES = {
  register: IoOpcode.reservationRegister,
  acquire: IoOpcode.reservationAcquire,
  release: IoOpcode.reservationRelease,
} as const;
const PLAIN = { action: 0, ignoreKey: false, type: 0, current: 0n, other: 0n };

async function make(reservations?: NvmeReservations | null) {
  const subsystem = new NvmeSubsystem(new ManualClock(), { nqn: NQN });
  const device = await modelDevice();
  const more = reservations === undefined ? {} : { reservations };
  const namespace = new NvmeNamespace({ nsid: 1, device, uuid: UUID, ...more });
  subsystem.addNamespace(namespace);
  const hosts = [1, 2, 3, 4].map((number) => new ReservingHost(subsystem, number));
  const [a, b, c, d] = hosts as [ReservingHost, ReservingHost, ReservingHost, ReservingHost];
  return { subsystem, namespace, hosts, a, b, c, d };
}

function resultOf(command: ModelCommand): ModelResult | string {
  switch (command.code) {
    case NvmeStatus.success:
      return "ok";
    case NvmeStatus.reservationConflict:
      return "conflict";
    case NvmeStatus.invalidField:
      return "invalid";
    default:
      return `status ${command.code}`;
  }
}

/** Few keys, often the right one, sometimes nonsense. */
function draw(prng: Prng, model: ReservationModel, host: ReservingHost): ModelReservationCommand {
  const mine = model.keys.find((each) => each.host === host.hostId)?.key ?? 1n;
  const keys = [0n, 1n, 2n, 0xffff_ffff_ffff_ffffn];
  const kind = prng.pick(["register", "register", "acquire", "acquire", "release"] as const);
  return {
    kind,
    host: host.hostId,
    action: prng.chance(0.03) ? 7 : prng.below(kind === "release" ? 2 : 3),
    ignoreKey: prng.chance(kind === "register" ? 0.3 : 0.03),
    type: prng.chance(0.4) && model.type > 0 ? model.type : prng.below(8),
    current: prng.chance(0.85) ? mine : prng.pick(keys),
    other: prng.pick(keys),
  };
}

test("reservations do what a dumb model of the specification does", async (t) => {
  const prng = new Prng(testSeed(t));
  for (let program = 0; program < PROGRAMS; program++) {
    const { hosts } = await make();
    const model = new ReservationModel();
    for (let step = 0; step < STEPS; step++) {
      const host = prng.pick(hosts);
      const command = draw(prng, model, host);
      const expected = model.run(command);
      const where = `program ${program} step ${step} ${textOf(command)}`;
      strictEqual(resultOf(host.run(command)), expected, where);
      compare(model, hosts, where);
    }
  }
});

function textOf(command: ModelReservationCommand): string {
  return JSON.stringify(command, (_key, value: unknown) =>
    typeof value === "bigint" ? `${value}n` : value,
  );
}

function compare(model: ReservationModel, hosts: readonly ReservingHost[], where: string): void {
  const report = (hosts[0] as ReservingHost).reported();
  strictEqual(report.type, model.type, where);
  strictEqual(report.generation, model.generation, where);
  deepStrictEqual(
    report.registrants.map(({ hostId, key, isHolder }) => [hostId, key, isHolder]).sort(),
    model.keys.map(({ host, key }) => [host, key, model.holders.includes(host)]).sort(),
    where,
  );
  for (const host of hosts) {
    strictEqual(host.may(Access.read), model.may(host.hostId, "r"), where);
    strictEqual(host.may(Access.write), model.may(host.hostId, "w"), where);
    const told: number[] = [];
    for (let notice = host.notice(); notice?.count; notice = host.notice()) told.push(notice.type);
    const expected = model.told.filter((each) => each.host === host.hostId);
    deepStrictEqual(told.sort(), expected.map(({ what }) => what).sort(), where);
  }
}

test("other hosts are told by an event until they have read all, or mask it", async () => {
  const { a, b, c } = await make();
  for (const [index, host] of [a, b, c].entries()) host.register(BigInt(index + 1));
  c.do((sqe) => encodeSetFeatures(Feature.reservationNotificationMask, 1, 0b1100, sqe));
  const event = b.plain(AdminOpcode.asyncEventRequest);
  const quiet = c.plain(AdminOpcode.asyncEventRequest);
  a.acquire(1n, ReservationType.writeExclusiveRegistrantsOnly);
  a.run({ ...PLAIN, kind: "release", type: 3, current: 1n });
  strictEqual(event.dw0, 0x80_00_06);
  strictEqual(quiet.status, null);
  a.acquire(1n, ReservationType.writeExclusive);
  a.run({ ...PLAIN, kind: "release", action: 1, current: 1n });
  deepStrictEqual([b.notice(true)?.type, b.notice(true)?.available], [2, 1]);
  const again = b.plain(AdminOpcode.asyncEventRequest);
  strictEqual(again.status, null);
  strictEqual(b.notice()?.type, 2);
  strictEqual(again.dw0, 0x80_00_06);
  strictEqual(b.notice()?.type, 3);
  strictEqual(b.notice()?.count, 0);
  strictEqual(c.notice()?.count, 0);
});

test("a report names each controller of a host, and hosts that are away", async () => {
  const { subsystem, a, b } = await make();
  a.register(1n);
  b.register(2n);
  b.acquire(2n, ReservationType.exclusiveAccess);
  const second = new ModelHost(subsystem, { id: a.hostId, peer: "192.0.2.99" }).start();
  b.admin.close();
  b.queue.close();
  const { registrants } = a.reported();
  deepStrictEqual(
    registrants.map(({ cntlid, isHolder }) => [cntlid, isHolder]).sort(),
    [
      [a.cntlid, false],
      [second.cntlid, false],
      [0xffff, true],
    ].sort(),
  );
  strictEqual(a.report(false).code, NvmeStatus.hostIdInconsistentFormat);
  const short = decodeReport(a.report(true, 64).reply, true);
  deepStrictEqual([short?.generation, short?.registrants.length], [2, 0]);
  strictEqual(second.controller.namespaceOf(1)?.refuses(second.controller.hostIndex, 0), true);
});

test("preempt and abort is answered when the preempted host's commands have ended", async () => {
  const { a, b } = await make();
  a.register(1n);
  b.register(2n);
  a.acquire(1n, ReservationType.writeExclusive);
  a.queue.commandsInFlight = 3;
  const preempt = b.acquire(2n, ReservationType.writeExclusive, 1n, true);
  strictEqual(preempt.status, null);
  strictEqual(a.may(Access.write), false);
  strictEqual(b.register(2n).status, NvmeStatus.success);
  for (const settled of a.queue.settling) settled();
  strictEqual(preempt.status, NvmeStatus.success);
});

class HeldStore {
  readonly saves: { text: string; settle: () => void; fail: () => void }[] = [];

  async load(): Promise<ReservationState | null> {
    const last = this.saves.at(-1);
    return last === undefined ? null : decodeReservations(last.text, UUID);
  }

  save(state: ReservationState): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (): void => reject(new Error("disk full"));
    this.saves.push({ text: encodeReservations(state, UUID), settle: resolve, fail });
    return promise;
  }
}

async function makeStored() {
  const store = new HeldStore();
  const reservations = await NvmeReservations.open(store);
  const made = await make(reservations);
  // Saves begin outside of the turn; here there is none.
  reservations.connect({
    notify: () => undefined,
    abort: (_hosts, done) => done(),
    deliverLater: (step) => step(),
  });
  return { ...made, store };
}

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

test("what persists is saved before it counts; a failed save changes nothing", async () => {
  const { a, b, store } = await makeStored();
  const first = a.register(1n, 3);
  const acquired = a.acquire(1n, ReservationType.writeExclusive);
  deepStrictEqual([first.status, acquired.status, store.saves.length], [null, null, 1]);
  store.saves[0]?.settle();
  await tick();
  deepStrictEqual([first.status, acquired.status, store.saves.length], [0, null, 2]);
  strictEqual(b.may(Access.write), true);
  store.saves[1]?.fail();
  await tick();
  strictEqual(acquired.code, NvmeStatus.internalError);
  strictEqual(a.reported().type, 0);
  const again = a.acquire(1n, ReservationType.writeExclusive);
  store.saves[2]?.settle();
  await tick();
  strictEqual(again.status, 0);
  strictEqual(b.may(Access.write), false);
  const reopened = await NvmeReservations.open(store);
  strictEqual(reopened.state.type, ReservationType.writeExclusive);
  // The last word on persistence is stored too: nothing is left behind by it.
  const off = a.do((sqe) => encodeSetFeatures(Feature.reservationPersistence, 1, 0, sqe));
  store.saves[3]?.settle();
  await tick();
  strictEqual(off.status, 0);
  strictEqual((await NvmeReservations.open(store)).isReserved, false);
});

test("a host that comes back waits for what is being saved; the rest is dropped", async () => {
  const { a, store } = await makeStored();
  const cntlid = a.cntlid;
  const { admin, queue } = a;
  a.register(1n, 3);
  const dropped = a.acquire(1n, ReservationType.writeExclusive);
  const back = a.connect();
  admin.close();
  queue.close();
  strictEqual(back.status, null);
  store.saves[0]?.settle();
  await tick();
  strictEqual(dropped.code, NvmeStatus.abortedSqDeletion);
  strictEqual(back.status, NvmeStatus.success);
  ok(a.cntlid !== cntlid);
  strictEqual(store.saves.length, 1);
});

test("reservation commands need a namespace, its path, and their data", async () => {
  const { subsystem, namespace, a } = await make();
  subsystem.setAnaState(1, AnaState.inaccessible);
  strictEqual(a.register(1n).status, NvmeStatus.anaInaccessible);
  subsystem.setAnaState(1, AnaState.optimized);
  const cut = a.io(a.queue, (sqe) => {
    beginAdmin(IoOpcode.reservationRegister, 1, 16, sqe);
    return new Uint8Array(8);
  });
  strictEqual(cut.code, NvmeStatus.dataSglLengthInvalid);
  strictEqual(codeOf(a.register(1n, 3).status ?? 0), NvmeStatus.invalidField);
  strictEqual(namespace.isReserved, false);
  const without = await make(null);
  strictEqual(without.a.register(1n).code, NvmeStatus.invalidOpcode);
  strictEqual(without.a.report().code, NvmeStatus.invalidOpcode);
});
