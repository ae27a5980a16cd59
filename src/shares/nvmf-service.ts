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
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Timer } from "../reactor/clock.ts";
import type { SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { PenstockError } from "../util/errors.ts";
import { addressKey, type ConnectionCounts } from "./nbd-service.ts";
import {
  HANDSHAKE_MS_MAX,
  type ListenerEnvironment,
  NvmfListener,
  type NvmfListenerLimits,
  type SubsystemNotice,
} from "./nvmf-listener.ts";
import { ServedSubsystem } from "./nvmf-subsystem.ts";

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

/** Buffers of a reactor that shares over NVMe/TCP: the reserve, and as much for all else. */
export const NVMF_BUFFER_BYTES_MIN = 2 * BUFFER_BYTES_MAX;

/** Well below the 2 s in which a stopping engine must be gone. */
const DRAIN_MS_MAX = 1500;
/** A host that reads nothing of an answer, or sends none of its data, for this long is gone. */
const STUCK_MS_MAX = 60_000;
/** ... and for this long while others wait for the memory that it holds. */
const STUCK_MS_MAX_SHORT = 5000;
/** Memory is short above this part of the pool. */
const SHORT_SHARE = 3 / 4;
const SWEEP_MS = 1000;

export class NvmfService {
  readonly connectionCounts: ConnectionCounts = { accepted: 0, refused: 0, adopted: 0 };
  readonly #reactor: Reactor;
  readonly #hooks: NvmfServiceHooks;
  readonly #banks: SendBankPool<NvmeCommand>;
  readonly #vectors: ReceiveVectors;
  readonly #reserve: BufferReserve;
  readonly #listeners = new Map<string, NvmfListener>();
  readonly #subsystems = new Map<string, ServedSubsystem>();
  /** By share: the key of its listener. */
  readonly #shares = new Map<NvmfShare, string>();
  readonly #connections = new Set<TargetConnection>();
  #sweep: Timer | null = null;
  #closed = false;

  /** @throws PenstockError `no-memory` when the reactor's buffers cannot spare the reserve */
  constructor(reactor: Reactor, hooks: NvmfServiceHooks) {
    this.#reactor = reactor;
    this.#hooks = hooks;
    this.#banks = new SendBankPool(reactor.io);
    this.#vectors = new ReceiveVectors(reactor.io);
    const { buffers } = reactor;
    const isEnough = buffers.limitBytes >= NVMF_BUFFER_BYTES_MIN;
    const reserve = isEnough ? BufferReserve.create(buffers, BUFFER_BYTES_MAX) : null;
    if (reserve === null) {
      throw new PenstockError({
        code: "no-memory",
        message:
          `a buffer limit of ${buffers.limitBytes} bytes: NVMe/TCP shares need at least ` +
          `${NVMF_BUFFER_BYTES_MIN}, of which ${BUFFER_BYTES_MAX} are their reserve`,
      });
    }
    this.#reserve = reserve;
    this.#scheduleSweep();
  }

  /** Open now, those that are not connected to a subsystem too. */
  get openConnections(): number {
    return this.#connections.size;
  }

  /**
   * Listens, unless it already does. @returns the real address (port 0 replaced)
   * @throws PenstockError of `Io.listen`
   */
  async listen(address: SocketAddress, limits: NvmfListenerLimits = {}): Promise<SocketAddress> {
    const known = this.#listeners.get(addressKey(address));
    if (known !== undefined) return known.address;
    const listener = new NvmfListener(this.#environment(), limits);
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
    await new Promise<void>((resolve) => {
      subsystem.model.removeNamespace(namespace.nsid, () => this.#reactor.deliverLater(resolve));
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
    const stream = new PlainStream(this.#reactor.io, socket);
    const length = Math.max(unread.length + BUFFER_BYTES_MIN, BUFFER_BYTES_MIN);
    const buffer = this.#closed ? null : this.#reactor.buffers.acquire(length);
    if (buffer === null) {
      stream.shutdown();
      stream.close();
      return;
    }
    const window = new ReceiveWindow(this.#reactor.buffers, buffer);
    buffer.slab.bytes.set(unread, buffer.offset);
    window.end = unread.length;
    const host = this.#environment().hostFor(listener, HANDSHAKE_MS_MAX, (nqn) =>
      this.#findOffered(nqn, listener),
    );
    const connection = new TargetConnection({ host, stream, window, peer, session });
    this.#connections.add(connection);
    this.connectionCounts.adopted++;
    connection.start();
  }

  /** Ends everything: listeners, subsystems, connections. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#sweep?.cancel();
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([...this.#shares.keys()].map((share) => this.removeNamespace(share)));
    await Promise.all([...this.#connections].map((connection) => connection.drain()));
    this.#reserve.close();
    this.#banks.close();
  }

  #subsystemOf(options: SubsystemOptions, maxConnections: number | undefined): ServedSubsystem {
    const known = this.#subsystems.get(options.nqn);
    if (known !== undefined) return known;
    const { hostConnected, hostLost } = this.#hooks;
    const model = new NvmeSubsystem(this.#reactor.clock, options, {
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
    const own = [...this.#connections].filter(({ queue }) => queue.subsystem === subsystem);
    const isAdmin = ({ queue }: TargetConnection): boolean => (queue.place?.qid ?? 0) === 0;
    const queues = own.filter((connection) => !isAdmin(connection));
    await Promise.all(queues.map((connection) => connection.drain()));
    await Promise.all(own.filter(isAdmin).map((connection) => connection.drain()));
    subsystem.model.close("the subsystem is going away");
  }

  #environment(): ListenerEnvironment {
    return {
      reactor: this.#reactor,
      connections: this.#connections,
      counts: this.connectionCounts,
      localAddresses: () => this.#hooks.localAddresses?.() ?? [],
      handOff: (toReactor, listener, connection, unread) => {
        const { socket } = connection.stream as PlainStream; // the listener made it
        const { peer, session } = connection;
        this.#hooks.handOff(toReactor, { socket, peer, listener, session, unread });
      },
      hostFor: (listener, handshakeMsMax, findSubsystem) => ({
        reactor: this.#reactor,
        banks: this.#banks,
        reserve: this.#reserve,
        vectors: this.#vectors,
        listener,
        handshakeMsMax,
        drainMsMax: DRAIN_MS_MAX,
        findSubsystem,
        handOff: () => false,
        connectionClosed: (connection) => void this.#connections.delete(connection),
      }),
    };
  }

  #scheduleSweep(): void {
    this.#sweep = this.#reactor.clock.startTimer(SWEEP_MS, () => {
      const { buffers, clock } = this.#reactor;
      const nowMs = clock.nowMs();
      const isShort = buffers.hasWaiters || buffers.heldBytes > buffers.limitBytes * SHORT_SHARE;
      const limitMs = isShort ? STUCK_MS_MAX_SHORT : STUCK_MS_MAX;
      for (const connection of this.#connections) {
        if (connection.stuckMs(nowMs) <= limitMs) continue;
        connection.fail(`the host has neither read nor sent what is due for ${limitMs} ms`);
      }
      if (!this.#closed) this.#scheduleSweep();
    });
  }
}
