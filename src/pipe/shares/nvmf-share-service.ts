/**
 * NvmfShares: the NVMe/TCP service of a reactor as a ShareService.
 *
 * State: which namespaces of this reactor belong to which NQN, so that a subsystem's events reach a
 * pipe, and what was said of it, so that what is said twice is said alike.
 */

import { networkInterfaces } from "node:os";
import type { Device, DeviceDetails } from "../../block/device.ts";
import { AnaState } from "../../proto/nvme/constants.ts";
import type { NvmeController } from "../../proto/nvme/controller.ts";
import { NvmeReservations } from "../../proto/nvme/reservations.ts";
import type { SubsystemOptions } from "../../proto/nvme/subsystem-options.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { ConnectionCounts } from "../../shares/listening-port.ts";
import { NvmfService, type NvmfShare } from "../../shares/nvmf-service.ts";
import type { ServedSubsystem } from "../../shares/nvmf-subsystem.ts";
import { ReservationFileStore } from "../../shares/reservation-file-store.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import type {
  AnaStateName,
  NvmfSharePlan,
  NvmfSubsystemSettings,
  SharePlan,
} from "../share-plan.ts";
import type {
  LiveShare,
  ShareAnnouncement,
  ShareContext,
  ShareCounts,
  ShareHandOff,
  ShareService,
} from "./share-service.ts";

const ANA_STATES_BY_NAME: Readonly<Record<AnaStateName, AnaState>> = {
  optimized: AnaState.optimized,
  nonoptimized: AnaState.nonOptimized,
  inaccessible: AnaState.inaccessible,
};

/** A namespace of this reactor. */
interface Member {
  readonly plan: NvmfSharePlan;
  readonly context: ShareContext;
}

export class NvmfShares implements ShareService {
  readonly #service: NvmfService;
  /** In the order of opening. */
  readonly #members = new Set<Member>();
  /** What the namespace that made a subsystem has said of it. */
  readonly #said = new WeakMap<ServedSubsystem, NvmfSubsystemSettings>();

  /** @throws PenstockError `no-memory` */
  constructor(reactor: Reactor, handOff: (toReactor: number, message: ShareHandOff) => void) {
    this.#service = new NvmfService(reactor, {
      handOff: (toReactor, message) => handOff(toReactor, { kind: "nvmf", message }),
      localAddresses,
      hostConnected: (controller) => {
        const { peer } = controller;
        this.#say(controller, "info", "host-connected", `connected from ${peer}`);
      },
      hostLost: (controller, reason) => {
        this.#say(controller, "info", "host-disconnected", `disconnected: ${reason}`);
      },
    });
  }

  get connectionCounts(): Readonly<ConnectionCounts> {
    return this.#service.connectionCounts;
  }

  get openConnections(): number {
    return this.#service.openConnections;
  }

  listen(address: SocketAddress): Promise<SocketAddress> {
    return this.#service.listen(address);
  }

  unlisten(address: SocketAddress): Promise<void> {
    return this.#service.unlisten(address);
  }

  /** @throws PenstockError `namespace-exists`, `subsystem-differs` */
  async open(
    address: SocketAddress,
    device: Device,
    plan: SharePlan,
    context: ShareContext,
  ): Promise<LiveShare> {
    assert(plan.kind === "nvmf", "an NVMe/TCP service shares over NVMe/TCP");
    const reservations = await openReservations(plan, context);
    this.#checkAlike(plan);
    const service = this.#service;
    const share = service.addNamespace(address, device, {
      nsid: plan.nsid,
      uuid: plan.uuid,
      readOnly: plan.readOnly,
      anaState: ANA_STATES_BY_NAME[plan.anaState],
      reservations,
      subsystem: subsystemOptions(plan),
      ...(plan.subsystem.maxConnections === undefined
        ? {}
        : { maxConnections: plan.subsystem.maxConnections }),
    });
    if (!this.#said.has(share.subsystem)) this.#said.set(share.subsystem, plan.subsystem);
    const member = { plan, context };
    this.#members.add(member);
    const { counters } = share.namespace;
    return {
      announcement: { kind: "nvmf", notice: share.notice },
      get counts(): ShareCounts {
        const { reads, writes, others, readBytes, writeBytes, errors, latencyMsSum } = counters;
        const { connections } = share.subsystem;
        return { reads, writes, others, readBytes, writeBytes, errors, latencyMsSum, connections };
      },
      latency: counters.latency,
      resized: () => service.resized(share),
      describe: () => detailsOf(share),
      close: async () => {
        await service.removeNamespace(share);
        this.#members.delete(member);
      },
    };
  }

  addRemote(address: SocketAddress, announcement: ShareAnnouncement, reactorId: number): void {
    assert(announcement.kind === "nvmf", "a share is announced to its own protocol");
    this.#service.addRemoteSubsystem(address, announcement.notice, reactorId);
  }

  removeRemote(address: SocketAddress, announcement: ShareAnnouncement): void {
    assert(announcement.kind === "nvmf", "a share is announced to its own protocol");
    this.#service.removeRemoteSubsystem(address, announcement.notice.nqn);
  }

  adopt(handOff: ShareHandOff): void {
    assert(handOff.kind === "nvmf", "a connection is handed to its own protocol");
    this.#service.adopt(handOff.message);
  }

  close(): Promise<void> {
    return this.#service.close();
  }

  /** What the first namespace has said of the subsystem counts, also when that one is gone. */
  #checkAlike({ nqn, subsystem }: NvmfSharePlan): void {
    const served = this.#service.subsystem(nqn);
    const settings = served === null ? undefined : this.#said.get(served);
    if (settings === undefined) return;
    const said = new Map(Object.entries(settings));
    for (const [key, value] of Object.entries(subsystem)) {
      if (value === undefined || isAlike(value, said.get(key))) continue;
      throw new PenstockError({
        code: "subsystem-differs",
        message:
          `another namespace of ${nqn} has said otherwise of its ${key}: ` +
          "expected the same options of the subsystem, or none",
        details: { nqn, setting: key },
      });
    }
  }

  #firstOf(nqn: string): Member | undefined {
    for (const member of this.#members) if (member.plan.nqn === nqn) return member;
    return undefined;
  }

  /** One pipe of the subsystem hears of it. */
  #say(controller: NvmeController, level: "info", code: string, what: string): void {
    const { nqn } = controller.subsystem.options;
    const { hostNqn, cntlid } = controller;
    const message = `host ${hostNqn} (controller ${cntlid}) ${what}`;
    this.#firstOf(nqn)?.context.report?.({ level, code, message });
  }
}

async function openReservations(
  { reservationsPath, uuid }: NvmfSharePlan,
  { isDeviceShared, reservationsPath: pathElse, report }: ShareContext,
): Promise<NvmeReservations | null> {
  // Another engine would not know of them.
  if (isDeviceShared) return null;
  const path = reservationsPath ?? pathElse;
  const store = path === undefined ? null : new ReservationFileStore(path, uuid);
  const reservations = await NvmeReservations.open(store);
  if (reservations.trouble !== null) {
    const message = `hosts cannot write: ${reservations.trouble}`;
    report?.({ level: "error", code: "reservations-damaged", message });
  }
  return reservations;
}

function subsystemOptions({ nqn, subsystem }: NvmfSharePlan): SubsystemOptions {
  const { controllerIds, queueDepthMax, inCapsuleBytes, ...others } = subsystem;
  const { maxConnections: _ofTheService, ...settings } = others;
  const all = {
    ...settings,
    queueEntriesMax: queueDepthMax,
    inCapsuleBytesMax: inCapsuleBytes,
    cntlidMin: controllerIds?.min,
    cntlidMax: controllerIds?.max,
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return { nqn, ...Object.fromEntries(given) };
}

function isAlike(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function detailsOf({ namespace, subsystem }: NvmfShare): DeviceDetails {
  const hosts = new Map<string, { nqn: string; controllers: number[]; queues: number }>();
  for (const { hostNqn, cntlid, ioLinks, hasEnded } of subsystem.model.controllers) {
    if (hasEnded) continue;
    const host = hosts.get(hostNqn) ?? { nqn: hostNqn, controllers: [], queues: 0 };
    hosts.set(hostNqn, host);
    host.controllers.push(cntlid);
    host.queues += ioLinks.length;
  }
  return {
    protocol: "nvmf",
    subsystem: subsystem.nqn,
    nsid: namespace.nsid,
    uuid: namespace.uuid,
    connections: subsystem.connections,
    hosts: [...hosts.values()],
  };
}

/** Of this machine, as hosts elsewhere may know it: neither of the loopback nor of one link. */
function localAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return (outside.length > 0 ? outside : all).map(({ address }) => address);
}
