/**
 * ListeningPort: one listening address, and whom it lets in: so many connections in all, and so
 * many of one peer, as long as there is memory for another.
 *
 * Knows no protocol: whoever owns it makes a connection of each socket, and tells of its end.
 */

import { ReceiveWindow } from "../proto/stream/receive-window.ts";
import { BUFFER_BYTES_MIN } from "../reactor/buffer-pool.ts";
import { PlainStream } from "../reactor/byte-stream.ts";
import type { Listener, SocketAddress, SocketHandle } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";

export interface ListenerLimits {
  /** Connections of one listener, default 16384; more are closed at once. */
  readonly maxConnections?: number;
  /** Connections of one peer address, default 8192. */
  readonly maxConnectionsPerPeer?: number;
  /** Default 30 s. */
  readonly handshakeMsMax?: number;
}

/** What became of the peers of a service so far. */
export interface ConnectionCounts {
  accepted: number;
  /** Closed at once: too many, or no memory for one more. */
  refused: number;
  /** Taken over from another reactor, which has accepted them. */
  adopted: number;
}

export interface ListeningPortParts {
  readonly reactor: Reactor;
  readonly limits: ListenerLimits;
  /** Of the service; counted on. */
  readonly counts: ConnectionCounts;
  /** A peer is let in: its socket and its window are the callee's. Called in turns; no throwing. */
  accepted(stream: PlainStream, window: ReceiveWindow, peer: string): void;
}

const CONNECTIONS_MAX = 16_384;
const CONNECTIONS_PER_PEER_MAX = 8192;
export const HANDSHAKE_MS_MAX = 30_000;

/** One text per address: the key under which a listener is found. */
export function addressKey(address: SocketAddress): string {
  return address.kind === "unix" ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
}

export class ListeningPort {
  /** What its connections may take to negotiate. */
  readonly handshakeMsMax: number;
  readonly #parts: ListeningPortParts;
  readonly #byPeer = new Map<string, number>();
  #listener: Listener | null = null;
  #count = 0;

  constructor(parts: ListeningPortParts) {
    this.#parts = parts;
    this.handshakeMsMax = parts.limits.handshakeMsMax ?? HANDSHAKE_MS_MAX;
  }

  /** The real one, port 0 replaced; known once it is open. */
  get address(): SocketAddress {
    assert(this.#listener !== null, "a listener is opened first");
    return this.#listener.address;
  }

  /** @throws PenstockError of `Io.listen` */
  async open(address: SocketAddress): Promise<void> {
    const { io } = this.#parts.reactor;
    this.#listener = await io.listen(address, (socket, peer) => this.#accept(socket, peer));
  }

  /** Lets nobody in any more; connections stay. */
  async close(): Promise<void> {
    await this.#listener?.close();
  }

  /** A connection that was let in is gone. */
  left(peer: string): void {
    this.#count--;
    const ofPeer = (this.#byPeer.get(peer) ?? 1) - 1;
    if (ofPeer === 0) this.#byPeer.delete(peer);
    else this.#byPeer.set(peer, ofPeer);
  }

  #accept(socket: SocketHandle, peer: string): void {
    const { reactor, limits, counts } = this.#parts;
    const stream = new PlainStream(reactor.io, socket);
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    const isFull =
      this.#count >= (limits.maxConnections ?? CONNECTIONS_MAX) ||
      ofPeer >= (limits.maxConnectionsPerPeer ?? CONNECTIONS_PER_PEER_MAX);
    // From the pool alone: a window lasts as long as its connection, the reserve is for commands.
    const buffer = isFull ? null : reactor.buffers.acquire(BUFFER_BYTES_MIN);
    if (buffer === null) {
      counts.refused++;
      stream.shutdown();
      stream.close();
      return;
    }
    counts.accepted++;
    this.#count++;
    this.#byPeer.set(peer, ofPeer + 1);
    this.#parts.accepted(stream, new ReceiveWindow(reactor.buffers, buffer), peer);
  }
}
