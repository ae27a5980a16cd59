/**
 * NativeIo: the Io through foreign functions. Every operation goes into an OperationQueue (a ring
 * of io_uring, or system calls that do not block) with the op's slot as its user data; `NativeTurn`
 * decides when the queue is entered and completions delivered. Helper threads make the calls that
 * the queue has no operation for.
 */

import { HelperCall } from "../sys/helper-queue.ts";
import * as libc from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import {
  COMPLETION_SOCKET_NONEMPTY,
  type CompletionSink,
  NO_COMPLETION,
  Operation,
  type OperationQueue,
  RECEIVE_POLL_FIRST,
} from "../sys/operation-queue.ts";
import { assert } from "../util/assert.ts";
import {
  AllocateMode,
  type AcceptHandler,
  type FileHandle,
  type Io,
  type IoLevel,
  type IoOp,
  type IoVector,
  type Listener,
  type OpenedFile,
  type OpenFileOptions,
  type SocketAddress,
  type SocketHandle,
  type TurnHandler,
} from "./io.ts";
import { ArrivedResults } from "./arrived-results.ts";
import { markFault } from "./fault-marks.ts";
import { HelperPool } from "./helper-pool.ts";
import { OpTable } from "./op-table.ts";
import { RealClock } from "./real-clock.ts";
import type { Slab } from "./slab.ts";
import {
  SharedSlabSpace,
  createSharedSlabTable,
  type SharedSlabTable,
} from "./slab-space-shared.ts";
import type { Clock } from "./clock.ts";
import { FixedSlabs } from "./fixed-slabs.ts";
import { FileKind, NativeFiles } from "./native-files.ts";
import { connectTo, listenOn, type SocketContext } from "./native-sockets.ts";
import { type TurnStats, NativeTurn } from "./native-turn.ts";
import { NativeVector } from "./native-vector.ts";

export interface NativeIoOptions {
  /** Shared by all workers of the process; its own when absent. */
  readonly slabTable?: SharedSlabTable;
  /** Longest look for work before sleeping, in ms; 0 never looks. */
  readonly spinMsMax?: number;
  /**
   * The thread is not the reactor's own: its event loop is never held up by waiting, and is kept
   * alive by whoever uses the Io, not by the Io.
   */
  readonly sharesThread?: boolean;
}

/** What makes a level. */
export interface NativeLevel {
  readonly level: IoLevel;
  /** Helper threads at most. */
  readonly helpersMax: number;
  /** The queue's `wait` ends with a helper's answer, too. */
  readonly waitSeesHelpers: boolean;
  /** Its queue serves a reactor that rests (`TurnHandler.restMs`). */
  readonly canRest: boolean;
  makeQueue(clock: Clock, helpers: HelperPool, requestTurn: () => void): OperationQueue;
}

/** In the user data of reads and writes of files: counted in `fileDepth`, never cancelled. */
const OF_FILE = 1 << 30;

/** Rests of 10 to 30 us would otherwise last 50 us longer. */
const TIMER_SLACK_NS = 1000;

const FSYNC_DATASYNC = 1;
const RWF_DSYNC = 2;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
const MSG_NOSIGNAL = 0x4000;
const MSG_WAITALL = 0x100;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export abstract class NativeIo implements Io, CompletionSink {
  readonly level: IoLevel;
  readonly canRest: boolean;
  readonly #waitSeesHelpers: boolean;
  readonly clock: RealClock;
  readonly slabs: SharedSlabSpace;
  readonly #queue: OperationQueue;
  readonly #ops = new OpTable();
  readonly #turn: NativeTurn;
  readonly #files = new NativeFiles();
  readonly #fixed: FixedSlabs;
  readonly #helpers: HelperPool;
  readonly #sockets: SocketContext;
  /** Results of what was done in place, for the next turn. */
  readonly #arrived = new ArrivedResults();
  readonly #lowWater = integerArgument();
  /** Reads and writes of files in the queue. */
  #fileDepth = 0;
  #closed: Promise<void> | null = null;

  constructor(options: NativeIoOptions, level: NativeLevel) {
    const sharesThread = options.sharesThread === true;
    this.level = level.level;
    this.canRest = level.canRest && !sharesThread;
    this.#waitSeesHelpers = level.waitSeesHelpers;
    this.clock = new RealClock();
    this.slabs = new SharedSlabSpace(options.slabTable ?? createSharedSlabTable());
    const requestTurn = (): void => this.requestTurn();
    this.#helpers = new HelperPool(level.helpersMax, requestTurn);
    this.#queue = level.makeQueue(this.clock, this.#helpers, requestTurn);
    this.#fixed = new FixedSlabs(this.#queue, this.slabs);
    if (!sharesThread) libc.setTimerSlack(TIMER_SLACK_NS);
    this.#turn = new NativeTurn(this.#queue, this, this.clock, options);
    this.#helpers.eventfd = this.#turn.wakeFd;
    this.#sockets = {
      prepare: (...entry) => this.#prepare(...entry),
      closeSocket: (fd) => this.#queue.closeSocket(fd),
      ops: this.#ops,
      clock: this.clock,
    };
  }

  get turnStats(): TurnStats {
    this.#turn.stats.enters = this.#queue.enterCount;
    return this.#turn.stats;
  }

  get wakeHandle(): number {
    return this.#turn.wakeFd;
  }

  wake(wakeHandle: number): void {
    this.#turn.wakeOther(wakeHandle);
  }

  setTurnHandler(handler: TurnHandler): void {
    assert(this.#turn.handler === null, "an Io has one reactor");
    const helpers = this.#helpers;
    const isUnseen = !this.#waitSeesHelpers;
    const fileDepth = (): number => this.#fileDepth;
    this.#turn.handler = {
      runTurn: () => {
        const delivered = this.#deliverArrived();
        const answers = this.#helpers.reap(this);
        return handler.runTurn() || delivered || answers > 0;
      },
      awake: () => {
        this.#helpers.setSignals(false);
        handler.awake?.();
      },
      hasWork: () => this.#helpers.hasAnswers || handler.hasWork?.() === true,
      aboutToSleep: () => {
        this.#helpers.setSignals(true);
        return this.#helpers.hasAnswers || handler.aboutToSleep?.() === true;
      },
      restMs: () => handler.restMs?.() ?? 0,
      endRest: () => handler.endRest?.(),
      takeBulkHint: () => handler.takeBulkHint?.() === true,
      get hasPollers() {
        return (isUnseen && helpers.isBusy) || handler.hasPollers === true;
      },
      get fileDepth() {
        return fileDepth();
      },
    };
  }

  requestTurn(): void {
    this.#turn.requestTurn();
  }

  defer(callback: () => void): void {
    this.#turn.defer(callback);
  }

  // hot path
  operationCompleted(userData: number, result: number, flags: number): void {
    if (userData === NO_COMPLETION) return;
    let slot = userData;
    if ((userData & OF_FILE) !== 0) {
      slot -= OF_FILE;
      this.#fileDepth--;
    }
    this.#ops.end(slot, result, (flags & COMPLETION_SOCKET_NONEMPTY) !== 0);
  }

  attach(op: IoOp): void {
    this.#ops.attach(op);
  }

  detach(op: IoOp): void {
    this.#ops.detach(op);
  }

  cancel(op: IoOp): void {
    if (!op.inFlight) return;
    this.#prepare(Operation.asyncCancel, -1, op.slot, 0, 0, 0, NO_COMPLETION);
  }

  vector(capacity: number): IoVector {
    return new NativeVector(capacity);
  }

  async openFile(options: OpenFileOptions): Promise<OpenedFile> {
    const opened = await this.#files.open(options);
    if (this.#files.kindOf(opened.file) !== FileKind.inMemory) this.#queue.openedFile(opened.file);
    return opened;
  }

  closeFile(file: FileHandle): Promise<void> {
    this.#queue.closingFile(file);
    return this.#files.close(file);
  }

  sizeOfFile(file: FileHandle): Promise<number> {
    return this.#files.sizeOf(file);
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
    const slot = this.#ops.begin(op);
    const kind = this.#files.kindOf(file);
    const address = slab.address + offset;
    if (kind === FileKind.inMemory) {
      this.#arrive(slot, libc.preadInMemory(file, address, length, position));
      return;
    }
    const buffer = kind === FileKind.direct ? this.#fixed.bufferOf(slab) : -1;
    if (buffer < 0) this.#transfer(Operation.read, file, address, length, position, 0, slot);
    else this.#fixedTransfer(Operation.readFixed, file, address, length, position, 0, slot, buffer);
  }

  // hot path
  readVector(op: IoOp, file: FileHandle, vector: IoVector, position: number): void {
    const { entriesAddress, count, lengthBytes } = vector as NativeVector;
    const slot = this.#ops.begin(op);
    if (this.#files.kindOf(file) === FileKind.inMemory) {
      this.#arrive(slot, libc.preadvInMemory(file, entriesAddress, count, position));
      return;
    }
    const { readv } = Operation;
    this.#transfer(readv, file, entriesAddress, count, position, 0, slot, lengthBytes);
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
    const slot = this.#ops.begin(op);
    const kind = this.#files.kindOf(file);
    const address = slab.address + offset;
    if (kind === FileKind.inMemory) {
      this.#arrive(slot, libc.pwriteInMemory(file, address, length, position));
      return;
    }
    const flags = durable ? RWF_DSYNC : 0;
    const buffer = kind === FileKind.direct ? this.#fixed.bufferOf(slab) : -1;
    const { write, writeFixed } = Operation;
    if (buffer < 0) this.#transfer(write, file, address, length, position, flags, slot);
    else this.#fixedTransfer(writeFixed, file, address, length, position, flags, slot, buffer);
  }

  // hot path
  writeVector(
    op: IoOp,
    file: FileHandle,
    vector: IoVector,
    position: number,
    durable: boolean,
  ): void {
    const { entriesAddress, count, lengthBytes } = vector as NativeVector;
    const slot = this.#ops.begin(op);
    if (this.#files.kindOf(file) === FileKind.inMemory) {
      this.#arrive(slot, libc.pwritevInMemory(file, entriesAddress, count, position));
      return;
    }
    const flags = durable ? RWF_DSYNC : 0;
    const { writev } = Operation;
    this.#transfer(writev, file, entriesAddress, count, position, flags, slot, lengthBytes);
  }

  sync(op: IoOp, file: FileHandle): void {
    this.#prepare(Operation.fsync, file, 0, 0, 0, FSYNC_DATASYNC, this.#ops.begin(op));
  }

  allocate(op: IoOp, file: FileHandle, mode: AllocateMode, position: number, length: number): void {
    const how = mode === AllocateMode.punch ? FALLOC_PUNCH_HOLE : FALLOC_ZERO_RANGE;
    const slot = this.#ops.begin(op);
    // The length goes into `addr`, the mode into `len`. spec: io_uring_enter(2)
    const { fallocate } = Operation;
    this.#prepare(fallocate, file, length, how | FALLOC_KEEP_SIZE, position, 0, slot);
  }

  seek(op: IoOp, file: FileHandle, position: number, what: "data" | "hole"): void {
    const slot = this.#ops.begin(op);
    const whence = what === "data" ? SEEK_DATA : SEEK_HOLE;
    this.#helpers.call(slot, HelperCall.seek, file, 0, 0, position, whence);
    // Its end takes care that the helper's answer is signalled.
    this.#turn.requestTurn();
  }

  listen(address: SocketAddress, onAccept: AcceptHandler): Promise<Listener> {
    return listenOn(this.#sockets, address, onAccept);
  }

  connect(address: SocketAddress, signal?: AbortSignal): Promise<SocketHandle> {
    return connectTo(this.#sockets, address, {
      defer: (callback) => this.defer(callback),
      signal: signal ?? null,
    });
  }

  // hot path
  receive(op: IoOp, socket: SocketHandle, slab: Slab, offset: number, length: number): void {
    const slot = this.#ops.begin(op);
    this.#prepare(
      Operation.recv | pollFirst(op),
      socket,
      slab.address + offset,
      length,
      0,
      0,
      slot,
    );
  }

  // hot path
  receiveVector(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    const address = (vector as NativeVector).prepareHeader();
    const operation = Operation.recvmsg | pollFirst(op);
    const slot = this.#ops.begin(op);
    this.#prepare(operation, socket, address, 1, 0, 0, slot, vector.lengthBytes);
  }

  // hot path
  expectBytes(socket: SocketHandle, lengthBytes: number): void {
    this.#lowWater.words[0] = lengthBytes;
    libc.setReceiveLowWater(socket, this.#lowWater.pointer);
  }

  // hot path
  send(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    const address = (vector as NativeVector).prepareHeader();
    const flags = MSG_NOSIGNAL | MSG_WAITALL;
    this.#prepare(Operation.sendmsg, socket, address, 1, 0, flags, this.#ops.begin(op));
  }

  endSocket(socket: SocketHandle): void {
    libc.shutdown(socket, libc.ShutdownHow.send);
  }

  shutdownSocket(socket: SocketHandle): void {
    libc.shutdown(socket, libc.ShutdownHow.both);
  }

  releaseSocket(socket: SocketHandle): void {
    this.#queue.releaseSocket(socket);
  }

  closeSocket(socket: SocketHandle): void {
    this.#queue.closeSocket(socket);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    assert(this.#ops.inFlight === 0, "an Io closes with nothing in flight");
    await this.#helpers.close();
    this.clock.close();
    this.#fixed.close();
    this.#turn.close();
    // The poll handle's close callback needs one round of the loop before the thread may end.
    await new Promise((resolve) => setImmediate(resolve));
    this.#queue.close();
  }

  // hot path
  #transfer(
    operation: number,
    file: FileHandle,
    address: number,
    length: number,
    position: number,
    flags: number,
    slot: number,
    totalBytes?: number,
  ): void {
    this.#fileDepth++;
    this.#prepare(operation, file, address, length, position, flags, slot | OF_FILE, totalBytes);
  }

  // hot path
  #fixedTransfer(
    operation: number,
    file: FileHandle,
    address: number,
    length: number,
    position: number,
    flags: number,
    slot: number,
    buffer: number,
  ): void {
    this.#fileDepth++;
    const queue = this.#queue;
    if (queue.pending === 0) this.#turn.requestTurn();
    const userData = slot | OF_FILE;
    queue.prepareFixed(operation, file, address, length, position, flags, userData, buffer);
  }

  #prepare(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    flags: number,
    slot: number,
    totalBytes?: number,
  ): void {
    if (this.#queue.pending === 0) this.#turn.requestTurn();
    this.#queue.prepare(operation, fd, address, length, position, flags, slot, totalBytes);
  }

  // hot path
  #arrive(slot: number, result: number): void {
    this.#arrived.push(slot, result);
    this.#turn.requestTurn();
  }

  // hot path
  #deliverArrived(): boolean {
    const { count } = this.#arrived;
    for (let index = 0; index < count; index++) {
      this.#ops.end(this.#arrived.slot(index), this.#arrived.result(index));
    }
    this.#arrived.removeFirst(count);
    return count > 0;
  }
}

/** Memory for an integer that a system call reads, with its pointer made once. */
function integerArgument(): { readonly words: Int32Array; readonly pointer: bigint } {
  const memory = mapShared(4096);
  return { words: new Int32Array(memory.buffer), pointer: BigInt(memory.address) };
}

/** A receive that would find nothing waits at once. Hot path. */
function pollFirst(op: IoOp): number {
  return op.socketHasMore ? 0 : RECEIVE_POLL_FIRST;
}
