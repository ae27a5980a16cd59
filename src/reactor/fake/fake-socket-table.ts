/**
 * FakeSocketTable: the listeners and sockets of one fake process, by handle, and how they are
 * made: a connection takes a round trip, waits out a cut, and fails after a time.
 */

import { assert } from "../../util/assert.ts";
import type { PenstockError } from "../../util/errors.ts";
import { Errno } from "../errno.ts";
import { connectAbortedError, connectError, listenError } from "../io-errors.ts";
import type { AcceptHandler, Listener, SocketAddress, SocketHandle } from "../io.ts";
import { FakeEvent } from "./event-queue.ts";
import { type FakeAcceptor, type FakeNetwork, resolveAddress } from "./fake-network.ts";
import type { FakeSocket } from "./fake-socket.ts";
import { CallbackEvent, type ProcessGate } from "./process-gate.ts";

/** A SYN is sent again after this time, and given up after that. */
const CONNECT_RETRY_MS = 200;
const CONNECT_TIMEOUT_MS = 10_000;

export interface FakeSocketTableOptions {
  readonly gate: ProcessGate;
  readonly network: FakeNetwork;
  readonly host: string;
  readonly requestTurn: () => void;
}

export class FakeSocketTable {
  readonly #options: FakeSocketTableOptions;
  readonly #sockets: (FakeSocket | null)[] = [];
  readonly #listeners = new Set<FakeListener>();

  constructor(options: FakeSocketTableOptions) {
    this.#options = options;
  }

  get(handle: SocketHandle): FakeSocket {
    const socket = this.#sockets[handle];
    assert(socket !== null && socket !== undefined, "a socket handle is open");
    return socket;
  }

  close(handle: SocketHandle): void {
    this.get(handle).release();
    this.#sockets[handle] = null;
  }

  /** The process has ended: the kernel closes its sockets. */
  abandonAll(): void {
    for (const listener of this.#listeners) listener.stop();
    for (const socket of this.#sockets) socket?.abandon();
    this.#sockets.fill(null);
  }

  /** The host has lost power: nobody hears anything; after the restart, resets. */
  vanishAll(): void {
    for (const listener of this.#listeners) listener.stop();
    for (const socket of this.#sockets) socket?.vanish(true);
    this.#sockets.fill(null);
  }

  async listen(address: SocketAddress, onAccept: AcceptHandler): Promise<Listener> {
    const { gate, network, host } = this.#options;
    await new Promise<void>((resolve) => {
      gate.queue.schedule(new CallbackEvent(gate, resolve), network.latencyMs());
    });
    const bound: SocketAddress =
      address.kind === "tcp" && address.port === 0
        ? { ...address, port: network.allocatePort() }
        : address;
    const { key } = resolveAddress(bound, host);
    const acceptor: FakeAcceptor = {
      accept: (socket, peer) => this.#accept(listener, socket, peer, onAccept),
    };
    const listener = new FakeListener(bound, key, network, () => this.#listeners.delete(listener));
    if (!network.listen(key, acceptor)) throw listenError(address, { errno: Errno.EADDRINUSE });
    this.#listeners.add(listener);
    return listener;
  }

  connect(address: SocketAddress, signal: AbortSignal | null): Promise<SocketHandle> {
    const { gate, network, host } = this.#options;
    return new Promise((resolve, reject) => {
      const attempt = new ConnectAttempt({
        gate,
        network,
        host,
        address,
        add: (socket) => this.#add(socket),
        resolve,
        reject,
        giveBack: (handle) => this.close(handle),
        signal,
      });
      gate.queue.schedule(attempt, network.latencyMs());
    });
  }

  /** The kernel's side is there at once, so that a kill ends it; the process hears of it later. */
  #accept(listener: FakeListener, socket: FakeSocket, peer: string, onAccept: AcceptHandler): void {
    const { gate, network, requestTurn } = this.#options;
    const handle = this.#add(socket);
    const event = new CallbackEvent(gate, () => {
      if (listener.isClosed) {
        this.close(handle);
        return;
      }
      onAccept(handle, peer);
      requestTurn();
    });
    gate.queue.schedule(event, network.latencyMs());
  }

  #add(socket: FakeSocket): SocketHandle {
    this.#sockets.push(socket);
    return this.#sockets.length - 1;
  }
}

class FakeListener implements Listener {
  readonly address: SocketAddress;
  isClosed = false;
  readonly #key: string;
  readonly #network: FakeNetwork;
  readonly #onStop: () => void;

  constructor(address: SocketAddress, key: string, network: FakeNetwork, onStop: () => void) {
    this.address = address;
    this.#key = key;
    this.#network = network;
    this.#onStop = onStop;
  }

  async close(): Promise<void> {
    this.stop();
  }

  stop(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#network.unlisten(this.#key);
    this.#onStop();
  }
}

interface ConnectAttemptOptions {
  readonly gate: ProcessGate;
  readonly network: FakeNetwork;
  readonly host: string;
  readonly address: SocketAddress;
  readonly add: (socket: FakeSocket) => SocketHandle;
  readonly resolve: (handle: SocketHandle) => void;
  readonly reject: (error: PenstockError) => void;
  readonly giveBack: (handle: SocketHandle) => void;
  readonly signal: AbortSignal | null;
}

/** A SYN under way, again and again. */
class ConnectAttempt extends FakeEvent {
  readonly #options: ConnectAttemptOptions;
  readonly #startMs: number;
  #isOver = false;
  readonly #onAbort = (): void => this.#abort();

  constructor(options: ConnectAttemptOptions) {
    super();
    this.#options = options;
    this.#startMs = options.network.nowMs;
    if (options.signal?.aborted === true) this.#abort();
    else options.signal?.addEventListener("abort", this.#onAbort);
  }

  /** The promise is settled now; a connection that comes about all the same is given back. */
  #abort(): void {
    this.#isOver = true;
    const { reject, address, gate, network } = this.#options;
    const settle = (): void => reject(connectAbortedError(address));
    gate.queue.schedule(new CallbackEvent(gate, settle), network.latencyMs());
  }

  override fire(): void {
    const { gate, network, host, address, add, resolve, reject } = this.#options;
    const { signal, giveBack } = this.#options;
    if (!gate.isAlive || this.#isOver) return;
    const target = resolveAddress(address, host);
    const isCut = network.isCut(host, target.host) || network.isCut(target.host, host);
    if (!isCut) {
      const socket = network.connect(target.key, host, target.host);
      if (socket === null) {
        this.#end(() => reject(connectError(address, { errno: Errno.ECONNREFUSED })));
        return;
      }
      const handle = add(socket);
      this.#end(() => {
        if (signal?.aborted === true) giveBack(handle);
        else resolve(handle);
      });
    } else if (network.nowMs - this.#startMs >= CONNECT_TIMEOUT_MS) {
      this.#end(() => reject(connectError(address, { errno: Errno.ETIMEDOUT })));
    } else {
      gate.queue.schedule(this, CONNECT_RETRY_MS);
    }
  }

  override describe(): string {
    return `${this.#options.gate.name} connect`;
  }

  #end(settle: () => void): void {
    const { gate, network, signal } = this.#options;
    const callback = (): void => {
      signal?.removeEventListener("abort", this.#onAbort);
      settle();
    };
    gate.queue.schedule(new CallbackEvent(gate, callback), network.latencyMs());
  }
}
