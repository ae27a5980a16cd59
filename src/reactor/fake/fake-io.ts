/**
 * FakeIo: the whole Io of one fake process: its share of a world's disk, network and time.
 *
 * Completions come as events in virtual time, each followed by a turn of the reactor. It asserts
 * what a kernel would punish later: an op started twice, memory out of bounds, handles that are
 * not open, closing with operations in flight.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import {
  AllocateMode,
  type AcceptHandler,
  type FileHandle,
  type Io,
  IoLevel,
  type IoOp,
  type IoVector,
  type Listener,
  type OpenedFile,
  type OpenFileOptions,
  type SocketAddress,
  type SocketHandle,
  type TurnHandler,
} from "../io.ts";
import type { Slab } from "../slab.ts";
import type { HeapSlabSpace } from "../slab-space-heap.ts";
import { FakeClock } from "./fake-clock.ts";
import type { FakeDisk } from "./fake-disk.ts";
import { abandonFileOp, startFileOp, stepFileOp } from "./fake-file-steps.ts";
import { FakeFileTable } from "./fake-file-table.ts";
import type { FakeNetwork } from "./fake-network.ts";
import { FakeOp, type FakeOpKind, type FakeOpOwner } from "./fake-op.ts";
import { FakeSocketTable } from "./fake-socket-table.ts";
import { FakeTurn } from "./fake-turn.ts";
import { HeapVector } from "../heap-vector.ts";
import { CallbackEvent, type ProcessGate } from "./process-gate.ts";

export interface FakeIoOptions {
  readonly gate: ProcessGate;
  readonly host: string;
  readonly disk: FakeDisk;
  readonly network: FakeNetwork;
  readonly prng: Prng;
  readonly slabs: HeapSlabSpace;
}

/** Promises settle within this time, milliseconds. */
const DEFER_MS_MAX = 0.005;

export class FakeIo implements Io, FakeOpOwner {
  readonly level: IoLevel = IoLevel.fake;
  readonly clock: FakeClock;
  readonly slabs: HeapSlabSpace;
  readonly #gate: ProcessGate;
  readonly #disk: FakeDisk;
  readonly #prng: Prng;
  readonly #turn: FakeTurn;
  readonly #files: FakeFileTable;
  readonly #sockets: FakeSocketTable;
  readonly #ops: (FakeOp | null)[] = [];
  #inFlight = 0;
  #closed: Promise<void> | null = null;

  constructor(options: FakeIoOptions) {
    this.slabs = options.slabs;
    this.#gate = options.gate;
    this.#disk = options.disk;
    this.#prng = options.prng;
    this.clock = new FakeClock(options.gate);
    this.#turn = new FakeTurn(options.gate, options.prng);
    this.#files = new FakeFileTable(options.disk, options.host);
    this.#sockets = new FakeSocketTable({
      gate: options.gate,
      network: options.network,
      host: options.host,
      requestTurn: () => this.#turn.request(),
    });
  }

  setTurnHandler(handler: TurnHandler): void {
    this.#turn.setHandler(handler);
  }

  requestTurn(): void {
    this.#turn.request();
  }

  defer(callback: () => void): void {
    const event = new CallbackEvent(this.#gate, callback);
    this.#gate.queue.schedule(event, DEFER_MS_MAX * this.#prng.float());
  }

  attach(op: IoOp): void {
    assert(op.slot === -1, "an op is attached once");
    op.slot = this.#ops.length;
    this.#ops.push(new FakeOp(this.#gate, this, op));
  }

  detach(op: IoOp): void {
    assert(!op.inFlight, "an op with nothing in flight is detached");
    this.#opOf(op);
    this.#ops[op.slot] = null;
    op.slot = -1;
  }

  cancel(op: IoOp): void {
    const fake = this.#opOf(op);
    if (!op.inFlight || fake.socket === null) return;
    fake.isCancelled = true;
    fake.wake(0);
  }

  vector(capacity: number): IoVector {
    return new HeapVector(capacity);
  }

  async openFile(options: OpenFileOptions): Promise<OpenedFile> {
    await this.#later(this.#disk.transferDelayMs());
    return this.#files.open(options);
  }

  async closeFile(file: FileHandle): Promise<void> {
    this.#files.close(file);
    await this.#later(this.#disk.transferDelayMs());
  }

  async sizeOfFile(file: FileHandle): Promise<number> {
    await this.#later(this.#disk.transferDelayMs());
    return this.#files.get(file).file.sizeBytes;
  }

  noteFault(identity: string): void {
    this.#disk.noteFault(identity);
  }

  read(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
  ): void {
    const fake = this.#begin(op, "read");
    fake.useRange(this.slabs, slab, offset, length);
    this.#startFile(fake, file, position, length);
  }

  readVector(op: IoOp, file: FileHandle, vector: IoVector, position: number): void {
    const fake = this.#begin(op, "read");
    fake.useVector(this.slabs, vector);
    this.#startFile(fake, file, position, vector.lengthBytes);
  }

  write(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
    durable: boolean,
  ): void {
    const fake = this.#begin(op, "write");
    fake.durable = durable;
    fake.useRange(this.slabs, slab, offset, length);
    this.#startFile(fake, file, position, length);
  }

  writeVector(
    op: IoOp,
    file: FileHandle,
    vector: IoVector,
    position: number,
    durable: boolean,
  ): void {
    const fake = this.#begin(op, "write");
    fake.durable = durable;
    fake.useVector(this.slabs, vector);
    this.#startFile(fake, file, position, vector.lengthBytes);
  }

  sync(op: IoOp, file: FileHandle): void {
    this.#startFile(this.#begin(op, "sync"), file, 0, 0);
  }

  allocate(op: IoOp, file: FileHandle, mode: AllocateMode, position: number, length: number): void {
    assert(length > 0, "a range is allocated");
    const fake = this.#begin(op, mode === AllocateMode.punch ? "punch" : "zero");
    this.#startFile(fake, file, position, length);
  }

  seek(op: IoOp, file: FileHandle, position: number, what: "data" | "hole"): void {
    const fake = this.#begin(op, "seek");
    fake.seekHole = what === "hole";
    this.#startFile(fake, file, position, 0);
  }

  listen(address: SocketAddress, onAccept: AcceptHandler): Promise<Listener> {
    return this.#sockets.listen(address, onAccept);
  }

  connect(address: SocketAddress, signal?: AbortSignal): Promise<SocketHandle> {
    return this.#sockets.connect(address, signal ?? null);
  }

  receive(op: IoOp, socket: SocketHandle, slab: Slab, offset: number, length: number): void {
    const fake = this.#begin(op, "receive");
    fake.useRange(this.slabs, slab, offset, length);
    this.#startSocket(fake, socket, length);
  }

  receiveVector(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    const fake = this.#begin(op, "receive");
    fake.useVector(this.slabs, vector);
    this.#startSocket(fake, socket, vector.lengthBytes);
  }

  send(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    const fake = this.#begin(op, "send");
    fake.useVector(this.slabs, vector);
    this.#startSocket(fake, socket, vector.lengthBytes);
  }

  endSocket(socket: SocketHandle): void {
    this.#sockets.get(socket).end();
  }

  shutdownSocket(socket: SocketHandle): void {
    this.#sockets.get(socket).shutDown();
  }

  closeSocket(socket: SocketHandle): void {
    this.#sockets.close(socket);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** kill -9: what was in flight on files took effect or not; the kernel ends the sockets. */
  abandon(options: { readonly vanish: boolean }): void {
    for (const op of this.#ops) {
      if (op === null || op.file === null || op.refusedErrno !== 0) continue;
      if (!options.vanish) abandonFileOp(op, this.#disk, this.#prng);
      else op.fault?.forget(op);
    }
    this.#files.abandonAll();
    if (options.vanish) this.#sockets.vanishAll();
    else this.#sockets.abandonAll();
  }

  opDue(op: FakeOp): void {
    const result = this.#step(op);
    if (result === null) return;
    op.end();
    this.#inFlight--;
    op.target.complete(result);
    this.#turn.request();
  }

  #step(op: FakeOp): number | null {
    if (op.refusedErrno !== 0) return -op.refusedErrno;
    return op.socket === null ? stepFileOp(op, this.#disk, this.#prng) : op.socket.step(op);
  }

  async #close(): Promise<void> {
    assert(this.#inFlight === 0, "an Io is closed when nothing is in flight");
    // What has been deferred until now still runs.
    await this.#later(2 * DEFER_MS_MAX);
    this.#files.abandonAll();
    this.#sockets.abandonAll();
    this.#gate.kill();
  }

  #begin(op: IoOp, kind: FakeOpKind): FakeOp {
    assert(this.#gate.isAlive, "a closed Io starts nothing");
    const fake = this.#opOf(op);
    fake.begin(kind);
    this.#inFlight++;
    return fake;
  }

  #startFile(op: FakeOp, handle: FileHandle, position: number, length: number): void {
    assert(Number.isSafeInteger(position) && position >= 0, "a position is a whole number");
    const opened = this.#files.get(handle);
    op.file = opened.file;
    op.position = position;
    op.length = length;
    op.refusedErrno = opened.check(op);
    if (op.refusedErrno === 0) startFileOp(op, this.#disk, this.#prng);
    else op.wake(0);
  }

  #startSocket(op: FakeOp, handle: SocketHandle, length: number): void {
    op.socket = this.#sockets.get(handle);
    op.length = length;
    op.socket.start(op);
  }

  #opOf(op: IoOp): FakeOp {
    const fake = this.#ops[op.slot];
    assert(fake?.target === op, "an op is attached to this Io");
    return fake as FakeOp;
  }

  /** A promise that settles at an event of this process. */
  #later(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#gate.queue.schedule(new CallbackEvent(this.#gate, resolve), delayMs);
    });
  }
}
