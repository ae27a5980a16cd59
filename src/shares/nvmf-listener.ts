/**
 * NvmfListener: one listening address: whom it lets in, which subsystems it offers, and the
 * discovery subsystem that tells of them.
 */

import { isIPv6 } from "node:net";
import { DiscoverySubsystem } from "../proto/nvme/discovery.ts";
import {
  AddressFamily,
  type DiscoveryEntry,
  SubsystemType,
  TCP_ENTRY,
} from "../proto/nvme/log-discovery.ts";
import { DISCOVERY_NQN } from "../proto/nvme/nqn.ts";
import type { SubsystemTarget } from "../proto/nvme/transport.ts";
import { TargetConnection } from "../proto/nvme-tcp/target-connection.ts";
import type { TargetHost } from "../proto/nvme-tcp/target-link.ts";
import type { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import {
  addressKey,
  type ConnectionCounts,
  type ListenerLimits,
  ListeningPort,
} from "./listening-port.ts";
import { ServedSubsystem } from "./nvmf-subsystem.ts";

/** What listeners elsewhere are told of a subsystem. Plain values. */
export interface SubsystemNotice {
  readonly nqn: string;
  /** Hosts that see it in discovery; null: any. */
  readonly hosts: readonly string[] | null;
}

/** What a listener needs of its service. */
export interface NvmfListenerOwner {
  readonly reactor: Reactor;
  readonly connections: Set<TargetConnection>;
  readonly counts: ConnectionCounts;
  /** Addresses of this machine that stand for "any address", for discovery. */
  localAddresses(): readonly string[];
  handOff(
    toReactor: number,
    listener: string,
    connection: TargetConnection,
    unread: Uint8Array,
  ): void;
  hostFor(
    listener: string,
    handshakeMsMax: number,
    findSubsystem: (nqn: string) => SubsystemTarget | number | null,
  ): TargetHost;
}

/** Of discovery log entries: a listener has one port, and its number does not matter. */
const PORT_ID = 1;
const ANY_ADDRESSES: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

interface RemoteSubsystem {
  readonly notice: SubsystemNotice;
  readonly reactorId: number;
  /** Namespaces that it has been announced for. */
  count: number;
}

export class NvmfListener {
  readonly #owner: NvmfListenerOwner;
  readonly #port: ListeningPort;
  readonly #discovery: DiscoverySubsystem;
  readonly #subsystems = new Map<string, ServedSubsystem | RemoteSubsystem>();
  #host: TargetHost | null = null;

  constructor(owner: NvmfListenerOwner, limits: ListenerLimits) {
    this.#owner = owner;
    const { reactor, counts } = owner;
    this.#port = new ListeningPort({
      reactor,
      limits,
      counts,
      accepted: (stream, window, peer) => this.#accepted(stream, window, peer),
    });
    const provider = {
      entries: (_listener: string, hostNqn: string) => this.#entries(hostNqn),
    };
    this.#discovery = new DiscoverySubsystem(reactor.clock, provider);
  }

  /** The real one, port 0 replaced; known once it is open. */
  get address(): SocketAddress {
    return this.#port.address;
  }

  /** @throws PenstockError of `Io.listen` */
  open(address: SocketAddress): Promise<void> {
    return this.#port.open(address);
  }

  /** Lets nobody in any more; hosts that are in discovery are sent away. */
  async close(): Promise<void> {
    this.#discovery.close("the listener is going away");
    await this.#port.close();
  }

  add(subsystem: ServedSubsystem): void {
    this.#subsystems.set(subsystem.nqn, subsystem);
    this.#discovery.changed();
  }

  remove(nqn: string): void {
    if (this.#subsystems.delete(nqn)) this.#discovery.changed();
  }

  /** A namespace of another reactor's subsystem. */
  addRemote(notice: SubsystemNotice, reactorId: number): void {
    const known = this.#subsystems.get(notice.nqn);
    const count = known === undefined || known instanceof ServedSubsystem ? 0 : known.count;
    this.#subsystems.set(notice.nqn, { notice, reactorId, count: count + 1 });
    this.#discovery.changed();
  }

  removeRemote(nqn: string): void {
    const known = this.#subsystems.get(nqn);
    if (known === undefined || known instanceof ServedSubsystem) return;
    known.count--;
    if (known.count === 0) this.remove(nqn);
  }

  /** The subsystem's hosts have changed. */
  changed(): void {
    this.#discovery.changed();
  }

  #find(nqn: string): SubsystemTarget | number | null {
    if (nqn === DISCOVERY_NQN) return this.#discovery;
    const found = this.#subsystems.get(nqn);
    if (found === undefined) return null;
    return found instanceof ServedSubsystem ? found : found.reactorId;
  }

  #entries(hostNqn: string): readonly DiscoveryEntry[] {
    const { address } = this;
    if (address.kind !== "tcp") return [];
    const isAny = ANY_ADDRESSES.has(address.host);
    const local = isAny ? this.#owner.localAddresses() : [address.host];
    // IPv6's any address takes connections over IPv4 too, not the other way round.
    const hosts = address.host === "0.0.0.0" ? local.filter((host) => !host.includes(":")) : local;
    const entries: DiscoveryEntry[] = [];
    for (const [nqn, found] of this.#subsystems) {
      const allowed = found instanceof ServedSubsystem ? found.model.hosts : found.notice.hosts;
      if (allowed !== null && !allowed.includes(hostNqn)) continue;
      for (const host of hosts) entries.push(entryOf(nqn, host, address.port));
    }
    return entries;
  }

  #accepted(stream: PlainStream, window: ReceiveWindow, peer: string): void {
    this.#host ??= this.#makeHost();
    const connection = new TargetConnection({ host: this.#host, stream, window, peer });
    this.#owner.connections.add(connection);
    connection.start();
  }

  #makeHost(): TargetHost {
    const listener = addressKey(this.address);
    const { handshakeMsMax } = this.#port;
    const base = this.#owner.hostFor(listener, handshakeMsMax, (nqn) => this.#find(nqn));
    return {
      ...base,
      handOff: (connection, reactorId, _session, unread) => {
        if (!(connection.stream instanceof PlainStream)) return false;
        this.#owner.handOff(reactorId, listener, connection, unread);
        return true;
      },
      connectionClosed: (connection, reason) => {
        this.#port.left(connection.peer);
        base.connectionClosed(connection, reason);
      },
    };
  }
}

function entryOf(subsystemNqn: string, address: string, port: number): DiscoveryEntry {
  return {
    ...TCP_ENTRY,
    addressFamily: isIPv6(address) ? AddressFamily.ipv6 : AddressFamily.ipv4,
    subsystemType: SubsystemType.nvm,
    portId: PORT_ID,
    serviceId: String(port),
    subsystemNqn,
    address,
  };
}
