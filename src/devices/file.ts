/**
 * FileDevice: a regular file or a block device as a source,
 * `file:///path?size=1GiB&direct=1&readonly=1&blocksize=4096`.
 *
 * One `FileOp` per request in flight, pooled. Buffered unless `direct`. A failed flush or durable
 * write is sticky: the device answers media-error until it is opened again (safety rule 2: the
 * kernel marks pages clean that it failed to write, so that a second fsync would lie).
 */

import {
  Device,
  type DeviceDetails,
  type DeviceInfo,
  modifies,
  TRANSFER_BYTES_MAX,
} from "../block/device.ts";
import { statusOfErrno } from "../block/errno-status.ts";
import { ExclusiveGate } from "../block/exclusive-gate.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { compareSegments, copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { SEGMENT_COUNT_MAX } from "../block/segments.ts";
import { Status } from "../block/status.ts";
import { takeReserve } from "../block/take-reserve.ts";
import type { BufferReserve, BufferWaiter } from "../reactor/buffer-pool.ts";
import { Errno } from "../reactor/errno.ts";
import { AllocateMode, type OpenedFile } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { Slab } from "../reactor/slab.ts";
import { assert, unreachable } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { uuidOfName } from "../util/uuid.ts";
import { growMedium } from "./file-growth.ts";
import { FileOp, type FileOpOwner, FileStep } from "./file-op.ts";
import { blockStatusSeek } from "./file-block-status.ts";

export interface FileOptions {
  readonly path: string;
  /** Creates the file, or grows it to this. */
  readonly sizeBytes?: number;
  readonly readOnly?: boolean;
  /** Another process may write it as well, see `SHARED_FILE_OPERATIONS`. */
  readonly shared?: boolean;
  /** Only for a look, with `readOnly`: see `OpenFileOptions`. */
  readonly glance?: boolean;
  /** O_DIRECT. */
  readonly direct?: boolean;
  /** Default: the medium's logical block size. */
  readonly blockSizeBytes?: number;
  /** For the message that others get who want the same file. */
  readonly holder?: string;
}

const OPTIMAL_IO_BYTES = 128 * 1024;
const DISCARD_GRANULARITY_BYTES = 4096;

/** With these a durable write was refused before it began. */
const DURABLE_REFUSALS: readonly Status[] = [
  Status.invalid,
  Status.outOfRange,
  Status.unsupported,
  Status.aborted,
];

export class FileDevice extends Device implements FileOpOwner, BufferWaiter {
  readonly #file: OpenedFile;
  readonly #gate = new ExclusiveGate((request) => this.#begin(request));
  #free: FileOp | null = null;
  readonly #ops: FileOp[] = [];
  /** Ops that wait for a bounce buffer. */
  #bounceQueue: FileOp[] = [];
  readonly #reserve: BufferReserve;
  readonly #isShared: boolean;
  #canPunch: boolean;
  #canZero: boolean;
  #zeroes: Slab | null = null;
  /** Set by the first failed flush or durable write; never cleared. */
  #fault: Status = Status.ok;

  /**
   * @throws PenstockError of `Io.openFile`; `size-invalid`, `block-size-invalid`, `out-of-buffers`
   */
  static async open(reactor: Reactor, options: FileOptions): Promise<FileDevice> {
    const file = await reactor.io.openFile({
      path: options.path,
      write: options.readOnly !== true,
      direct: options.direct === true,
      shared: options.shared === true,
      glance: options.glance === true,
      ...(options.sizeBytes === undefined ? {} : { createSizeBytes: options.sizeBytes }),
      ...(options.holder === undefined ? {} : { holder: options.holder }),
    });
    try {
      return new FileDevice(reactor, file, describe(file, options), options);
    } catch (error) {
      await reactor.io.closeFile(file.file);
      throw error;
    }
  }

  private constructor(
    reactor: Reactor,
    file: OpenedFile,
    info: DeviceInfo,
    { shared }: FileOptions,
  ) {
    super(reactor, info, shared === true ? SHARED_FILE_OPERATIONS : FILE_OPERATIONS);
    this.#file = file;
    this.#isShared = shared === true;
    this.#reserve = takeReserve(reactor.buffers, info.name);
    this.#canPunch = file.canPunch;
    this.#canZero = file.canZero;
  }

  override describe(): DeviceDetails {
    return this.#isShared ? { shared: true } : {};
  }

  override mediumBytes(): Promise<number> {
    return this.reactor.io.sizeOfFile(this.#file.file);
  }

  override grow(sizeBytes: number): Promise<void> {
    return growMedium(this, sizeBytes, (size) => this.takeSize(size));
  }

  // hot path
  protected override start(request: Request): void {
    if (this.#fault !== Status.ok) {
      this.reactor.completions.push(request, this.#fault);
      return;
    }
    const { operation } = request;
    const exclusive = operation === Operation.compareAndWrite;
    if (modifies(operation) && !this.#gate.enter(request, exclusive)) return;
    this.#begin(request);
  }

  protected override async release(): Promise<void> {
    for (const op of this.#ops) this.reactor.io.detach(op);
    if (this.#zeroes !== null) this.reactor.io.slabs.release(this.#zeroes);
    this.reactor.buffers.stopWaiting(this);
    this.#reserve.close();
    await this.reactor.io.closeFile(this.#file.file);
  }

  // hot path
  #begin(request: Request): void {
    const op = this.#takeOp();
    op.request = request;
    op.done = 0;
    op.bounceStart = 0;
    op.compared = false;
    op.isProbe = false;
    switch (request.operation) {
      case Operation.read:
      case Operation.write:
        this.#transfer(op, request);
        return;
      case Operation.flush:
        this.#sync(op);
        return;
      case Operation.discard:
      case Operation.writeZeroes:
        this.#zero(op, request);
        return;
      case Operation.compare:
      case Operation.compareAndWrite:
        op.step = FileStep.compare;
        this.#bounce(op);
        return;
      case Operation.blockStatus:
        op.step = FileStep.seek;
        request.extents?.clear();
        blockStatusSeek(this.reactor.io, this.#file.file, op, request, null);
        return;
      default:
        unreachable(request.operation);
    }
  }

  // hot path
  fileOpCompleted(op: FileOp, result: number): void {
    const request = op.request as Request; // set for as long as an op is in flight
    if (result === -Errno.EINTR || result === -Errno.EAGAIN) {
      this.#again(op, request);
      return;
    }
    switch (op.step) {
      case FileStep.transfer:
      case FileStep.bounce:
      case FileStep.zeroes:
      case FileStep.compare:
        this.#transferred(op, request, result);
        return;
      case FileStep.sync:
        // The kernel tells one of two syncs at once of an error: the other did not succeed either.
        this.#end(op, request, result < 0 ? this.#faulted() : this.#fault);
        return;
      case FileStep.allocate:
        this.#allocated(op, request, result);
        return;
      case FileStep.seek: {
        const done = blockStatusSeek(this.reactor.io, this.#file.file, op, request, result);
        if (done !== null) this.#end(op, request, done);
        return;
      }
      case FileStep.idle:
        throw new PenstockError({ code: "internal", message: "a completion without a step" });
      default:
        unreachable(op.step);
    }
  }

  buffersAvailable(): void {
    const queue = this.#bounceQueue;
    this.#bounceQueue = [];
    for (const op of queue) this.#bounce(op);
  }

  /** Starts, or goes on with, moving data between the file and the request's memory. Hot path. */
  #transfer(op: FileOp, request: Request): void {
    const { segments } = request;
    const { io } = this.reactor;
    if (this.#file.alignmentBytes > 1 && !this.#isAligned(request)) {
      op.step = FileStep.bounce;
      this.#bounce(op);
      return;
    }
    op.step = FileStep.transfer;
    const position = request.offset + op.done;
    const isRead = request.operation === Operation.read;
    const durable = (request.flags & RequestFlag.fua) !== 0 && !op.isProbe;
    if (segments.count === 1) {
      const slab = io.slabs.get(segments.slabId(0));
      const at = segments.offset(0) + op.done;
      const length = request.length - op.done;
      if (isRead) io.read(op, this.#file.file, slab, at, length, position);
      else io.write(op, this.#file.file, slab, at, length, position, durable);
      return;
    }
    const vector = this.#vectorOf(op, request);
    if (isRead) io.readVector(op, this.#file.file, vector, position);
    else io.writeVector(op, this.#file.file, vector, position, durable);
  }

  #vectorOf(op: FileOp, request: Request): NonNullable<FileOp["vector"]> {
    const { segments } = request;
    const { io } = this.reactor;
    op.vector ??= io.vector(SEGMENT_COUNT_MAX);
    op.vector.clear();
    for (let index = 0; index < segments.count; index++) {
      const slab = io.slabs.get(segments.slabId(index));
      op.vector.push(slab, segments.offset(index), segments.length(index));
    }
    op.vector.advance(op.done);
    return op.vector;
  }

  /** Goes through an aligned buffer: for direct I/O on unaligned memory, and for compare. */
  #bounce(op: FileOp): void {
    const request = op.request as Request;
    op.bounce ??= this.#reserve.acquirePiece(request.length);
    if (op.bounce === null) {
      if (this.#bounceQueue.push(op) === 1) this.reactor.buffers.wait(this);
      return;
    }
    const { slab, offset } = op.bounce;
    const { io } = this.reactor;
    const at = offset + op.done - op.bounceStart;
    const piece = bouncePiece(op, request);
    const length = op.bounceStart + piece - op.done;
    const position = request.offset + op.done;
    if (this.#bounceReads(op, request)) {
      io.read(op, this.#file.file, slab, at, length, position);
      return;
    }
    if (op.done === op.bounceStart) {
      const skip = request.operation === Operation.compareAndWrite ? request.length : 0;
      const start = skip + op.bounceStart;
      copyFromSegments(io.slabs, request.segments, start, slab.bytes, offset, piece);
    }
    const durable = (request.flags & RequestFlag.fua) !== 0 && !op.isProbe;
    io.write(op, this.#file.file, slab, at, length, position, durable);
  }

  #bounceReads(op: FileOp, request: Request): boolean {
    return request.operation === Operation.read || op.step === FileStep.compare;
  }

  // hot path
  #transferred(op: FileOp, request: Request, result: number): void {
    if (result <= 0) {
      // 0: the file became shorter under us; what was promised is not there.
      const status = result === 0 ? Status.mediaError : statusOfErrno(result);
      if (status === Status.mediaError) request.errorOffset = request.offset + op.done;
      const isWrite = modifies(request.operation) && op.step !== FileStep.compare;
      if (isWrite && (request.flags & RequestFlag.fua) !== 0)
        this.#durableFailed(op, request, status);
      else this.#end(op, request, status);
      return;
    }
    if (op.isProbe) {
      this.#end(op, request, this.#faulted());
      return;
    }
    op.done += result;
    const isBounced = op.step === FileStep.bounce || op.step === FileStep.compare;
    const end = isBounced ? op.bounceStart + bouncePiece(op, request) : request.length;
    if (op.done < end) {
      this.#again(op, request);
      return;
    }
    // Not ok when the device was faulted meanwhile: that may have been a durable write's own error.
    if (op.step === FileStep.transfer) this.#end(op, request, this.#fault);
    else this.#bounced(op, request);
  }

  /** All bytes have gone through the bounce buffer, or all zeroes are written. */
  #bounced(op: FileOp, request: Request): void {
    if (op.step === FileStep.zeroes) {
      this.#afterZero(op, request);
      return;
    }
    const bounce = op.bounce;
    assert(bounce !== null, "a bounced transfer has its buffer");
    const { slabs } = this.reactor.io;
    const { segments } = request;
    const { bytes } = bounce.slab;
    const start = op.bounceStart;
    const length = bouncePiece(op, request);
    if (op.step === FileStep.compare) {
      const equal = compareSegments(slabs, segments, start, bytes, bounce.offset, length);
      if (equal < length) {
        request.errorOffset = request.offset + start + equal;
        this.#end(op, request, Status.compareFailed);
        return;
      }
    } else if (request.operation === Operation.read) {
      copyToSegments(slabs, segments, start, bytes, bounce.offset, length);
    }
    op.bounceStart = op.done;
    if (op.done < request.length) {
      this.#bounce(op);
    } else if (op.step === FileStep.compare && request.operation !== Operation.compare) {
      op.step = FileStep.bounce;
      op.done = 0;
      op.bounceStart = 0;
      this.#bounce(op);
    } else {
      this.#end(op, request, this.#fault);
    }
  }

  /** Starts discard or write-zeroes: by the file system where it can, else by writing zeroes. */
  #zero(op: FileOp, request: Request): void {
    const keep = (request.flags & RequestFlag.noUnmap) !== 0;
    const { io } = this.reactor;
    const { offset, length } = request;
    if (!keep && this.#canPunch) {
      op.step = FileStep.allocate;
      op.isPunch = true;
      io.allocate(op, this.#file.file, AllocateMode.punch, offset, length);
    } else if (this.#canZero) {
      op.step = FileStep.allocate;
      op.isPunch = false;
      io.allocate(op, this.#file.file, AllocateMode.zero, offset, length);
    } else if ((request.flags & RequestFlag.fastZero) !== 0) {
      this.reactor.completions.push(request, Status.unsupported);
      this.#giveBack(op, request);
    } else {
      op.step = FileStep.zeroes;
      this.#writeZeroes(op, request);
    }
  }

  #allocated(op: FileOp, request: Request, result: number): void {
    if (result === -Errno.EOPNOTSUPP) {
      if (op.isPunch) this.#canPunch = false;
      else this.#canZero = false;
      this.#zero(op, request);
      return;
    }
    if (result < 0) this.#end(op, request, statusOfErrno(result));
    else this.#afterZero(op, request);
  }

  #afterZero(op: FileOp, request: Request): void {
    if ((request.flags & RequestFlag.fua) !== 0) this.#sync(op);
    else this.#end(op, request, this.#fault);
  }

  #writeZeroes(op: FileOp, request: Request): void {
    const { io } = this.reactor;
    this.#zeroes ??= io.slabs.allocate(TRANSFER_BYTES_MAX);
    const length = Math.min(request.length - op.done, TRANSFER_BYTES_MAX);
    const position = request.offset + op.done;
    io.write(op, this.#file.file, this.#zeroes, 0, length, position, false);
  }

  #sync(op: FileOp): void {
    op.step = FileStep.sync;
    this.reactor.io.sync(op, this.#file.file);
  }

  /** Repeats the step for what is left of it. */
  #again(op: FileOp, request: Request): void {
    if (op.step === FileStep.transfer) this.#transfer(op, request);
    else if (op.step === FileStep.zeroes) this.#writeZeroes(op, request);
    else if (op.step === FileStep.sync) this.#sync(op);
    else if (op.step === FileStep.allocate) this.#zero(op, request);
    else if (op.step === FileStep.seek) this.#end(op, request, Status.internal);
    else this.#bounce(op);
  }

  /**
   * A durable write has failed: in its writing, or in its sync, which may have been told of earlier
   * writes that are lost. A refusal, or no space for the writing itself, leaves no doubt; to know
   * the latter it is written again without the sync.
   */
  #durableFailed(op: FileOp, request: Request, status: Status): void {
    const isPlain = op.isProbe || op.step === FileStep.zeroes;
    const isFull = status === Status.noSpace;
    if (DURABLE_REFUSALS.includes(status) || (isFull && isPlain)) {
      this.#end(op, request, status);
    } else if (isFull) {
      op.isProbe = true;
      this.#again(op, request);
    } else {
      this.#end(op, request, this.#faulted());
    }
  }

  /** Marks the device broken for good; returns the status that it gives from now on. */
  #faulted(): Status {
    this.reactor.io.noteFault(this.#file.identity);
    this.#fault = Status.mediaError;
    return this.#fault;
  }

  // hot path
  #isAligned(request: Request): boolean {
    const mask = this.#file.alignmentBytes - 1;
    const { segments } = request;
    for (let index = 0; index < segments.count; index++) {
      if (((segments.offset(index) | segments.length(index)) & mask) !== 0) return false;
    }
    return true;
  }

  // hot path
  #takeOp(): FileOp {
    const op = this.#free;
    if (op !== null) {
      this.#free = op.next;
      op.next = null;
      return op;
    }
    const made = new FileOp(this);
    this.reactor.io.attach(made);
    this.#ops.push(made);
    return made;
  }

  // hot path
  #end(op: FileOp, request: Request, status: Status): void {
    this.#giveBack(op, request);
    request.finish(status);
  }

  // hot path
  #giveBack(op: FileOp, request: Request): void {
    op.request = null;
    op.step = FileStep.idle;
    op.bounce?.release();
    op.bounce = null;
    op.next = this.#free;
    this.#free = op;
    if (modifies(request.operation)) this.#gate.leave();
  }
}

/** How many bytes of the request the bounce buffer holds at a time. */
function bouncePiece(op: FileOp, request: Request): number {
  return Math.min(request.length - op.bounceStart, op.bounce?.lengthBytes ?? 0);
}

/** @param faults of the medium so far; each makes another instance of it */
function describe(file: OpenedFile, options: FileOptions): DeviceInfo {
  const least = Math.max(file.logicalBlockBytes, file.alignmentBytes);
  const blockSizeBytes = options.blockSizeBytes ?? (least > 512 ? 4096 : 512);
  if ((blockSizeBytes !== 512 && blockSizeBytes !== 4096) || blockSizeBytes < least) {
    throw new PenstockError({
      code: "block-size-invalid",
      message:
        `blocksize=${blockSizeBytes}: ` +
        `${options.path} allows ${least <= 512 ? "512 or " : ""}4096`,
    });
  }
  if (file.sizeBytes === 0 || file.sizeBytes % blockSizeBytes !== 0) {
    throw new PenstockError({
      code: "size-invalid",
      message:
        `${options.path} has ${file.sizeBytes} bytes, ` +
        `not a positive multiple of ${blockSizeBytes} (size=... in the query grows it)`,
    });
  }
  return {
    name: `file://${options.path}`,
    kind: "file",
    sizeBytes: file.sizeBytes,
    blockSizeBytes,
    physicalBlockSizeBytes: Math.max(file.physicalBlockBytes, blockSizeBytes),
    optimalIoBytes: OPTIMAL_IO_BYTES,
    maxTransferBytes: TRANSFER_BYTES_MAX,
    readOnly: options.readOnly === true,
    volatileCache: true,
    discardGranularityBytes: DISCARD_GRANULARITY_BYTES,
    // The page cache outlives this process, not this boot, nor a failed sync.
    instanceId: uuidOfName(`file:${file.bootId}:${file.identity}:${file.faultCount}`),
    lendsReads: false,
  };
}

const FILE_OPERATIONS: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.emulated,
  compareAndWrite: Support.emulated,
  blockStatus: Support.native,
};

/** What another process writes in between is not kept apart from a comparison. */
const SHARED_FILE_OPERATIONS: OperationTable = {
  ...FILE_OPERATIONS,
  compareAndWrite: Support.refuse,
};
