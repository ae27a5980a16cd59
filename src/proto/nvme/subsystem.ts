/**
 * NvmeSubsystem: namespaces, and the controllers through which hosts reach them. All of it lives in
 * one reactor.
 *
 * It tells its controllers what has changed, and its namespaces' reservations who is there.
 */

import type { Clock } from "../../reactor/clock.ts";
import { PenstockError } from "../../util/errors.ts";
import { AssociationTable } from "./association-table.ts";
import { type AnaState, CNTLID_DYNAMIC } from "./constants.ts";
import { failConnect, readConnect } from "./connect-request.ts";
import { NvmeController } from "./controller.ts";
import type { ControllerEnvironment } from "./controller-base.ts";
import type { Claimant, NvmeNamespace } from "./namespace.ts";
import type { Registrant, ReservationReport } from "./reservation-data.ts";
import { type HostId, holds, type ReservationNotice } from "./reservation-rules.ts";
import { NvmeStatus } from "./status.ts";
import {
  type ResolvedOptions,
  resolveOptions,
  type SubsystemOptions,
} from "./subsystem-options.ts";
import type { SubsystemView } from "./subsystem-view.ts";
import type { QueueLink, SlowCommand, SubsystemTarget } from "./transport.ts";

/** What others may want to know of its hosts. */
export interface SubsystemEvents {
  hostConnected(controller: NvmeController): void;
  /** The association is over; its commands may still be ending. */
  hostLost(controller: NvmeController, reason: string): void;
}

export class NvmeSubsystem implements SubsystemTarget, SubsystemView {
  readonly clock: Clock;
  readonly options: ResolvedOptions;
  readonly startedMs: number;
  readonly #associations: AssociationTable<NvmeController>;
  readonly #events: SubsystemEvents | null;
  /** By NSID, with holes. */
  readonly #namespaces: (NvmeNamespace | null)[] = [];
  #hosts: readonly string[] | null;
  #anaChangeCount = 1;
  readonly #anaGroupChanges = new Map<number, number>();
  #isClosing = false;

  constructor(clock: Clock, options: SubsystemOptions, events: SubsystemEvents | null = null) {
    this.clock = clock;
    this.options = resolveOptions(options);
    this.startedMs = clock.nowMs();
    this.#hosts = this.options.hosts;
    this.#events = events;
    const environment: ControllerEnvironment = {
      clock,
      ended: (controller, reason) => {
        if (controller instanceof NvmeController) this.#events?.hostLost(controller, reason);
      },
      gone: (controller) => {
        this.#associations.gone(controller);
        this.#endClaims(controller);
      },
    };
    this.#associations = new AssociationTable(this.options, true, {
      make: (identity, admin) => {
        const controller = new NvmeController(environment, this, identity, admin);
        this.#events?.hostConnected(controller);
        return controller;
      },
      hostsChanged: () => this.#tellHosts(),
    });
  }

  get nqn(): string {
    return this.options.nqn;
  }

  /** Those that have ended and are not gone yet, too. */
  get controllers(): readonly NvmeController[] {
    return [...this.#associations.controllers.values()];
  }

  /** Hosts that may connect; null: any. */
  get hosts(): readonly string[] | null {
    return this.#hosts;
  }

  // hot path
  namespaceOf(nsid: number): NvmeNamespace | null {
    return nsid < this.#namespaces.length ? (this.#namespaces[nsid] ?? null) : null;
  }

  nsids(): readonly number[] {
    return this.namespaces().map(({ nsid }) => nsid);
  }

  namespaces(): readonly NvmeNamespace[] {
    return this.#namespaces.filter((namespace) => namespace != null);
  }

  cntlids(): readonly number[] {
    return [...this.#associations.controllers.keys()].sort((a, b) => a - b);
  }

  get anaChangeCount(): number {
    return this.#anaChangeCount;
  }

  anaGroupChangeCount(nsid: number): number {
    return this.#anaGroupChanges.get(nsid) ?? 0;
  }

  /**
   * Hosts see it at once. It belongs to no other subsystem.
   * @throws PenstockError `namespace-exists`
   */
  addNamespace(namespace: NvmeNamespace): void {
    const { nsid } = namespace;
    if (this.namespaceOf(nsid) !== null) {
      throw new PenstockError({
        code: "namespace-exists",
        message: `there is a namespace ${nsid} in subsystem ${this.nqn} already`,
      });
    }
    while (this.#namespaces.length <= nsid) this.#namespaces.push(null);
    this.#namespaces[nsid] = namespace;
    namespace.reservations?.connect({
      notify: (notice) => this.#notify(nsid, notice),
      abort: (hosts, done) => this.#settle(nsid, (host) => hosts.includes(host), done),
      deliverLater: (step) => namespace.device.reactor.deliverLater(step),
    });
    this.#tellHosts();
    this.#noteAnaChange(nsid);
    for (const controller of this.controllers) controller.namespaceChanged(nsid);
  }

  /**
   * New commands are refused at once. @param done when the last command of any host on it has
   * ended; in this call if there is none
   */
  removeNamespace(nsid: number, done: () => void): void {
    if (this.namespaceOf(nsid) === null) {
      done();
      return;
    }
    this.#namespaces[nsid] = null;
    this.#noteAnaChange(nsid);
    for (const controller of this.controllers) controller.namespaceChanged(nsid);
    this.#settle(nsid, () => true, done);
  }

  /** The device of that namespace may have another size. */
  resized(nsid: number): void {
    if (this.namespaceOf(nsid)?.noteSize() !== true) return;
    for (const controller of this.controllers) controller.namespaceChanged(nsid);
  }

  /** How hosts reach a namespace by this subsystem's controllers; null: all namespaces. */
  setAnaState(nsid: number | null, state: AnaState): void {
    const isMeant = (each: NvmeNamespace): boolean =>
      (nsid === null || each.nsid === nsid) && each.anaState !== state;
    const changed = this.namespaces().filter(isMeant);
    if (changed.length === 0) return;
    for (const namespace of changed) {
      namespace.setAnaState(state);
      this.#noteAnaChange(namespace.nsid);
    }
    for (const controller of this.controllers) controller.anaChanged();
  }

  /** From now on only those hosts; associations of others end. Null: any. */
  setHosts(hosts: readonly string[] | null): void {
    this.#hosts = hosts;
    this.#associations.endAll("its host may not connect any more", (nqn) => !this.#isAllowed(nqn));
  }

  connect(command: SlowCommand): void {
    const request = readConnect(command, [this.nqn], true);
    if (request === null) return;
    if (this.#isClosing) failConnect(command, NvmeStatus.connectControllerBusy);
    else if (!this.#isAllowed(request.data.hostNqn)) {
      failConnect(command, NvmeStatus.connectInvalidHost);
    } else if (request.connect.qid === 0) this.#associations.connectAdmin(request);
    else this.#associations.connectIo(request);
  }

  queueEnded(link: QueueLink): void {
    this.#associations.queueEnded(link);
  }

  /** Lets nobody in any more and ends all associations; `controllers` empties. Idempotent. */
  close(reason: string): void {
    this.#isClosing = true;
    this.#associations.endAll(reason, () => true);
  }

  /** spec: NVMe Base 2.0 7.4: an entry for each controller of a registered host */
  reportReservations({ reservations }: NvmeNamespace): ReservationReport {
    const state = reservations?.state;
    if (state === undefined) return { generation: 0, type: 0, persists: false, registrants: [] };
    const registrants: Registrant[] = [];
    for (const [hostId, key] of state.registrants) {
      const isHolder = holds(state, hostId);
      const cntlids = this.controllers
        .filter((controller) => controller.hostId === hostId && !controller.hasEnded)
        .map(({ cntlid }) => cntlid);
      for (const cntlid of cntlids.length > 0 ? cntlids : [CNTLID_DYNAMIC]) {
        registrants.push({ cntlid, isHolder, hostId, key });
      }
    }
    const { generation, type, persists } = state;
    return { generation, type, persists, registrants };
  }

  #isAllowed(hostNqn: string): boolean {
    return this.#hosts === null || this.#hosts.includes(hostNqn);
  }

  #tellHosts(): void {
    for (const { reservations } of this.namespaces()) {
      reservations?.setHosts(this.#associations.hosts);
    }
  }

  /** A host without controllers claims nothing; one that has just come back has one. */
  #endClaims({ hostNqn, hostId }: Claimant): void {
    const isHosts = (each: Claimant): boolean => each.hostNqn === hostNqn && each.hostId === hostId;
    if (this.controllers.some(isHosts)) return;
    for (const namespace of this.namespaces()) namespace.release({ hostNqn, hostId });
  }

  #noteAnaChange(nsid: number): void {
    this.#anaChangeCount++;
    this.#anaGroupChanges.set(nsid, this.#anaChangeCount);
  }

  #notify(nsid: number, { hosts, type }: ReservationNotice): void {
    for (const controller of this.controllers) {
      if (hosts.includes(controller.hostId)) controller.reservationNotice(nsid, type);
    }
  }

  /** Ends the commands that hosts have in flight on a namespace, then calls `done`. */
  #settle(nsid: number, isMeant: (host: HostId) => boolean, done: () => void): void {
    const links = this.controllers
      .filter(({ hostId }) => isMeant(hostId))
      .flatMap((controller) => controller.ioLinks.map(([, link]) => link));
    let left = links.length + 1;
    const settled = (): void => {
      left--;
      if (left === 0) done();
    };
    for (const link of links) link.settle(nsid, settled);
    settled();
  }
}
