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
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { BUFFER_BYTES_MIN } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Listener, SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { addressKey, type ConnectionCounts } from "./nbd-service.ts";
import { ServedSubsystem } from "./nvmf-subsystem.ts";

export interface NvmfListenerLimits {
  /** Connections of one listener; more are closed at once. */
  readonly maxConnections?: number;
  /** Connections of one peer address. */
  readonly maxConnectionsPerPeer?: number;
  readonly handshakeMsMax?: number;
}

/** What listeners elsewhere are told of a subsystem. Plain values. */
export interface SubsystemNotice {
  readonly nqn: string;
  /** Hosts that see it in discovery; null: any. */
  readonly hosts: readonly string[] | null;
}

export interface ListenerEnvironment {
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

const CONNECTIONS_MAX = 16_384;
const CONNECTIONS_PER_PEER_MAX = 8192;
export const HANDSHAKE_MS_MAX = 30_000;
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
  readonly #environment: ListenerEnvironment;
  readonly #limits: NvmfListenerLimits;
  readonly #discovery: DiscoverySubsystem;
  readonly #subsystems = new Map<string, ServedSubsystem | RemoteSubsystem>();
  readonly #byPeer = new Map<string, number>();
  #host: TargetHost | null = null;
  #listener: Listener | null = null;
  #count = 0;

  constructor(environment: ListenerEnvironment, limits: NvmfListenerLimits) {
    this.#environment = environment;
    this.#limits = limits;
    const provider = {
      entries: (_listener: string, hostNqn: string) => this.#entries(hostNqn),
    };
    this.#discovery = new DiscoverySubsystem(environment.reactor.clock, provider);
  }

  get address(): SocketAddress {
    assert(this.#listener !== null, "a listener is opened first");
    return this.#listener.address;
  }

  async open(address: SocketAddress): Promise<void> {
    const { io } = this.#environment.reactor;
    this.#listener = await io.listen(address, (socket, peer) => this.#accept(socket, peer));
  }

  /** Lets nobody in any more; hosts that are in discovery are sent away. */
  async close(): Promise<void> {
    this.#discovery.close("the listener is going away");
    await this.#listener?.close();
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
    const hosts = isAny ? this.#environment.localAddresses() : [address.host];
    const entries: DiscoveryEntry[] = [];
    for (const [nqn, found] of this.#subsystems) {
      const allowed = found instanceof ServedSubsystem ? found.model.hosts : found.notice.hosts;
      if (allowed !== null && !allowed.includes(hostNqn)) continue;
      for (const host of hosts) entries.push(entryOf(nqn, host, address.port));
    }
    return entries;
  }

  #accept(socket: SocketHandle, peer: string): void {
    const { reactor, connections, counts } = this.#environment;
    const stream = new PlainStream(reactor.io, socket);
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    const full =
      this.#count >= (this.#limits.maxConnections ?? CONNECTIONS_MAX) ||
      ofPeer >= (this.#limits.maxConnectionsPerPeer ?? CONNECTIONS_PER_PEER_MAX);
    // From the pool alone: a window lasts as long as its connection, the reserve is for commands.
    const buffer = full ? null : reactor.buffers.acquire(BUFFER_BYTES_MIN);
    if (buffer === null) {
      counts.refused++;
      stream.shutdown();
      stream.close();
      return;
    }
    counts.accepted++;
    this.#count++;
    this.#byPeer.set(peer, ofPeer + 1);
    const window = new ReceiveWindow(reactor.buffers, buffer);
    this.#host ??= this.#makeHost();
    const connection = new TargetConnection({ host: this.#host, stream, window, peer });
    connections.add(connection);
    connection.start();
  }

  #makeHost(): TargetHost {
    const listener = addressKey(this.address);
    const handshakeMsMax = this.#limits.handshakeMsMax ?? HANDSHAKE_MS_MAX;
    const base = this.#environment.hostFor(listener, handshakeMsMax, (nqn) => this.#find(nqn));
    return {
      ...base,
      handOff: (connection, reactorId, _session, unread) => {
        if (!(connection.stream instanceof PlainStream)) return false;
        this.#environment.handOff(reactorId, listener, connection, unread);
        return true;
      },
      connectionClosed: (connection, reason) => {
        this.#forget(connection);
        base.connectionClosed(connection, reason);
      },
    };
  }

  #forget(connection: TargetConnection): void {
    this.#count--;
    const ofPeer = (this.#byPeer.get(connection.peer) ?? 1) - 1;
    if (ofPeer === 0) this.#byPeer.delete(connection.peer);
    else this.#byPeer.set(connection.peer, ofPeer);
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
