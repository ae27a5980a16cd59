/**
 * ShareServices: the services of one reactor, one for each protocol that it shares over.
 *
 * A service is made when something is first shared over its protocol, since each keeps a reserve
 * of buffers, and stays until `close`.
 */

import type { Device } from "../block/device.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { ConnectionCounts } from "../shares/listening-port.ts";
import { FirstFailure } from "../util/first-failure.ts";
import type { ShareKind, SharePlan } from "./share-plan.ts";
import { NbdShares } from "./shares/nbd-share-service.ts";
import { NvmfShares } from "./shares/nvmf-share-service.ts";
import type {
  LiveShare,
  ShareAnnouncement,
  ShareContext,
  ShareHandOff,
  ShareService,
} from "./shares/share-service.ts";

export interface ShareServicesHooks {
  handOff(toReactor: number, message: ShareHandOff): void;
}

export class ShareServices {
  readonly #reactor: Reactor;
  readonly #hooks: ShareServicesHooks;
  readonly #services = new Map<ShareKind, ShareService>();

  constructor(reactor: Reactor, hooks: ShareServicesHooks) {
    this.#reactor = reactor;
    this.#hooks = hooks;
  }

  /** Of all protocols. */
  get connectionCounts(): ConnectionCounts {
    const sum = { accepted: 0, refused: 0, adopted: 0 };
    for (const { connectionCounts } of this.#services.values()) {
      sum.accepted += connectionCounts.accepted;
      sum.refused += connectionCounts.refused;
      sum.adopted += connectionCounts.adopted;
    }
    return sum;
  }

  /** Of all protocols; those that still negotiate too. */
  get openConnections(): number {
    let sum = 0;
    for (const { openConnections } of this.#services.values()) sum += openConnections;
    return sum;
  }

  /**
   * @returns the real address (port 0 replaced)
   * @throws PenstockError of `Io.listen`, or `no-memory` for the reserve of a new service
   */
  async listen(kind: ShareKind, address: SocketAddress): Promise<SocketAddress> {
    return await this.#of(kind).listen(address);
  }

  async unlisten(kind: ShareKind, address: SocketAddress): Promise<void> {
    await this.#services.get(kind)?.unlisten(address);
  }

  /** Shares a device of this reactor; the listener may be another reactor's. */
  async open(
    address: SocketAddress,
    device: Device,
    plan: SharePlan,
    context: ShareContext,
  ): Promise<LiveShare> {
    return await this.#of(plan.kind).open(address, device, plan, context);
  }

  /** Lets a listener of this reactor find a share of another one. */
  addRemote(address: SocketAddress, announcement: ShareAnnouncement, reactorId: number): void {
    this.#of(announcement.kind).addRemote(address, announcement, reactorId);
  }

  removeRemote(address: SocketAddress, announcement: ShareAnnouncement): void {
    this.#services.get(announcement.kind)?.removeRemote(address, announcement);
  }

  /** Takes over a connection that another reactor has accepted for a share of this one. */
  adopt(handOff: ShareHandOff): void {
    this.#of(handOff.kind).adopt(handOff);
  }

  /** Ends everything. Idempotent. @throws the first failure, after all have ended */
  async close(): Promise<void> {
    const first = new FirstFailure();
    for (const service of this.#services.values()) await first.attempt(() => service.close());
    if (first.failure !== null) throw first.failure;
  }

  #of(kind: ShareKind): ShareService {
    const known = this.#services.get(kind);
    if (known !== undefined) return known;
    const made = this.#make(kind);
    this.#services.set(kind, made);
    return made;
  }

  #make(kind: ShareKind): ShareService {
    const handOff = (toReactor: number, message: ShareHandOff): void =>
      this.#hooks.handOff(toReactor, message);
    switch (kind) {
      case "nbd":
        return new NbdShares(this.#reactor, handOff);
      case "nvmf":
        return new NvmfShares(this.#reactor, handOff);
    }
  }
}
