/**
 * NbdService: the NBD shares of one reactor: its listeners, its exports, and their connections.
 *
 * Several exports may share a listener. A listener lives on one reactor; it also knows the exports
 * that live on others, and hands a connection over once the client has named its export.
 */

import type { Device } from "../block/device.ts";
import type { NbdCommand } from "../proto/nbd/command.ts";
import { NbdConnection } from "../proto/nbd/connection.ts";
import type { ConnectionHost } from "../proto/nbd/connection-host.ts";
import { NbdExport, type NbdExportOptions } from "../proto/nbd/export.ts";
import type { ExportDescription, ExportDirectory } from "../proto/nbd/export-description.ts";
import type { NegotiatedSession } from "../proto/nbd/negotiation.ts";
import { ReceiveVectors } from "../proto/stream/receive-vectors.ts";
import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { SendBankPool } from "../proto/stream/send-bank.ts";
import { BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, BufferReserve } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Timer } from "../reactor/clock.ts";
import type { Listener, SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";

/** A connection on its way to its export's reactor: plain values. */
export interface NbdHandOff {
  readonly socket: SocketHandle;
  readonly peer: string;
  /** The listener's address, as `addressKey` writes it. */
  readonly listener: string;
  readonly session: NegotiatedSession;
  /** Received and not yet read. */
  readonly unread: Uint8Array;
}

/** What became of the clients of a service so far. */
export interface ConnectionCounts {
  accepted: number;
  /** Closed at once: too many, or no memory for one more. */
  refused: number;
  /** Taken over from another reactor, which has accepted them. */
  adopted: number;
}

export interface NbdServiceHooks {
  handOff(toReactor: number, message: NbdHandOff): void;
}

export interface NbdListenerLimits {
  /** Connections of one listener; more are closed at once. */
  readonly maxConnections?: number;
  /** Connections of one peer address. */
  readonly maxConnectionsPerPeer?: number;
  readonly handshakeMsMax?: number;
}

/** Buffers of a reactor that shares over NBD: the reserve, and as much for all else. */
export const NBD_BUFFER_BYTES_MIN = 2 * BUFFER_BYTES_MAX;

const CONNECTIONS_MAX = 16_384;
const CONNECTIONS_PER_PEER_MAX = 8192;
const HANDSHAKE_MS_MAX = 30_000;
/** Well below the 2 s in which a stopping engine must be gone. */
const DRAIN_MS_MAX = 1500;
/** A client that reads nothing of a reply, or sends nothing of a payload, for this long is gone. */
const STUCK_MS_MAX = 60_000;
/** ... and for this long while others wait for the memory that it holds. */
const STUCK_MS_MAX_SHORT = 5000;
/** Memory is short above this part of the pool. */
const SHORT_SHARE = 3 / 4;
const SWEEP_MS = 1000;

/** One text per address: the key under which a listener is found. */
export function addressKey(address: SocketAddress): string {
  return address.kind === "unix" ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
}

export class NbdService {
  readonly connectionCounts: ConnectionCounts = { accepted: 0, refused: 0, adopted: 0 };
  readonly #reactor: Reactor;
  readonly #hooks: NbdServiceHooks;
  readonly #banks: SendBankPool<NbdCommand>;
  readonly #vectors: ReceiveVectors;
  readonly #reserve: BufferReserve;
  readonly #listeners = new Map<string, NbdListener>();
  readonly #exports = new Map<NbdExport, string>();
  readonly #connections = new Set<NbdConnection>();
  #sweep: Timer | null = null;
  #closed = false;

  /** @throws PenstockError `no-memory` when the reactor's buffers cannot spare the reserve */
  constructor(reactor: Reactor, hooks: NbdServiceHooks) {
    this.#reactor = reactor;
    this.#hooks = hooks;
    this.#banks = new SendBankPool(reactor.io);
    this.#vectors = new ReceiveVectors(reactor.io);
    const { buffers } = reactor;
    const isEnough = buffers.limitBytes >= NBD_BUFFER_BYTES_MIN;
    const reserve = isEnough ? BufferReserve.create(buffers, BUFFER_BYTES_MAX) : null;
    if (reserve === null) {
      throw new PenstockError({
        code: "no-memory",
        message:
          `a buffer limit of ${buffers.limitBytes} bytes: NBD shares need at least ` +
          `${NBD_BUFFER_BYTES_MIN}, of which ${BUFFER_BYTES_MAX} are their reserve`,
      });
    }
    this.#reserve = reserve;
    this.#scheduleSweep();
  }

  /** Open now, those that still negotiate too. */
  get openConnections(): number {
    return this.#connections.size;
  }

  /**
   * Listens, unless it already does. @returns the real address (port 0 replaced)
   * @throws PenstockError of `Io.listen`
   */
  async listen(address: SocketAddress, limits: NbdListenerLimits = {}): Promise<SocketAddress> {
    const known = this.#listeners.get(addressKey(address));
    if (known !== undefined) return known.address;
    const listener = new NbdListener(this.#environment(), limits);
    await listener.open(address);
    const key = addressKey(listener.address);
    this.#listeners.set(key, listener);
    for (const [exported, at] of this.#exports) {
      if (at === key) listener.add(exported.description, exported);
    }
    return listener.address;
  }

  /** Stops listening; connections stay. */
  async unlisten(address: SocketAddress): Promise<void> {
    const key = addressKey(address);
    const listener = this.#listeners.get(key);
    this.#listeners.delete(key);
    await listener?.close();
  }

  /**
   * Shares a device of this reactor; the listener may be another reactor's.
   * @throws PenstockError `export-exists`
   */
  addExport(address: SocketAddress, device: Device, options: NbdExportOptions): NbdExport {
    const key = addressKey(address);
    this.#refuseTaken(key, options.name);
    const exported = new NbdExport(device, options);
    this.#exports.set(exported, key);
    this.#listeners.get(key)?.add(exported.description, exported);
    return exported;
  }

  /** The device of an export has another size: new connections get it. */
  resized(exported: NbdExport): void {
    exported.noteSize();
    const key = this.#exports.get(exported);
    if (key !== undefined) this.#listeners.get(key)?.add(exported.description, exported);
  }

  /** Lets a listener of this reactor find an export of another one. */
  addRemoteExport(address: SocketAddress, description: ExportDescription, reactorId: number): void {
    const key = addressKey(address);
    this.#refuseTaken(key, description.name);
    this.#listeners.get(key)?.add(description, reactorId);
  }

  removeRemoteExport(address: SocketAddress, name: string): void {
    this.#listeners.get(addressKey(address))?.remove(name);
  }

  /** Takes no more clients, answers what is in flight, closes its connections. Idempotent. */
  async removeExport(exported: NbdExport): Promise<void> {
    const key = this.#exports.get(exported);
    if (key === undefined) return;
    this.#exports.delete(exported);
    this.#listeners.get(key)?.remove(exported.description.name);
    await Promise.all([...exported.connections].map((connection) => connection.drain()));
    exported.release();
  }

  /** Takes over a connection from another reactor. */
  adopt(message: NbdHandOff): void {
    const stream = new PlainStream(this.#reactor.io, message.socket);
    const exported = this.#findExport(message.listener, message.session.export.name);
    const length = Math.max(message.unread.length + BUFFER_BYTES_MIN, BUFFER_BYTES_MIN);
    const buffer = exported === null ? null : this.#reactor.buffers.acquire(length);
    if (exported === null || buffer === null) {
      stream.shutdown();
      stream.close();
      return;
    }
    const window = new ReceiveWindow(this.#reactor.buffers, buffer);
    buffer.slab.bytes.set(message.unread, buffer.offset);
    window.end = message.unread.length;
    const host = this.#environment().hostFor(EMPTY_DIRECTORY, () => exported, HANDSHAKE_MS_MAX);
    const connection = new NbdConnection(host, stream, window, message.peer);
    this.#connections.add(connection);
    this.connectionCounts.adopted++;
    connection.startTransmission(message.session, exported);
  }

  /** Ends everything: listeners, exports, connections. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#sweep?.cancel();
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([...this.#exports.keys()].map((exported) => this.removeExport(exported)));
    await Promise.all([...this.#connections].map((connection) => connection.drain()));
    this.#reserve.close();
    this.#banks.close();
  }

  #refuseTaken(key: string, name: string): void {
    const taken =
      this.#findExport(key, name) !== null || this.#listeners.get(key)?.has(name) === true;
    if (!taken) return;
    throw new PenstockError({
      code: "export-exists",
      message: `there is an export "${name}" on ${key.slice(key.indexOf(":") + 1)} already`,
    });
  }

  #findExport(key: string, name: string): NbdExport | null {
    for (const [exported, at] of this.#exports) {
      if (at === key && exported.description.name === name) return exported;
    }
    return null;
  }

  #environment(): Environment {
    return {
      reactor: this.#reactor,
      connections: this.#connections,
      counts: this.connectionCounts,
      handOff: (toReactor, message) => this.#hooks.handOff(toReactor, message),
      hostFor: (directory, findLocal, handshakeMsMax) => ({
        reactor: this.#reactor,
        directory,
        banks: this.#banks,
        vectors: this.#vectors,
        reserve: this.#reserve,
        handshakeMsMax,
        drainMsMax: DRAIN_MS_MAX,
        findLocal,
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
        connection.fail(`the client has neither read nor sent what is due for ${limitMs} ms`);
      }
      if (!this.#closed) this.#scheduleSweep();
    });
  }
}

interface Environment {
  readonly reactor: Reactor;
  readonly connections: Set<NbdConnection>;
  readonly counts: ConnectionCounts;
  handOff(toReactor: number, message: NbdHandOff): void;
  hostFor(
    directory: ExportDirectory,
    findLocal: (name: string) => NbdExport | null,
    handshakeMsMax: number,
  ): ConnectionHost;
}

const EMPTY_DIRECTORY: ExportDirectory = { find: () => null, list: () => [] };

/** One listening address and what can be reached through it. */
class NbdListener implements ExportDirectory {
  readonly #environment: Environment;
  readonly #limits: NbdListenerLimits;
  readonly #host: ConnectionHost;
  /** By name: where the export lives: here, or on the reactor with this id. */
  readonly #exports = new Map<
    string,
    { readonly description: ExportDescription; readonly place: NbdExport | number }
  >();
  readonly #byPeer = new Map<string, number>();
  #listener: Listener | null = null;
  #count = 0;

  constructor(environment: Environment, limits: NbdListenerLimits) {
    this.#environment = environment;
    this.#limits = limits;
    const handshakeMsMax = limits.handshakeMsMax ?? HANDSHAKE_MS_MAX;
    const base = environment.hostFor(this, (name) => this.#findLocal(name), handshakeMsMax);
    this.#host = {
      ...base,
      handOff: (connection, session, unread) => this.#handOff(connection, session, unread),
      connectionClosed: (connection, reason) => {
        this.#forget(connection);
        base.connectionClosed(connection, reason);
      },
    };
  }

  get address(): SocketAddress {
    assert(this.#listener !== null, "a listener is opened first");
    return this.#listener.address;
  }

  async open(address: SocketAddress): Promise<void> {
    const { io } = this.#environment.reactor;
    this.#listener = await io.listen(address, (socket, peer) => this.#accept(socket, peer));
  }

  async close(): Promise<void> {
    await this.#listener?.close();
  }

  add(description: ExportDescription, place: NbdExport | number): void {
    this.#exports.set(description.name, { description, place });
  }

  remove(name: string): void {
    this.#exports.delete(name);
  }

  has(name: string): boolean {
    return this.#exports.has(name);
  }

  /** The empty name means the only export, where there is just one. */
  find(name: string): ExportDescription | null {
    const found = this.#exports.get(name)?.description ?? null;
    if (found !== null || name !== "" || this.#exports.size !== 1) return found;
    return this.list()[0] ?? null;
  }

  list(): readonly ExportDescription[] {
    return [...this.#exports.values()].map(({ description }) => description);
  }

  #findLocal(name: string): NbdExport | null {
    const place = this.#exports.get(name)?.place;
    return place instanceof NbdExport ? place : null;
  }

  #accept(socket: SocketHandle, peer: string): void {
    const { reactor, connections, counts } = this.#environment;
    const stream = new PlainStream(reactor.io, socket);
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    const full =
      this.#count >= (this.#limits.maxConnections ?? CONNECTIONS_MAX) ||
      ofPeer >= (this.#limits.maxConnectionsPerPeer ?? CONNECTIONS_PER_PEER_MAX);
    // From the pool alone: a window lasts as long as its connection, the reserve is for requests.
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
    const connection = new NbdConnection(this.#host, stream, window, peer);
    connections.add(connection);
    connection.startHandshake();
  }

  #handOff(connection: NbdConnection, session: NegotiatedSession, unread: Uint8Array): boolean {
    const place = this.#exports.get(session.export.name)?.place;
    if (typeof place !== "number" || !(connection.stream instanceof PlainStream)) return false;
    this.#environment.handOff(place, {
      socket: connection.stream.socket,
      peer: connection.peer,
      listener: addressKey(this.address),
      session,
      unread,
    });
    return true;
  }

  #forget(connection: NbdConnection): void {
    this.#count--;
    const ofPeer = (this.#byPeer.get(connection.peer) ?? 1) - 1;
    if (ofPeer === 0) this.#byPeer.delete(connection.peer);
    else this.#byPeer.set(connection.peer, ofPeer);
  }
}
