/**
 * NativeListener: a listening socket with one accept in flight; connecting, too.
 */

import { lookup } from "node:dns/promises";
import { unlink } from "node:fs/promises";
import * as libc from "../sys/libc.ts";
import { type NativeMemory, returnPage, takePage } from "../sys/memory.ts";
import { NO_COMPLETION, Operation, type OperationQueue } from "../sys/operation-queue.ts";
import {
  decodeAddress,
  encodeIpAddress,
  encodeUnixAddress,
  SOCKET_ADDRESS_BYTES_MAX,
} from "../sys/socket-address.ts";
import type { Clock } from "./clock.ts";
import { Errno } from "./errno.ts";
import { type AcceptHandler, IoOp, type Listener, type SocketAddress } from "./io.ts";
import { connectAbortedError, connectError, failureOf, listenError } from "./io-errors.ts";
import { checkAddress, removeStale } from "./listen-address.ts";
import type { OpTable } from "./op-table.ts";

const BACKLOG = 1024;
/** After EMFILE and the like: give connections time to end before trying again. */
const RETRY_MS = 100;
const ACCEPT_CLOEXEC = 0x80000;
const LENGTH_AT = SOCKET_ADDRESS_BYTES_MAX;
const OPTION_AT = SOCKET_ADDRESS_BYTES_MAX + 8;

const SocketOption = { level: 1, reuseAddress: 2, keepAlive: 9 } as const;
const TcpOption = {
  level: 6,
  noDelay: 1,
  keepIdle: 4,
  keepInterval: 5,
  keepCount: 6,
  notSentLowWater: 25,
} as const;

/** `OperationQueue.prepare`, with a turn asked for. */
export type PrepareEntry = OperationQueue["prepare"];

/** What a listener and a connector need of their Io. */
export interface SocketContext {
  readonly prepare: PrepareEntry;
  readonly closeSocket: (fd: number) => void;
  readonly ops: OpTable;
  readonly clock: Clock;
}

export async function listenOn(
  context: SocketContext,
  address: SocketAddress,
  onAccept: AcceptHandler,
): Promise<Listener> {
  checkAddress(address);
  const memory = takePage();
  try {
    return await listenWith(context, address, onAccept, memory);
  } catch (error) {
    returnPage(memory);
    throw error;
  }
}

async function listenWith(
  context: SocketContext,
  address: SocketAddress,
  onAccept: AcceptHandler,
  memory: NativeMemory,
): Promise<Listener> {
  const target = await resolveAddress(address, memory, listenError);
  const fd = libc.socket(target.family);
  if (fd < 0) throw listenError(address, { errno: -fd });
  setOption(fd, memory, SocketOption.level, SocketOption.reuseAddress, 1);
  let bound = libc.bind(fd, memory.address, target.lengthBytes);
  try {
    if (bound === -Errno.EADDRINUSE && address.kind === "unix" && (await removeStale(address))) {
      bound = libc.bind(fd, memory.address, target.lengthBytes);
    }
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  const listening = bound < 0 ? bound : libc.listen(fd, BACKLOG);
  if (listening < 0) {
    libc.close(fd);
    throw listenError(address, { errno: -listening });
  }
  return new NativeListener(context, fd, boundAddress(fd, address, memory), memory, onAccept);
}

class NativeListener extends IoOp implements Listener {
  readonly address: SocketAddress;
  readonly #context: SocketContext;
  readonly #fd: number;
  readonly #memory: NativeMemory;
  readonly #view: DataView;
  readonly #onAccept: AcceptHandler;
  #closing = false;
  #closed: Promise<void> | null = null;
  #ended: (() => void) | null = null;

  constructor(
    context: SocketContext,
    fd: number,
    address: SocketAddress,
    memory: NativeMemory,
    onAccept: AcceptHandler,
  ) {
    super();
    this.address = address;
    this.#context = context;
    this.#fd = fd;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#onAccept = onAccept;
    context.ops.attach(this);
    this.#accept();
  }

  override complete(result: number): void {
    if (result >= 0) this.#accepted(result);
    if (this.#closing) {
      // No microtask follows a ring callback: what awaits this would sleep on.
      setImmediate(() => this.#ended?.());
      return;
    }
    if (result >= 0 || result === -Errno.ECONNABORTED) this.#accept();
    else this.#context.clock.startTimer(RETRY_MS, () => this.#accept());
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #accept(): void {
    if (this.#closing) return;
    this.#view.setInt32(LENGTH_AT, SOCKET_ADDRESS_BYTES_MAX, true);
    const slot = this.#context.ops.begin(this);
    const { address } = this.#memory;
    const { prepare } = this.#context;
    const lengthAddress = address + LENGTH_AT;
    prepare(Operation.accept, this.#fd, address, 0, lengthAddress, ACCEPT_CLOEXEC, slot);
  }

  #accepted(fd: number): void {
    if (this.#closing) {
      libc.close(fd);
      return;
    }
    const peer = this.address.kind === "unix" ? "unix" : decodeAddress(this.#view).host;
    if (this.address.kind === "tcp") tuneTcp(fd, this.#memory);
    this.#onAccept(fd, peer);
  }

  async #close(): Promise<void> {
    this.#closing = true;
    if (this.inFlight) {
      const ended = new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
      // Shutting the socket down is not enough: with some dozens of Unix listeners it ended none.
      this.#context.prepare(Operation.asyncCancel, -1, this.slot, 0, 0, 0, NO_COMPLETION);
      await ended;
    }
    this.#context.ops.detach(this);
    this.#context.closeSocket(this.#fd);
    returnPage(this.#memory);
    if (this.address.kind === "unix") await unlink(this.address.path).catch(() => undefined);
  }
}

/**
 * Bytes that may wait in the kernel to be sent on one connection: a client that asks for much and
 * reads nothing must not take the memory of all sockets of the machine (tcp_mem).
 */
const NOT_SENT_BYTES_MAX = 1024 * 1024;

/** A peer that vanished without a word is noticed after about two minutes. */
function tuneTcp(fd: number, memory: NativeMemory): void {
  setOption(fd, memory, TcpOption.level, TcpOption.noDelay, 1);
  setOption(fd, memory, SocketOption.level, SocketOption.keepAlive, 1);
  setOption(fd, memory, TcpOption.level, TcpOption.keepIdle, 60);
  setOption(fd, memory, TcpOption.level, TcpOption.keepInterval, 15);
  setOption(fd, memory, TcpOption.level, TcpOption.keepCount, 4);
  setOption(fd, memory, TcpOption.level, TcpOption.notSentLowWater, NOT_SENT_BYTES_MAX);
}

function setOption(
  fd: number,
  memory: NativeMemory,
  level: number,
  name: number,
  value: number,
): void {
  new DataView(memory.buffer).setInt32(OPTION_AT, value, true);
  libc.setsockopt(fd, level, name, memory.address + OPTION_AT);
}

export interface ConnectOptions {
  readonly defer: (callback: () => void) => void;
  readonly signal: AbortSignal | null;
}

/** Connects; the promise is settled outside of the turn. */
export async function connectTo(
  context: SocketContext,
  address: SocketAddress,
  { defer, signal }: ConnectOptions,
): Promise<number> {
  checkAddress(address);
  const memory = takePage();
  const resolving = resolveAddress(address, memory, connectError);
  try {
    const target = await orAborted(resolving, address, signal);
    return await connectWith(context, address, { defer, signal }, memory, target);
  } finally {
    // Whoever aborts does not wait for the look-up, which writes there when it ends.
    const done = (): void => returnPage(memory);
    resolving.then(done, done);
  }
}

async function connectWith(
  context: SocketContext,
  address: SocketAddress,
  { defer, signal }: ConnectOptions,
  memory: NativeMemory,
  target: ResolvedAddress,
): Promise<number> {
  if (isAborted(signal)) throw connectAbortedError(address);
  const fd = libc.socket(target.family);
  if (fd < 0) throw connectError(address, { errno: -fd });
  const op = new ConnectOp();
  context.ops.attach(op);
  const onAbort = (): void => {
    if (!op.inFlight) return;
    context.prepare(Operation.asyncCancel, -1, op.slot, 0, 0, 0, NO_COMPLETION);
  };
  const result = await new Promise<number>((resolve) => {
    op.onComplete = (value) => defer(() => resolve(value));
    const slot = context.ops.begin(op);
    const { connect } = Operation;
    context.prepare(connect, fd, memory.address, 0, target.lengthBytes, 0, slot);
    signal?.addEventListener("abort", onAbort);
  });
  signal?.removeEventListener("abort", onAbort);
  context.ops.detach(op);
  if (result < 0 || isAborted(signal)) {
    context.closeSocket(fd);
    if (isAborted(signal)) throw connectAbortedError(address);
    throw connectError(address, { errno: -result });
  }
  if (address.kind === "tcp") tuneTcp(fd, memory);
  return fd;
}

function isAborted(signal: AbortSignal | null): boolean {
  return signal?.aborted === true;
}

/** A look-up of a name cannot be ended: its answer is not waited for any longer. */
function orAborted<T>(
  promise: Promise<T>,
  address: SocketAddress,
  signal: AbortSignal | null,
): Promise<T> {
  if (signal === null) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(connectAbortedError(address));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    const done = (): void => signal.removeEventListener("abort", onAbort);
    promise.then(resolve, reject).finally(done);
  });
}

class ConnectOp extends IoOp {
  onComplete: (result: number) => void = () => undefined;
  override complete(result: number): void {
    this.onComplete(result);
  }
}

interface ResolvedAddress {
  readonly family: number;
  readonly lengthBytes: number;
}

async function resolveAddress(
  address: SocketAddress,
  memory: NativeMemory,
  errorOf: typeof connectError,
): Promise<ResolvedAddress> {
  const view = new DataView(memory.buffer);
  if (address.kind === "unix") {
    const lengthBytes = encodeUnixAddress(view, address.path);
    return { family: libc.AddressFamily.unix, lengthBytes };
  }
  try {
    const found = await lookup(address.host);
    const family = found.family === 6 ? libc.AddressFamily.ipv6 : libc.AddressFamily.ipv4;
    return { family, lengthBytes: encodeIpAddress(view, found.address, address.port) };
  } catch (cause) {
    throw errorOf(address, failureOf(cause));
  }
}

function boundAddress(fd: number, wanted: SocketAddress, memory: NativeMemory): SocketAddress {
  if (wanted.kind === "unix") return wanted;
  const view = new DataView(memory.buffer);
  view.setInt32(LENGTH_AT, SOCKET_ADDRESS_BYTES_MAX, true);
  libc.getsockname(fd, memory.address, memory.address + LENGTH_AT);
  return { kind: "tcp", host: wanted.host, port: decodeAddress(view).port };
}
