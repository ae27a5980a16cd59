/**
 * AssociationTable: the controllers of one subsystem, which links are theirs, and who waits to
 * become one.
 *
 * Safety rule 4: a host that comes back by the way that it came before (the same name, identifier
 * and address, the same listener) has its earlier association ended, and is let in when the last
 * command of that has really ended, and of all lost ones of its name, identifier or address.
 *
 *   admin Connect --no earlier association--> controller
 *      +--earlier ones--> they are ended --last one gone--> controller
 *                           | a still newer Connect, or the link has closed: forgotten
 */

import { CNTLID_DYNAMIC } from "./constants.ts";
import { ConnectOffset, connectResult } from "./connect.ts";
import {
  type ConnectRequest,
  failConnect,
  failParameter,
  hasSqFlowControl,
} from "./connect-request.ts";
import type { BaseController, ControllerIdentity } from "./controller-base.ts";
import { HostTable } from "./host-table.ts";
import { NvmeStatus } from "./status.ts";
import { ADMIN_QUEUE_ENTRIES_MAX, type ResolvedOptions } from "./subsystem-options.ts";
import type { QueueLink } from "./transport.ts";

export interface AssociationHooks<C extends BaseController> {
  make(identity: ControllerIdentity, admin: QueueLink): C;
  /** A host more or less in `AssociationTable.hosts`. */
  hostsChanged(): void;
}

interface Waiting {
  readonly request: ConnectRequest;
  /** Earlier associations that are not gone. */
  readonly earlier: Set<BaseController>;
}

export class AssociationTable<C extends BaseController> {
  /** By identifier; those that have ended are in it until they are gone. */
  readonly controllers = new Map<number, C>();
  readonly #options: ResolvedOptions;
  readonly #hooks: AssociationHooks<C>;
  /** False: hosts may have several associations by one way, as with discovery. */
  readonly #replaces: boolean;
  readonly #hosts = new HostTable();
  readonly #byLink = new Map<QueueLink, C>();
  #waiting: Waiting[] = [];
  /** Identifiers are used again late: a Connect that was held up on its way names nobody. */
  #nextCntlid: number;

  constructor(options: ResolvedOptions, replaces: boolean, hooks: AssociationHooks<C>) {
    this.#options = options;
    this.#replaces = replaces;
    this.#hooks = hooks;
    this.#nextCntlid = options.cntlidMin;
  }

  /** By index: hosts of controllers that are not gone. */
  get hosts(): readonly (string | null)[] {
    return this.#hosts.hosts;
  }

  /** A Connect of an admin queue, otherwise in order. */
  connectAdmin(request: ConnectRequest): void {
    const { command, connect, data } = request;
    if (this.#isTaken(command.queue)) {
      failConnect(command, NvmeStatus.commandSequenceError);
    } else if (connect.queueSize < 2 || connect.queueSize > ADMIN_QUEUE_ENTRIES_MAX) {
      failParameter(command, ConnectOffset.queueSize, false);
    } else if (data.cntlid !== CNTLID_DYNAMIC) {
      failParameter(command, ConnectOffset.cntlid, true);
    } else {
      const earlier = this.#replaces ? this.#endEarlier(request) : new Set<BaseController>();
      if (earlier.size === 0) this.#admit(request);
      else this.#waiting.push({ request, earlier });
    }
  }

  /** A Connect of an I/O queue, otherwise in order. */
  connectIo(request: ConnectRequest): void {
    const { command, connect, data } = request;
    const controller = this.controllers.get(data.cntlid);
    if (controller === undefined || controller.hasEnded) {
      failParameter(command, ConnectOffset.cntlid, true);
    } else if (controller.hostNqn !== data.hostNqn) {
      failParameter(command, ConnectOffset.hostNqn, true);
    } else if (controller.hostId !== data.hostId) {
      failParameter(command, ConnectOffset.hostId, true);
    } else if (connect.qid > this.#options.queuesMax) {
      failParameter(command, ConnectOffset.qid, false);
    } else if (connect.queueSize < 2 || connect.queueSize > this.#options.queueEntriesMax) {
      failParameter(command, ConnectOffset.queueSize, false);
    } else if (
      !controller.isReady ||
      controller.hasQueue(connect.qid) ||
      this.#isTaken(command.queue)
    ) {
      // Not enabled; or such a queue is there, or has not quite gone.
      failConnect(command, NvmeStatus.commandSequenceError);
    } else {
      controller.addQueue(connect.qid, command.queue);
      this.#attach(request, controller);
    }
  }

  /** No controller has the link after it. */
  queueEnded(link: QueueLink): void {
    this.#waiting = this.#waiting.filter(({ request }) => request.command.queue !== link);
    const controller = this.#byLink.get(link);
    this.#byLink.delete(link);
    controller?.queueEnded(link);
  }

  /** The last queue of the controller has ended. */
  gone(controller: BaseController): void {
    this.controllers.delete(controller.cntlid);
    this.#hosts.leave(controller.hostIndex);
    this.#hooks.hostsChanged();
    for (const waiting of this.#waiting) waiting.earlier.delete(controller);
    const ready = this.#waiting.filter(({ earlier }) => earlier.size === 0);
    this.#waiting = this.#waiting.filter(({ earlier }) => earlier.size > 0);
    for (const { request } of ready) this.#admit(request);
  }

  /** Ends all associations that `isMeant` names, and those that wait. */
  endAll(reason: string, isMeant: (hostNqn: string) => boolean): void {
    const waiting = this.#waiting.filter(({ request }) => isMeant(request.data.hostNqn));
    this.#forget(waiting, reason);
    for (const controller of [...this.controllers.values()]) {
      if (isMeant(controller.hostNqn)) controller.end(reason);
    }
  }

  /** @returns those that the host may have lost, and that are not gone yet */
  #endEarlier(request: ConnectRequest): Set<BaseController> {
    const { data } = request;
    const { peer, listener } = request.command.queue;
    const reason = "its host has come back with a new association";
    const isSame = (hostNqn: string, hostId: string, way: Way): boolean =>
      hostNqn === data.hostNqn &&
      hostId === data.hostId &&
      way.peer === peer &&
      way.listener === listener;
    const waiting = this.#waiting.filter(({ request: other }) =>
      isSame(other.data.hostNqn, other.data.hostId, other.command.queue),
    );
    this.#forget(waiting, reason);
    for (const controller of [...this.controllers.values()]) {
      if (isSame(controller.hostNqn, controller.hostId, controller)) controller.end(reason);
    }
    // A lost one may be the host's too: by another way, or of a process that has a new name now.
    const isKin = (each: BaseController): boolean =>
      each.hostNqn === data.hostNqn || each.hostId === data.hostId || each.peer === peer;
    return new Set([...this.controllers.values()].filter((each) => each.hasEnded && isKin(each)));
  }

  /** They have not begun, so nothing needs to end but their connections. */
  #forget(waiting: readonly Waiting[], reason: string): void {
    this.#waiting = this.#waiting.filter((each) => !waiting.includes(each));
    for (const { request } of waiting) {
      failConnect(request.command, NvmeStatus.connectControllerBusy);
      request.command.queue.end(reason);
    }
  }

  /** The link is a queue, or waits to become one. */
  #isTaken(link: QueueLink): boolean {
    return (
      this.#byLink.has(link) || this.#waiting.some(({ request }) => request.command.queue === link)
    );
  }

  #admit(request: ConnectRequest): void {
    const { command, connect, data } = request;
    const cntlid = this.controllers.size < this.#options.controllersMax ? this.#freeCntlid() : null;
    if (cntlid === null) {
      failConnect(command, NvmeStatus.connectControllerBusy);
      return;
    }
    const identity: ControllerIdentity = {
      cntlid,
      hostNqn: data.hostNqn,
      hostId: data.hostId,
      hostIndex: this.#hosts.enter(data.hostId),
      keepAliveMs: connect.keepAliveMs,
    };
    this.#hooks.hostsChanged();
    const controller = this.#hooks.make(identity, command.queue);
    this.controllers.set(cntlid, controller);
    this.#attach(request, controller);
  }

  #attach({ command, connect }: ConnectRequest, controller: C): void {
    this.#byLink.set(command.queue, controller);
    command.queue.attach({
      controller,
      qid: connect.qid,
      entries: connect.queueSize,
      hasSqFlowControl: hasSqFlowControl(connect),
    });
    command.complete(NvmeStatus.success, connectResult(controller.cntlid));
  }

  #freeCntlid(): number | null {
    const { cntlidMin, cntlidMax } = this.#options;
    for (let tries = cntlidMin; tries <= cntlidMax; tries++) {
      const cntlid = this.#nextCntlid;
      this.#nextCntlid = cntlid === cntlidMax ? cntlidMin : cntlid + 1;
      if (!this.controllers.has(cntlid)) return cntlid;
    }
    return null;
  }
}

interface Way {
  readonly peer: string;
  readonly listener: string;
}
