/**
 * NbdShares: the NBD service of a reactor as a ShareService. No state of its own.
 */

import type { Device } from "../../block/device.ts";
import type { SocketAddress } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { ConnectionCounts } from "../../shares/listening-port.ts";
import { NbdService } from "../../shares/nbd-service.ts";
import { assert } from "../../util/assert.ts";
import type { SharePlan } from "../share-plan.ts";
import type { LiveShare, ShareAnnouncement, ShareHandOff, ShareService } from "./share-service.ts";

export class NbdShares implements ShareService {
  readonly #service: NbdService;

  /** @throws PenstockError `no-memory` */
  constructor(reactor: Reactor, handOff: (toReactor: number, message: ShareHandOff) => void) {
    this.#service = new NbdService(reactor, {
      handOff: (toReactor, message) => handOff(toReactor, { kind: "nbd", message }),
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

  async open(address: SocketAddress, device: Device, plan: SharePlan): Promise<LiveShare> {
    assert(plan.kind === "nbd", "an NBD service shares over NBD");
    const { exportName, readOnly, description, maxConnections } = plan;
    const service = this.#service;
    const exported = service.addExport(address, device, {
      name: exportName,
      readOnly,
      ...(description === "" ? {} : { description }),
      ...(maxConnections === undefined ? {} : { maxConnections }),
    });
    return {
      get announcement() {
        return { kind: "nbd" as const, description: exported.description };
      },
      counts: exported.stats,
      latency: exported.latency,
      resized: () => service.resized(exported),
      describe: () => ({ protocol: "nbd", connections: exported.stats.connections }),
      close: () => service.removeExport(exported),
    };
  }

  addRemote(address: SocketAddress, announcement: ShareAnnouncement, reactorId: number): void {
    assert(announcement.kind === "nbd", "a share is announced to its own protocol");
    this.#service.addRemoteExport(address, announcement.description, reactorId);
  }

  removeRemote(address: SocketAddress, announcement: ShareAnnouncement): void {
    assert(announcement.kind === "nbd", "a share is announced to its own protocol");
    this.#service.removeRemoteExport(address, announcement.description.name);
  }

  adopt(handOff: ShareHandOff): void {
    assert(handOff.kind === "nbd", "a connection is handed to its own protocol");
    this.#service.adopt(handOff.message);
  }

  close(): Promise<void> {
    return this.#service.close();
  }
}
