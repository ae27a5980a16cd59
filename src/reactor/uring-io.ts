/**
 * UringIo: the Io on io_uring. Every operation is one submission entry with the op's slot as its
 * user data; `UringTurn` decides when entries are submitted and completions delivered.
 */

import {
  COMPLETION_SOCKET_NONEMPTY,
  RECEIVE_POLL_FIRST,
  Ring,
  RingOperation,
  type CompletionSink,
  NO_COMPLETION,
} from "../sys/uring.ts";
import * as libc from "../sys/libc.ts";
import { mapShared } from "../sys/memory.ts";
import { assert } from "../util/assert.ts";
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
} from "./io.ts";
import { ArrivedResults } from "./arrived-results.ts";
import { OpTable } from "./op-table.ts";
import { RealClock } from "./real-clock.ts";
import type { Slab } from "./slab.ts";
import {
  SharedSlabSpace,
  createSharedSlabTable,
  type SharedSlabTable,
} from "./slab-space-shared.ts";
import { UringFiles } from "./uring-files.ts";
import { connectTo, listenOn, type SocketContext } from "./uring-listener.ts";
import { UringSeeker } from "./uring-seeker.ts";
import { type TurnStats, UringTurn } from "./uring-turn.ts";
import { UringVector } from "./uring-vector.ts";

export interface UringIoOptions {
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

const SUBMISSION_ENTRIES = 1024;
const COMPLETION_ENTRIES = 8192;
/** The kernel's threads for file operations that would block, per reactor. */
const WORKERS_BOUNDED = 4;
/** ... and for those that may wait for ever. Sockets never need one: they are polled. */
const WORKERS_UNBOUNDED = 4;

/** Rests of 10 to 30 us would otherwise last 50 us longer. */
const TIMER_SLACK_NS = 1000;

const FSYNC_DATASYNC = 1;
const RWF_DSYNC = 2;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 16;
const MSG_NOSIGNAL = 0x4000;
const MSG_WAITALL = 0x100;

export class UringIo implements Io, CompletionSink {
  readonly level: IoLevel = IoLevel.uring;
  readonly canRest: boolean;
  readonly clock: RealClock;
  readonly slabs: SharedSlabSpace;
  readonly #ring: Ring;
  readonly #ops = new OpTable();
  readonly #turn: UringTurn;
  readonly #files = new UringFiles();
  readonly #seeker: UringSeeker;
  readonly #sockets: SocketContext;
  /** Results that came by other ways than the ring, for the next turn. */
  readonly #arrived = new ArrivedResults();
  readonly #lowWater = integerArgument();
  #closed: Promise<void> | null = null;

  /** @throws PenstockError `io-uring-unavailable` */
  constructor(options: UringIoOptions = {}) {
    const sharesThread = options.sharesThread === true;
    this.canRest = !sharesThread;
    this.clock = new RealClock();
    this.slabs = new SharedSlabSpace(options.slabTable ?? createSharedSlabTable());
    this.#ring = new Ring({
      submissionEntries: SUBMISSION_ENTRIES,
      completionEntries: COMPLETION_ENTRIES,
    });
    if (!sharesThread) libc.setTimerSlack(TIMER_SLACK_NS);
    this.#ring.limitWorkers(WORKERS_BOUNDED, WORKERS_UNBOUNDED);
    this.#turn = new UringTurn(this.#ring, this, this.clock, options);
    this.#sockets = {
      prepare: (...entry) => this.#prepare(...entry),
      ops: this.#ops,
      clock: this.clock,
    };
    this.#seeker = new UringSeeker((slot, result) => this.#arrive(slot, result));
  }

  get turnStats(): TurnStats {
    this.#turn.stats.enters = this.#ring.enterCount;
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
    this.#turn.handler = {
      runTurn: () => {
        const delivered = this.#deliverArrived();
        return handler.runTurn() || delivered;
      },
      awake: () => handler.awake?.(),
      hasWork: () => handler.hasWork?.() === true,
      aboutToSleep: () => handler.aboutToSleep?.() === true,
      restMs: () => handler.restMs?.() ?? 0,
      endRest: () => handler.endRest?.(),
      takeBulkHint: () => handler.takeBulkHint?.() === true,
      get hasPollers() {
        return handler.hasPollers === true;
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
  ringCompleted(userData: number, result: number, flags: number): void {
    if (userData === NO_COMPLETION) return;
    this.#ops.end(userData, result, (flags & COMPLETION_SOCKET_NONEMPTY) !== 0);
  }

  attach(op: IoOp): void {
    this.#ops.attach(op);
  }

  detach(op: IoOp): void {
    this.#ops.detach(op);
  }

  cancel(op: IoOp): void {
    if (!op.inFlight) return;
    this.#prepare(RingOperation.asyncCancel, -1, op.slot, 0, 0, 0, NO_COMPLETION);
  }

  vector(capacity: number): IoVector {
    return new UringVector(capacity);
  }

  openFile(options: OpenFileOptions): Promise<OpenedFile> {
    return this.#files.open(options);
  }

  closeFile(file: FileHandle): Promise<void> {
    return this.#files.close(file);
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
    if (this.#files.isInMemory(file)) {
      this.#arrive(slot, libc.preadInMemory(file, slab.address + offset, length, position));
      return;
    }
    this.#prepare(RingOperation.read, file, slab.address + offset, length, position, 0, slot);
  }

  // hot path
  readVector(op: IoOp, file: FileHandle, vector: IoVector, position: number): void {
    const { entriesAddress, count } = vector as UringVector;
    const slot = this.#ops.begin(op);
    if (this.#files.isInMemory(file)) {
      this.#arrive(slot, libc.preadvInMemory(file, entriesAddress, count, position));
      return;
    }
    this.#prepare(RingOperation.readv, file, entriesAddress, count, position, 0, slot);
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
    if (this.#files.isInMemory(file)) {
      this.#arrive(slot, libc.pwriteInMemory(file, slab.address + offset, length, position));
      return;
    }
    const flags = durable ? RWF_DSYNC : 0;
    this.#prepare(RingOperation.write, file, slab.address + offset, length, position, flags, slot);
  }

  // hot path
  writeVector(
    op: IoOp,
    file: FileHandle,
    vector: IoVector,
    position: number,
    durable: boolean,
  ): void {
    const { entriesAddress, count } = vector as UringVector;
    const slot = this.#ops.begin(op);
    if (this.#files.isInMemory(file)) {
      this.#arrive(slot, libc.pwritevInMemory(file, entriesAddress, count, position));
      return;
    }
    const flags = durable ? RWF_DSYNC : 0;
    this.#prepare(RingOperation.writev, file, entriesAddress, count, position, flags, slot);
  }

  sync(op: IoOp, file: FileHandle): void {
    this.#prepare(RingOperation.fsync, file, 0, 0, 0, FSYNC_DATASYNC, this.#ops.begin(op));
  }

  allocate(op: IoOp, file: FileHandle, mode: AllocateMode, position: number, length: number): void {
    const how = mode === AllocateMode.punch ? FALLOC_PUNCH_HOLE : FALLOC_ZERO_RANGE;
    const slot = this.#ops.begin(op);
    // The length goes into `addr`, the mode into `len`. spec: io_uring_enter(2)
    const { fallocate } = RingOperation;
    this.#prepare(fallocate, file, length, how | FALLOC_KEEP_SIZE, position, 0, slot);
  }

  seek(op: IoOp, file: FileHandle, position: number, what: "data" | "hole"): void {
    this.#ops.begin(op);
    this.#seeker.seek(op, file, position, what);
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
      RingOperation.recv | pollFirst(op),
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
    const address = (vector as UringVector).prepareHeader();
    const operation = RingOperation.recvmsg | pollFirst(op);
    this.#prepare(operation, socket, address, 1, 0, 0, this.#ops.begin(op));
  }

  // hot path
  expectBytes(socket: SocketHandle, lengthBytes: number): void {
    this.#lowWater.words[0] = lengthBytes;
    libc.setReceiveLowWater(socket, this.#lowWater.pointer);
  }

  // hot path
  send(op: IoOp, socket: SocketHandle, vector: IoVector): void {
    const address = (vector as UringVector).prepareHeader();
    const flags = MSG_NOSIGNAL | MSG_WAITALL;
    this.#prepare(RingOperation.sendmsg, socket, address, 1, 0, flags, this.#ops.begin(op));
  }

  endSocket(socket: SocketHandle): void {
    libc.shutdown(socket, libc.ShutdownHow.send);
  }

  shutdownSocket(socket: SocketHandle): void {
    libc.shutdown(socket, libc.ShutdownHow.both);
  }

  closeSocket(socket: SocketHandle): void {
    libc.close(socket);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    assert(this.#ops.inFlight === 0, "an Io closes with nothing in flight");
    await this.#seeker.close();
    this.clock.close();
    this.#turn.close();
    // The poll handle's close callback needs one round of the loop before the thread may end.
    await new Promise((resolve) => setImmediate(resolve));
    this.#ring.close();
  }

  #prepare(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    flags: number,
    slot: number,
  ): void {
    if (this.#ring.pending === 0) this.#turn.requestTurn();
    this.#ring.prepare(operation, fd, address, length, position, flags, slot);
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
