/**
 * NbdService: the NBD shares of one reactor: its listeners, its exports, and their connections.
 *
 * Several exports may share a listener. A listener lives on one reactor; it also knows the exports
 * that live on others, and hands a connection over once the client has named its export.
 */

import type { Device } from "../block/device.ts";
import type { NbdCommand } from "../proto/nbd/command.ts";
import { NbdConnection } from "../proto/nbd/connection.ts";
import { NbdExport, type NbdExportOptions } from "../proto/nbd/export.ts";
import type { ExportDescription, ExportDirectory } from "../proto/nbd/export-description.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { PenstockError } from "../util/errors.ts";
import {
  addressKey,
  type ConnectionCounts,
  HANDSHAKE_MS_MAX,
  type ListenerLimits,
} from "./listening-port.ts";
import { type NbdHandOff, NbdListener, type NbdListenerOwner } from "./nbd-listener.ts";
import { ServiceConnections } from "./service-connections.ts";

export interface NbdServiceHooks {
  handOff(toReactor: number, message: NbdHandOff): void;
}

/** Of connections whose listener is another reactor's. */
const EMPTY_DIRECTORY: ExportDirectory = { find: () => null, list: () => [] };

export class NbdService {
  readonly #hooks: NbdServiceHooks;
  readonly #connections: ServiceConnections<NbdConnection, NbdCommand>;
  readonly #listeners = new Map<string, NbdListener>();
  /** By export: the key of its listener. */
  readonly #exports = new Map<NbdExport, string>();
  #closed = false;

  /** @throws PenstockError `no-memory` when the reactor's buffers cannot spare the reserve */
  constructor(reactor: Reactor, hooks: NbdServiceHooks) {
    this.#hooks = hooks;
    this.#connections = new ServiceConnections(reactor, { protocol: "NBD", peer: "client" });
  }

  get connectionCounts(): Readonly<ConnectionCounts> {
    return this.#connections.counts;
  }

  /** Open now, those that still negotiate too. */
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
    const listener = new NbdListener(this.#owner(), limits);
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
  adopt({ listener, peer, session, socket, unread }: NbdHandOff): void {
    const exported = this.#findExport(listener, session.export.name);
    const parts = this.#connections.adopt(socket, unread, exported === null);
    if (exported === null || parts === null) return;
    const host = this.#owner().hostFor(EMPTY_DIRECTORY, () => exported, HANDSHAKE_MS_MAX);
    const connection = new NbdConnection(host, parts.stream, parts.window, peer);
    this.#connections.open.add(connection);
    connection.startTransmission(session, exported);
  }

  /** Ends everything: listeners, exports, connections. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const listeners = [...this.#listeners.values()];
    this.#listeners.clear();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([...this.#exports.keys()].map((exported) => this.removeExport(exported)));
    await this.#connections.close();
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

  #owner(): NbdListenerOwner {
    const { counts, hostParts, open, reactor } = this.#connections;
    return {
      reactor,
      connections: open,
      counts,
      handOff: (toReactor, message) => this.#hooks.handOff(toReactor, message),
      hostFor: (directory, findLocal, handshakeMsMax) => ({
        ...hostParts,
        directory,
        handshakeMsMax,
        findLocal,
        handOff: () => false,
        connectionClosed: (connection) => void open.delete(connection),
      }),
    };
  }
}
