/**
 * PortableIo: the Io with Node's own APIs only, for systems without FFI or io_uring.
 *
 * Files are buffered, through Node's thread pool; there is no punch, zero or seek. Sockets are
 * node:net streams with bounded read-ahead. It owns all of them; `close` leaves nothing that keeps
 * the thread alive. Any number of operations may be in flight, one per attached op.
 */

import type { Socket } from "node:net";

import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Errno } from "./errno.ts";
import {
  type AcceptHandler,
  type AllocateMode,
  type FileHandle,
  type Io,
  IoLevel,
  type IoOp,
  type IoTurnStats,
  type IoVector,
  type Listener,
  type OpenedFile,
  type OpenFileOptions,
  type SocketAddress,
  type SocketHandle,
  type TurnHandler,
} from "./io.ts";
import { FileOperation } from "./portable/file-operation.ts";
import { markFault } from "./fault-marks.ts";
import { FileTable } from "./portable/file-table.ts";
import { HeapVector } from "./heap-vector.ts";
import { sizeOfMedium } from "./medium.ts";
import { connectTo, listenOn, type NetListener } from "./portable/socket-listener.ts";
import { StreamSocket } from "./portable/stream-socket.ts";
import { TurnLoop } from "./portable/turn-loop.ts";
import { RealClock } from "./real-clock.ts";
import { HeapSlabSpace } from "./slab-space-heap.ts";
import type { Slab, SlabSpace } from "./slab.ts";

export interface PortableIoOptions {
  /** Where slabs come from; its own heap space when absent. */
  readonly slabs?: SlabSpace;
}

export class PortableIo implements Io {
  readonly level: IoLevel = IoLevel.portable;
  readonly clock: RealClock = new RealClock();
  readonly slabs: SlabSpace;
  readonly #loop = new TurnLoop();
  readonly #files = new FileTable();
  /** By slot: the file operation of an attached op, made when it first needs one. */
  readonly #fileOperations: (FileOperation | null)[] = [];
  /** By slot: the socket of an op's latest receive or send, for `cancel`. */
  readonly #socketOfOp: (StreamSocket | null)[] = [];
  readonly #sockets: (StreamSocket | null)[] = [];
  readonly #freeSockets: SocketHandle[] = [];
  readonly #listeners = new Set<NetListener>();
  readonly #connecting = new Set<Socket>();
  #closed: Promise<void> | null = null;

  static create(options: PortableIoOptions = {}): PortableIo {
    return new PortableIo(options);
  }

  private constructor(options: PortableIoOptions) {
    this.slabs = options.slabs ?? new HeapSlabSpace();
  }

  get turnStats(): IoTurnStats {
    const { turns, completions } = this.#loop;
    return { turns, completions };
  }

  setTurnHandler(handler: TurnHandler): void {
    assert(this.#loop.handler === null, "an Io has one reactor");
    this.#loop.handler = handler;
  }

  requestTurn(): void {
    this.#loop.request();
  }

  /** Immediates run in order, each with microtasks after it, never inside another. */
  defer(callback: () => void): void {
    setImmediate(callback);
  }

  attach(op: IoOp): void {
    this.#loop.ops.attach(op);
  }

  detach(op: IoOp): void {
    const { slot } = op;
    this.#loop.ops.detach(op);
    this.#fileOperations[slot] = null;
    this.#socketOfOp[slot] = null;
  }

  cancel(op: IoOp): void {
    if (op.inFlight) this.#socketOfOp[op.slot]?.cancel(op);
  }

  vector(capacity: number): IoVector {
    return new HeapVector(capacity);
  }

  openFile(options: OpenFileOptions): Promise<OpenedFile> {
    return this.#files.open(options);
  }

  closeFile(file: FileHandle): Promise<void> {
    return this.#files.close(file);
  }

  sizeOfFile(file: FileHandle): Promise<number> {
    return sizeOfMedium(this.#files.get(file).fd);
  }

  noteFault(identity: string): void {
    markFault(identity);
  }

  // hot path
  read(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
  ): void {
    const open = this.#files.get(file);
    this.#fileOperation(op).moveRange(open, slab, offset, length, position, false, false);
  }

  // hot path
  readVector(op: IoOp, file: FileHandle, vector: IoVector, position: number): void {
    const open = this.#files.get(file);
    this.#fileOperation(op).moveVector(open, vector as HeapVector, position, false, false);
  }

  // hot path
  write(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
    durable: boolean,
  ): void {
    const open = this.#files.get(file);
    this.#fileOperation(op).moveRange(open, slab, offset, length, position, true, durable);
  }

  // hot path
  writeVector(
    op: IoOp,
    file: FileHandle,
    vector: IoVector,
    position: number,
    durable: boolean,
  ): void {
    const open = this.#files.get(file);
    this.#fileOperation(op).moveVector(open, vector as HeapVector, position, true, durable);
  }

  sync(op: IoOp, file: FileHandle): void {
    this.#fileOperation(op).sync(this.#files.get(file));
  }

  allocate(
    op: IoOp,
    file: FileHandle,
    _mode: AllocateMode,
    _position: number,
    _length: number,
  ): void {
    this.#refuse(op, file);
  }

  seek(op: IoOp, file: FileHandle, _position: number, _what: "data" | "hole"): void {
    this.#refuse(op, file);
  }

  async listen(address: SocketAddress, onAccept: AcceptHandler): Promise<Listener> {
    assert(this.#closed === null, "a closed Io does not listen");
    let listener: NetListener | null = null;
    listener = await listenOn(address, (socket, peer) => {
      const handle = this.#addSocket(socket);
      this.#loop.enqueue(() => {
        if (listener?.isOpen === false) this.closeSocket(handle);
        else onAccept(handle, peer);
      });
    });
    this.#listeners.add(listener);
    return listener;
  }

  async connect(address: SocketAddress, signal?: AbortSignal): Promise<SocketHandle> {
    assert(this.#closed === null, "a closed Io does not connect");
    let started: Socket | null = null;
    try {
      const noteStarted = (connecting: Socket): void => {
        started = connecting;
        this.#connecting.add(connecting);
      };
      const socket = await connectTo(address, noteStarted, signal ?? null);
      return this.#addSocket(socket);
    } finally {
      if (started !== null) this.#connecting.delete(started);
    }
  }

  // hot path
  receive(op: IoOp, socket: SocketHandle, slab: Slab, offset: number, length: number): void {
    this.#socketFor(op, socket).receive(op, slab, offset, length);
  }

  // hot path
  receiveVector(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    this.#socketFor(op, socket).receiveVector(op, vector as HeapVector);
  }

  // hot path
  send(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    this.#socketFor(op, socket).send(op, vector as HeapVector);
  }

  endSocket(socket: SocketHandle): void {
    this.#socket(socket).end();
  }

  shutdownSocket(socket: SocketHandle): void {
    this.#socket(socket).shutdown();
  }

  closeSocket(socket: SocketHandle): void {
    this.#socket(socket).close();
    this.#sockets[socket] = null;
    this.#freeSockets.push(socket);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    assert(this.#loop.ops.inFlight === 0, "an Io closes with nothing in flight");
    this.#loop.close();
    this.clock.close();
    for (const socket of this.#connecting) socket.destroy();
    for (const socket of this.#sockets) socket?.close();
    for (const listener of this.#listeners) await listener.close();
    await this.#files.closeAll();
  }

  #fileOperation(op: IoOp): FileOperation {
    assert(op.slot >= 0, "an op is attached before its first operation");
    const made = this.#fileOperations[op.slot];
    if (made !== null && made !== undefined) return made;
    const operation = new FileOperation(op, this.#loop);
    this.#fileOperations[op.slot] = operation;
    return operation;
  }

  #socketFor(op: IoOp, handle: SocketHandle): StreamSocket {
    const socket = this.#socket(handle);
    this.#socketOfOp[op.slot] = socket;
    return socket;
  }

  #socket(handle: SocketHandle): StreamSocket {
    const socket = this.#sockets[handle];
    assert(socket !== null && socket !== undefined, "a socket handle names an open socket");
    return socket;
  }

  #addSocket(socket: Socket): SocketHandle {
    if (this.#closed !== null) {
      socket.destroy();
      throw new PenstockError({ code: "aborted", message: "the Io is closed" });
    }
    const handle = this.#freeSockets.pop() ?? this.#sockets.length;
    this.#sockets[handle] = new StreamSocket(socket, this.#loop);
    return handle;
  }

  #refuse(op: IoOp, file: FileHandle): void {
    assert(this.#files.get(file).fd >= 0, "a file handle names an open file");
    this.#loop.ops.begin(op);
    this.#loop.finish(op, -Errno.EOPNOTSUPP);
  }
}
