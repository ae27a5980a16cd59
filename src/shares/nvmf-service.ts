/**
 * NvmfService: the NVMe/TCP shares of one reactor: its listeners, its subsystems, and their
 * connections.
 *
 * A subsystem and all of its namespaces live on one reactor; several listeners may offer it, its
 * own reactor's and others'. A listener hands a connection over once the host has named, in its
 * Connect, a subsystem that lives elsewhere.
 */

import type { Device } from "../block/device.ts";
import type { AnaState } from "../proto/nvme/constants.ts";
import type { NvmeCommand } from "../proto/nvme/io-command.ts";
import { type NamespaceOptions, NvmeNamespace } from "../proto/nvme/namespace.ts";
import { type SubsystemEvents, NvmeSubsystem } from "../proto/nvme/subsystem.ts";
import type { SubsystemOptions } from "../proto/nvme/subsystem-options.ts";
import { TargetConnection } from "../proto/nvme-tcp/target-connection.ts";
import type { TargetSession } from "../proto/nvme-tcp/target-session.ts";
import type { PlainStream } from "../reactor/byte-stream.ts";
import type { SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import {
  addressKey,
  type ConnectionCounts,
  HANDSHAKE_MS_MAX,
  type ListenerLimits,
} from "./listening-port.ts";
import { NvmfListener, type NvmfListenerOwner, type SubsystemNotice } from "./nvmf-listener.ts";
import { ServedSubsystem } from "./nvmf-subsystem.ts";
import { ServiceConnections } from "./service-connections.ts";

/** A connection on its way to its subsystem's reactor: plain values. */
export interface NvmfHandOff {
  readonly socket: SocketHandle;
  readonly peer: string;
  /** The listener's address, as `addressKey` writes it. */
  readonly listener: string;
  readonly session: TargetSession;
  /** Received and not yet read: the Connect is the first of it. */
  readonly unread: Uint8Array;
}

export interface NvmfServiceHooks extends Partial<SubsystemEvents> {
  handOff(toReactor: number, message: NvmfHandOff): void;
  /** Addresses of this machine, which discovery tells where a listener has "any address". */
  localAddresses?(): readonly string[];
}

export interface NvmfNamespaceOptions extends Omit<NamespaceOptions, "device"> {
  /** Of its subsystem; the first namespace's count, later ones' are ignored. */
  readonly subsystem: SubsystemOptions;
  /** Connections of the subsystem at a time. */
  readonly maxConnections?: number;
}

/** A namespace that is shared. */
export interface NvmfShare {
  readonly namespace: NvmeNamespace;
  readonly subsystem: ServedSubsystem;
  /** What listeners on other reactors are told. */
  readonly notice: SubsystemNotice;
}

export class NvmfService {
  readonly #hooks: NvmfServiceHooks;
  readonly #connections: ServiceConnections<TargetConnection, NvmeCommand>;
  readonly #listeners = new Map<string, NvmfListener>();
  readonly #subsystems = new Map<string, ServedSubsystem>();
  /** By share: the key of its listener. */
  readonly #shares = new Map<NvmfShare, string>();
  #closed = false;

  /** @throws PenstockError `no-memory` when the reactor's buffers cannot spare the reserve */
  constructor(reactor: Reactor, hooks: NvmfServiceHooks) {
    this.#hooks = hooks;
    this.#connections = new ServiceConnections(reactor, { protocol: "NVMe/TCP", peer: "host" });
  }

  get connectionCounts(): Readonly<ConnectionCounts> {
    return this.#connections.counts;
  }

  /** Open now, those that are not connected to a subsystem too. */
  get openConnections(): number {
    return this.#connections.open.size;
  }

  /**
   * Listens, unless it already does. @returns the real address (port 0 replaced)
   * @throws PenstockError of `Io.listen`
   */
  async listen(address: SocketAddress, limits: ListenerLimits = {}): Promise<SocketAddress> {
    const known = this.#listeners.get(addressKey(address));
    if (known !== undefined) return known.address;
    const listener = new NvmfListener(this.#owner(), limits);
    await listener.open(address);
    const key = addressKey(listener.address);
    this.#listeners.set(key, listener);
    for (const subsystem of this.#subsystems.values()) {
      if (subsystem.listeners.has(key)) listener.add(subsystem);
    }
    return listener.address;
  }

  /** Stops listening; connections to subsystems stay. */
  async unlisten(address: SocketAddress): Promise<void> {
    const key = addressKey(address);
    const listener = this.#listeners.get(key);
    this.#listeners.delete(key);
    await listener?.close();
  }

  /**
   * Shares a device of this reactor as a namespace; the listener may be another reactor's. The
   * first namespace of an NQN makes its subsystem.
   * @throws PenstockError `namespace-exists`
   */
  addNamespace(address: SocketAddress, device: Device, options: NvmfNamespaceOptions): NvmfShare {
    const key = addressKey(address);
    const { subsystem: subsystemOptions, maxConnections, ...namespaceOptions } = options;
    const subsystem = this.#subsystemOf(subsystemOptions, maxConnections);
    const namespace = new NvmeNamespace({ ...namespaceOptions, device });
    subsystem.model.addNamespace(namespace);
    const isNew = subsystem.listeners.size === 0;
    if (isNew) this.#subsystems.set(subsystem.nqn, subsystem);
    const offered = subsystem.listeners.get(key) ?? 0;
    subsystem.listeners.set(key, offered + 1);
    if (offered === 0) this.#listeners.get(key)?.add(subsystem);
    const notice = { nqn: subsystem.nqn, hosts: subsystem.model.hosts };
    const share: NvmfShare = { namespace, subsystem, notice };
    this.#shares.set(share, key);
    return share;
  }

  /** The subsystem of that name that namespaces of this reactor are in; one that ends is not. */
  subsystem(nqn: string): ServedSubsystem | null {
    return this.#subsystems.get(nqn) ?? null;
  }

  /** The device of a share has another size: hosts are told. */
  resized({ subsystem, namespace }: NvmfShare): void {
    subsystem.model.resized(namespace.nsid);
  }

  /** How hosts reach the share by this engine: they are told, and go another way or come back. */
  setAnaState({ subsystem, namespace }: NvmfShare, state: AnaState): void {
    subsystem.model.setAnaState(namespace.nsid, state);
  }

  /**
   * Takes the namespace away and waits until no host has a command on it. The last one of its
   * subsystem ends that: its hosts get answers to what is in flight, and are gone. Idempotent.
   */
  async removeNamespace(share: NvmfShare): Promise<void> {
    const key = this.#shares.get(share);
    if (key === undefined) return;
    this.#shares.delete(share);
    const { subsystem, namespace } = share;
    const left = (subsystem.listeners.get(key) ?? 1) - 1;
    if (left > 0) subsystem.listeners.set(key, left);
    else {
      subsystem.listeners.delete(key);
      this.#listeners.get(key)?.remove(subsystem.nqn);
    }
    if (subsystem.listeners.size === 0) await this.#end(subsystem);
    const { reactor } = this.#connections;
    await new Promise<void>((resolve) => {
      subsystem.model.removeNamespace(namespace.nsid, () => reactor.deliverLater(resolve));
    });
  }

  /** Lets a listener of this reactor find a namespace of a subsystem of another one. */
  addRemoteSubsystem(address: SocketAddress, notice: SubsystemNotice, reactorId: number): void {
    this.#listeners.get(addressKey(address))?.addRemote(notice, reactorId);
  }

  removeRemoteSubsystem(address: SocketAddress, nqn: string): void {
    this.#listeners.get(addressKey(address))?.removeRemote(nqn);
  }

  /** Takes over a connection from another reactor. */
  adopt(message: NvmfHandOff): void {
    const { listener, peer, session, socket, unread } = message;
    const parts = this.#connections.adopt(socket, unread, this.#closed);
    if (parts === null) return;
    const host = this.#owner().hostFor(listener, HANDSHAKE_MS_MAX, (nqn) =>
      this.#findOffered(nqn, listener),
    );
    const connection = new TargetConnection({ host, ...parts, peer, session });
    this.#connections.open.add(connection);
    connection.start();
  }

  /** Ends everything: listeners, subsystems, connections. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([...this.#shares.keys()].map((share) => this.removeNamespace(share)));
    await this.#connections.close();
  }

  #subsystemOf(options: SubsystemOptions, maxConnections: number | undefined): ServedSubsystem {
    const known = this.#subsystems.get(options.nqn);
    if (known !== undefined) return known;
    const { hostConnected, hostLost } = this.#hooks;
    const model = new NvmeSubsystem(this.#connections.reactor.clock, options, {
      hostConnected: (controller) => hostConnected?.(controller),
      hostLost: (controller, reason) => hostLost?.(controller, reason),
    });
    return new ServedSubsystem(model, maxConnections ?? Number.POSITIVE_INFINITY);
  }

  #findOffered(nqn: string, listener: string): ServedSubsystem | null {
    const found = this.#subsystems.get(nqn);
    return found?.listeners.has(listener) === true ? found : null;
  }

  /** I/O queues first: the end of an admin queue is that of its association. */
  async #end(subsystem: ServedSubsystem): Promise<void> {
    if (this.#subsystems.get(subsystem.nqn) === subsystem) {
      this.#subsystems.delete(subsystem.nqn);
    }
    const own = [...this.#connections.open].filter(({ queue }) => queue.subsystem === subsystem);
    const isAdmin = ({ queue }: TargetConnection): boolean => (queue.place?.qid ?? 0) === 0;
    const queues = own.filter((connection) => !isAdmin(connection));
    await Promise.all(queues.map((connection) => connection.drain()));
    await Promise.all(own.filter(isAdmin).map((connection) => connection.drain()));
    subsystem.model.close("the subsystem is going away");
  }

  #owner(): NvmfListenerOwner {
    const { counts, hostParts, open, reactor } = this.#connections;
    return {
      reactor,
      connections: open,
      counts,
      localAddresses: () => this.#hooks.localAddresses?.() ?? [],
      handOff: (toReactor, listener, connection, unread) => {
        const { socket } = connection.stream as PlainStream; // the listener made it
        const { peer, session } = connection;
        this.#hooks.handOff(toReactor, { socket, peer, listener, session, unread });
      },
      hostFor: (listener, handshakeMsMax, findSubsystem) => ({
        ...hostParts,
        listener,
        handshakeMsMax,
        findSubsystem,
        handOff: () => false,
        connectionClosed: (connection) => void open.delete(connection),
      }),
    };
  }
}
