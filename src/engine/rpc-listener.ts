/**
 * RpcListener: one address where the engine's RPC is served over HTTP/1.1 and HTTP/2 alike.
 *
 *   connection --first bytes--> "PRI *" --> HTTP/2 (gRPC)
 *                          \--> else    --> HTTP/1.1 (Connect, gRPC-Web, curl)
 *
 * A Unix socket is for its owner alone. Over TCP there is no such thing as an owner: whoever can
 * connect can do all, so browsers are kept out at least (a page of another site cannot be given a
 * name that leads here). State: connections; in flight: their requests.
 */

import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer as createHttp1Server, type Server as HttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createConnection, createServer, isIP, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { type EngineAddress, formatEngineAddress } from "../api/engine-address.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";

export type RpcHandler = ReturnType<typeof connectNodeAdapter>;

const CONNECTIONS_MAX = 1024;
const HTTP2_PREFACE = Buffer.from("PRI *");
/** From connecting to the first bytes. */
const FIRST_BYTES_MS_MAX = 10_000;
/** For all of a request over HTTP/1.1; the answer takes as long as it takes. */
const REQUEST_MS_MAX = 30_000;
/** A client over TCP that says nothing for so long is asked whether it is there. */
const KEEP_ALIVE_MS = 30_000;
/** For answers on their way when the engine stops. */
const DRAIN_MS_MAX = 2000;
const DRAIN_STEP_MS = 5;
const SOCKET_UMASK = 0o177;
const MISDIRECTED = 421;

export class RpcListener {
  /** With the real port. */
  readonly address: EngineAddress;
  readonly #server: Server;
  readonly #http1: HttpServer;
  readonly #requests: { readonly active: number };
  readonly #sockets: Set<Socket>;

  /**
   * @param anyName answers requests whatever they call us: where there is nothing to be guarded
   * @param requestMs until a request over HTTP/1.1 is all there
   * @throws PenstockError `address-in-use`, `permission-denied`, `address-invalid`
   */
  static async open(
    address: EngineAddress,
    handler: RpcHandler,
    {
      anyName = false,
      requestMs = REQUEST_MS_MAX,
    }: { readonly anyName?: boolean; readonly requestMs?: number } = {},
  ): Promise<RpcListener> {
    if (address.kind === "unix") await removeStale(address.path);
    const requests = { active: 0 };
    const answering = counted(handler, requests);
    const guarded = anyName ? answering : guard(address, answering);
    const http1 = openHttp1(guarded, requestMs);
    const http2 = createHttp2Server(guarded);
    http2.on("sessionError", () => undefined);
    const sockets = new Set<Socket>();
    const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    const server = createServer(keepAlive, (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      choose(socket, (isHttp2) => (isHttp2 ? http2 : http1).emit("connection", socket));
    });
    server.maxConnections = CONNECTIONS_MAX;
    try {
      await listen(server, address);
    } catch (thrown) {
      throw listenError(address, thrown);
    }
    return new RpcListener(address, { server, http1, requests, sockets });
  }

  private constructor(
    address: EngineAddress,
    parts: {
      readonly server: Server;
      readonly http1: HttpServer;
      readonly requests: { readonly active: number };
      readonly sockets: Set<Socket>;
    },
  ) {
    const real = parts.server.address();
    this.address =
      address.kind === "tcp" && real !== null && typeof real === "object"
        ? { ...address, port: real.port }
        : address;
    this.#server = parts.server;
    this.#http1 = parts.http1;
    this.#requests = parts.requests;
    this.#sockets = parts.sockets;
  }

  /** No new connections. A Unix socket's file goes. */
  stopListening(): void {
    this.#server.close();
  }

  /** Ends all connections, those with a request on the way a little later. */
  async close(): Promise<void> {
    this.stopListening();
    for (let waitedMs = 0; this.#requests.active > 0; waitedMs += DRAIN_STEP_MS) {
      if (waitedMs >= DRAIN_MS_MAX) break;
      await sleep(DRAIN_STEP_MS);
    }
    for (const socket of this.#sockets) socket.destroy();
    this.#http1.close();
  }
}

/** It gets its connections from us; told that it listens, it looks at how old requests are. */
function openHttp1(handler: RpcHandler, requestMs: number): HttpServer {
  const times = { headersTimeout: requestMs, requestTimeout: requestMs };
  const options = { ...times, connectionsCheckingInterval: requestMs / 2 };
  const server = createHttp1Server(options, handler);
  server.emit("listening");
  return server;
}

function counted(handler: RpcHandler, requests: { active: number }): RpcHandler {
  return (request, response) => {
    requests.active += 1;
    response.once("close", () => {
      requests.active -= 1;
    });
    handler(request, response);
  };
}

/** Tells by the first bytes, which stay to be read. */
function choose(socket: Socket, chosen: (isHttp2: boolean) => void): void {
  socket.setTimeout(FIRST_BYTES_MS_MAX, () => socket.destroy());
  const look = (): void => {
    const first = socket.read() as Buffer | null;
    if (first === null) {
      // Not yet, or its end.
      socket.once("readable", look);
      return;
    }
    socket.setTimeout(0);
    socket.removeAllListeners("timeout");
    socket.unshift(first);
    const { length } = HTTP2_PREFACE;
    // No HTTP/1.1 method begins so; a preface cut within five bytes is nobody's.
    chosen(first.subarray(0, length).equals(HTTP2_PREFACE));
  };
  look();
}

/** Refuses names that somebody else's DNS may have led here. */
function guard(address: EngineAddress, handler: RpcHandler): RpcHandler {
  if (address.kind === "unix") return handler;
  return (request, response) => {
    const { ":authority": authority, host } = request.headers;
    const name = String(authority ?? host ?? "")
      .replace(/:\d+$/, "")
      .replace(/^\[(.*)\]$/, "$1");
    if (isIP(name) !== 0 || name === "localhost" || name === address.host) {
      handler(request, response);
      return;
    }
    response.statusCode = MISDIRECTED;
    response.end();
  };
}

function listen(server: Server, address: EngineAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      server.on("error", () => undefined);
      resolve();
    });
    if (address.kind === "tcp") {
      server.listen(address.port, address.host);
      return;
    }
    // The socket is made within this call, and nobody else may connect for a moment even.
    const umask = process.umask(SOCKET_UMASK);
    try {
      server.listen(address.path);
    } finally {
      process.umask(umask);
    }
  });
}

/** What a killed engine left: a socket that nobody listens at. Nothing else is removed. */
async function removeStale(path: string): Promise<void> {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const answer = await new Promise<string>((resolve) => {
    const socket = createConnection(path);
    socket.on("connect", () => {
      resolve("connected");
      socket.destroy();
    });
    socket.on("error", (error) => resolve(toPenstockError(error).code));
  });
  if (answer === "system-econnrefused") await rm(path, { force: true });
}

function listenError(address: EngineAddress, thrown: unknown): PenstockError {
  const { code, message } = toPenstockError(thrown);
  const codes: Readonly<Record<string, string>> = {
    "system-eaddrinuse": "address-in-use",
    "system-eacces": "permission-denied",
    "system-eperm": "permission-denied",
  };
  return new PenstockError({
    code: codes[code] ?? "address-invalid",
    message: `${formatEngineAddress(address)} cannot be listened on: ${message}`,
    cause: thrown,
  });
}
