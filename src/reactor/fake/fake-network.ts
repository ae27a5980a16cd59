/**
 * FakeNetwork: what joins the fake hosts: listeners by address, connections, latency, cuts.
 * Every host has its own loopback; other hosts are reached by name. Owns all connections.
 */

import type { Prng } from "../../util/prng.ts";
import type { SocketAddress } from "../io.ts";
import type { EventQueue, FakeEvent } from "./event-queue.ts";
import type { FakeLatency } from "./fake-disk.ts";
import { FakeSocket } from "./fake-socket.ts";
import { FakeStream, type StreamCarrier } from "./fake-stream.ts";

/** Bytes that one direction of a connection holds, both socket buffers together. */
export const SOCKET_BUFFER_BYTES_DEFAULT = 256 * 1024;

/** First port that port 0 becomes. */
const EPHEMERAL_PORT_MIN = 40_000;

const LATENCY_DEFAULT: FakeLatency = { minMs: 0.02, maxMs: 0.3 };

const LOCAL_NAMES: ReadonlySet<string> = new Set([
  "localhost",
  "127.0.0.1",
  "::1",
  "0.0.0.0",
  "::",
]);

/** Gets the server's end of a new connection. */
export interface FakeAcceptor {
  accept(socket: FakeSocket, peer: string): void;
}

export type Direction = "to-server" | "to-client";

/** One connection, for tests that disturb it. */
export class FakeConnection {
  readonly client: FakeSocket;
  readonly server: FakeSocket;
  /** Where it was opened to: "unix:/path" or "host:port". */
  readonly key: string;

  constructor(key: string, client: FakeSocket, server: FakeSocket) {
    this.key = key;
    this.client = client;
    this.server = server;
  }

  get isOver(): boolean {
    return this.client.isReleased && this.server.isReleased;
  }

  /** Both ends see a reset, at once. */
  reset(): void {
    this.client.noteReset();
    this.server.noteReset();
  }

  /** Bytes in this direction are held (a slow peer, half a black hole). */
  pause(direction: Direction): void {
    this.#stream(direction).pause();
  }

  resume(direction: Direction): void {
    this.#stream(direction).resume();
  }

  /** Nothing passes in either direction; neither end hears of it. */
  blackHole(): void {
    this.pause("to-server");
    this.pause("to-client");
  }

  #stream(direction: Direction): FakeStream {
    return direction === "to-server" ? this.client.outgoing : this.server.outgoing;
  }
}

export class FakeNetwork implements StreamCarrier {
  /** May be changed at any time. */
  latency: FakeLatency = LATENCY_DEFAULT;
  socketBufferBytes = SOCKET_BUFFER_BYTES_DEFAULT;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #listeners = new Map<string, FakeAcceptor>();
  readonly #cuts = new Set<string>();
  #connections: FakeConnection[] = [];
  #nextPort = EPHEMERAL_PORT_MIN;

  constructor(queue: EventQueue, prng: Prng) {
    this.#queue = queue;
    this.#prng = prng;
  }

  get nowMs(): number {
    return this.#queue.nowMs;
  }

  /** Connections with at least one end held, oldest first. */
  get connections(): readonly FakeConnection[] {
    this.#connections = this.#connections.filter((connection) => !connection.isOver);
    return this.#connections;
  }

  latencyMs(): number {
    const { minMs, maxMs } = this.latency;
    return minMs + (maxMs - minMs) * this.#prng.float();
  }

  scheduleAt(event: FakeEvent, timeMs: number): void {
    this.#queue.scheduleAt(event, timeMs);
  }

  isCut(fromHost: string, toHost: string): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${fromHost}>${toHost}`);
  }

  /** Nothing gets from one host to the other; with `oneWay` only in that direction. */
  cut(fromHost: string, toHost: string, oneWay = false): void {
    this.#cuts.add(`${fromHost}>${toHost}`);
    if (!oneWay) this.#cuts.add(`${toHost}>${fromHost}`);
  }

  heal(fromHost: string, toHost: string): void {
    this.#cuts.delete(`${fromHost}>${toHost}`);
    this.#cuts.delete(`${toHost}>${fromHost}`);
    for (const { client, server } of this.#connections) {
      client.outgoing.release();
      server.outgoing.release();
    }
  }

  /** A free port for an address with port 0. */
  allocatePort(): number {
    return this.#nextPort++;
  }

  /** @returns false when the address is in use */
  listen(key: string, acceptor: FakeAcceptor): boolean {
    if (this.#listeners.has(key)) return false;
    this.#listeners.set(key, acceptor);
    return true;
  }

  unlisten(key: string): void {
    this.#listeners.delete(key);
  }

  /** The client's end of a new connection, or null when nobody listens there. */
  connect(key: string, fromHost: string, toHost: string): FakeSocket | null {
    const acceptor = this.#listeners.get(key);
    if (acceptor === undefined) return null;
    const toServer = new FakeStream(this, this.socketBufferBytes);
    const toClient = new FakeStream(this, this.socketBufferBytes);
    const client = new FakeSocket(fromHost, this.#prng, toClient, toServer);
    const server = new FakeSocket(toHost, this.#prng, toServer, toClient);
    this.#connections = [...this.connections, new FakeConnection(key, client, server)];
    acceptor.accept(server, fromHost === toHost ? "127.0.0.1" : fromHost);
    return client;
  }
}

/** The name of an address in the whole network, and the host that it is on. */
export function resolveAddress(
  address: SocketAddress,
  fromHost: string,
): { readonly key: string; readonly host: string } {
  if (address.kind === "unix") {
    return { key: `unix:${fromHost}:${address.path}`, host: fromHost };
  }
  const host = LOCAL_NAMES.has(address.host) ? fromHost : address.host;
  return { key: `${host}:${address.port}`, host };
}
