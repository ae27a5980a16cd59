/**
 * Listening and connecting with node:net.
 *
 * A listener owns its server. Accepted sockets are handed over in the reactor's turn, paused, so
 * that no byte is read before the first receive. A Unix socket's path is unlinked by libuv when
 * the server closes.
 *
 *   unix path: bind --in use--> is it a socket, does anybody answer? --nobody--> unlink, bind again
 */

import { stat } from "node:fs/promises";
import { createServer, type Server, Socket, type SocketConstructorOpts } from "node:net";
import { dirname } from "node:path";

import { Errno } from "../errno.ts";
import { connectAbortedError, connectError, failureOf, listenError } from "../io-errors.ts";
import type { Listener, SocketAddress } from "../io.ts";
import { checkAddress, removeStale, type UnixAddress } from "../listen-address.ts";
import { STREAM_HIGH_WATER_BYTES } from "./stream-socket.ts";

/** The kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;
/** A peer that vanished without a word is noticed after this and the kernel's probes. */
const KEEP_ALIVE_MS = 60_000;

type Accept = (socket: Socket, peer: string) => void;

/** Listens; `accept` is called for each connection, outside of the turn, until it is closed. */
export async function listenOn(address: SocketAddress, accept: Accept): Promise<NetListener> {
  checkAddress(address);
  try {
    return await bind(address, accept);
  } catch (error) {
    const failure = failureOf(error);
    if (address.kind === "tcp") throw listenError(address, failure);
    if (failure.errno === Errno.EACCES) await checkFolder(address);
    const isTaken = failure.errno === Errno.EADDRINUSE;
    if (!isTaken || !(await removeStale(address))) throw listenError(address, failure);
  }
  try {
    return await bind(address, accept);
  } catch (error) {
    throw listenError(address, failureOf(error));
  }
}

/** Connects; the socket is paused. `started` gets it at once, to be able to destroy it. */
export function connectTo(
  address: SocketAddress,
  started: (socket: Socket) => void,
  signal: AbortSignal | null,
): Promise<Socket> {
  checkAddress(address);
  const options: SocketConstructorOpts & { readonly highWaterMark: number } = {
    allowHalfOpen: true,
    highWaterMark: STREAM_HIGH_WATER_BYTES,
  };
  const socket = new Socket(options);
  socket.pause();
  started(socket);
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      socket.destroy();
      reject(connectAbortedError(address));
    };
    const failed = (error: unknown): void => {
      signal?.removeEventListener("abort", aborted);
      reject(connectError(address, failureOf(error)));
    };
    const closed = (): void => failed(undefined);
    socket.once("error", failed);
    socket.once("close", closed);
    if (signal?.aborted === true) {
      aborted();
      return;
    }
    signal?.addEventListener("abort", aborted);
    socket.once("connect", () => {
      signal?.removeEventListener("abort", aborted);
      socket.off("error", failed);
      socket.off("close", closed);
      tuneTcp(socket, address);
      resolve(socket);
    });
    if (address.kind === "unix") socket.connect({ path: address.path });
    else socket.connect({ host: address.host, port: address.port });
  });
}

export class NetListener implements Listener {
  readonly address: SocketAddress;
  readonly #server: Server;
  #closed: Promise<void> | null = null;

  constructor(server: Server, address: SocketAddress) {
    this.#server = server;
    this.address = address;
  }

  get isOpen(): boolean {
    return this.#closed === null;
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      // The fd and the path are gone at once; Node's own callback waits for all connections.
      this.#server.close();
      setImmediate(resolve);
    });
    return this.#closed;
  }
}

function bind(address: SocketAddress, accept: Accept): Promise<NetListener> {
  const server = createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
    highWaterMark: STREAM_HIGH_WATER_BYTES,
  });
  server.on("connection", (socket) => {
    tuneTcp(socket, address);
    accept(socket, socket.remoteAddress ?? "unix");
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      // A later error is one connection's that could not be accepted.
      server.on("error", () => undefined);
      resolve(new NetListener(server, boundAddress(server, address)));
    });
    if (address.kind === "unix") server.listen({ path: address.path, backlog: BACKLOG });
    else server.listen({ host: address.host, port: address.port, backlog: BACKLOG });
  });
}

function boundAddress(server: Server, wanted: SocketAddress): SocketAddress {
  const bound = server.address();
  if (wanted.kind === "unix" || bound === null || typeof bound === "string") return wanted;
  return { kind: "tcp", host: wanted.host, port: bound.port };
}

function tuneTcp(socket: Socket, address: SocketAddress): void {
  if (address.kind !== "tcp") return;
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

/** libuv says EACCES for a missing folder too, as Windows does. */
async function checkFolder(address: UnixAddress): Promise<void> {
  try {
    await stat(dirname(address.path));
  } catch (error) {
    throw listenError(address, failureOf(error));
  }
}
