/**
 * NbdListener: one listening address of NBD and what can be reached through it: exports of its own
 * reactor, and others', to which it hands connections over.
 */

import { NbdConnection } from "../proto/nbd/connection.ts";
import type { ConnectionHost } from "../proto/nbd/connection-host.ts";
import { NbdExport } from "../proto/nbd/export.ts";
import type { ExportDescription, ExportDirectory } from "../proto/nbd/export-description.ts";
import type { NegotiatedSession } from "../proto/nbd/negotiation.ts";
import type { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import {
  addressKey,
  type ConnectionCounts,
  type ListenerLimits,
  ListeningPort,
} from "./listening-port.ts";

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

/** What a listener needs of its service. */
export interface NbdListenerOwner {
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

export class NbdListener implements ExportDirectory {
  readonly #owner: NbdListenerOwner;
  readonly #port: ListeningPort;
  readonly #host: ConnectionHost;
  /** By name: where the export lives: here, or on the reactor with this id. */
  readonly #exports = new Map<
    string,
    { readonly description: ExportDescription; readonly place: NbdExport | number }
  >();

  constructor(owner: NbdListenerOwner, limits: ListenerLimits) {
    this.#owner = owner;
    const { reactor, counts } = owner;
    this.#port = new ListeningPort({
      reactor,
      limits,
      counts,
      accepted: (stream, window, peer) => this.#accepted(stream, window, peer),
    });
    const { handshakeMsMax } = this.#port;
    const base = owner.hostFor(this, (name) => this.#findLocal(name), handshakeMsMax);
    this.#host = {
      ...base,
      handOff: (connection, session, unread) => this.#handOff(connection, session, unread),
      connectionClosed: (connection, reason) => {
        this.#port.left(connection.peer);
        base.connectionClosed(connection, reason);
      },
    };
  }

  /** The real one, port 0 replaced; known once it is open. */
  get address(): SocketAddress {
    return this.#port.address;
  }

  /** @throws PenstockError of `Io.listen` */
  open(address: SocketAddress): Promise<void> {
    return this.#port.open(address);
  }

  /** Lets nobody in any more; connections stay. */
  close(): Promise<void> {
    return this.#port.close();
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

  #accepted(stream: PlainStream, window: ReceiveWindow, peer: string): void {
    const connection = new NbdConnection(this.#host, stream, window, peer);
    this.#owner.connections.add(connection);
    connection.startHandshake();
  }

  #handOff(connection: NbdConnection, session: NegotiatedSession, unread: Uint8Array): boolean {
    const place = this.#exports.get(session.export.name)?.place;
    if (typeof place !== "number" || !(connection.stream instanceof PlainStream)) return false;
    this.#owner.handOff(place, {
      socket: connection.stream.socket,
      peer: connection.peer,
      listener: addressKey(this.address),
      session,
      unread,
    });
    return true;
  }
}
