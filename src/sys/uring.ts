/**
 * Ring: one io_uring instance: set-up, filling submission entries, entering, reading completions.
 *
 * Made, entered and reaped on one thread (SINGLE_ISSUER, DEFER_TASKRUN). Entries are written as
 * 32-bit words; addresses and offsets arrive as doubles and are split, so no BigInt is made per
 * operation. spec: io_uring(7), linux/io_uring.h
 */

import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { FixedBufferTable } from "./fixed-buffer-table.ts";
import {
  close,
  ioUringEnter,
  ioUringRegister,
  ioUringSetup,
  ioUringWait,
  MapFlag,
  mmap,
  ProtectionFlag,
} from "./libc.ts";
import { mapShared, viewShared } from "./memory.ts";
import type { CompletionSink, OperationQueue } from "./operation-queue.ts";

const SetupFlag = {
  cqSize: 1 << 3,
  clamp: 1 << 4,
  submitAll: 1 << 7,
  coopTaskrun: 1 << 8,
  taskrunFlag: 1 << 9,
  singleIssuer: 1 << 12,
  deferTaskrun: 1 << 13,
} as const;

const RegisterOperation = { eventfd: 4, probe: 8, maxWorkers: 19 } as const;

const OFFSET_SQ_RING = 0n;
const OFFSET_SQES = 0x10000000n;
const EVENTFD_DISABLED = 1;
/** Completions have overflowed, or deferred work waits (IORING_SQ_CQ_OVERFLOW, _TASKRUN). */
const SQ_NEEDS_ENTER = 2 | 4;
const SQ_TASK_WORK = 4;
/** Further entries for deferred work, per entry. */
const MORE_WORK_MAX = 8;
const WORDS_PER_SQE = 16;
const TWO_32 = 4294967296;

/** In the memory of `wait`: the argument's pointer (words), the timespec (bytes), its tv_nsec. */
/** Microseconds for which fewer completions than wanted end no wait; since Linux 6.12. */
const GETEVENTS_MIN_WAIT_WORD = 3;
const GETEVENTS_TIME_WORD = 4;
const TIMESPEC_AT = 64;
const NANOSECONDS_WORD = (TIMESPEC_AT + 8) / 4;

/** Where things lie in `struct io_uring_params` (bytes). */
const Param = {
  sqEntries: 0,
  cqEntries: 4,
  flags: 8,
  features: 20,
  sqOff: 40,
  cqOff: 80,
  sizeBytes: 120,
} as const;

const FEATURE_MIN_TIMEOUT = 1 << 15;
/** The word of a submission entry whose lower half is the buffer's number. */
const SQE_BUFFER_WORD = 10;

export interface RingOptions {
  readonly submissionEntries: number;
  readonly completionEntries: number;
}

export class Ring implements OperationQueue {
  readonly fd: number;
  /** Entries written and not yet submitted. */
  pending = 0;
  /** How often the kernel was entered, for statistics. */
  enterCount = 0;
  readonly #sqes: Int32Array;
  readonly #ring: Int32Array;
  readonly #sqTailAt: number;
  readonly #sqMask: number;
  readonly #sqFlagsAt: number;
  readonly #cqHeadAt: number;
  readonly #cqTailAt: number;
  readonly #cqFlagsAt: number;
  readonly #cqMask: number;
  readonly #cqesAt: number;
  readonly #waitTime: Int32Array;
  readonly #waitArgument: bigint;
  /** Arguments as the fast call takes them, made once: the fd, and 0n, 1n, 2n, ... */
  readonly #fdArgument: bigint;
  readonly #counts: readonly bigint[];
  readonly #canGather: boolean;
  #sqTail = 0;
  #cqHead = 0;
  /** Made with the first fixed buffer. */
  #fixed: FixedBufferTable | null = null;

  /** @throws PenstockError `io-uring-unavailable` with the errno */
  constructor(options: RingOptions) {
    const scratch = mapShared(4096);
    const params = new Int32Array(scratch.buffer, 0, Param.sizeBytes / 4);
    params[Param.cqEntries / 4] = options.completionEntries;
    params[Param.flags / 4] =
      SetupFlag.cqSize |
      SetupFlag.clamp |
      SetupFlag.submitAll |
      SetupFlag.coopTaskrun |
      SetupFlag.taskrunFlag |
      SetupFlag.singleIssuer |
      SetupFlag.deferTaskrun;
    this.fd = ioUringSetup(options.submissionEntries, scratch.address);
    if (this.fd < 0) throw ringUnavailable("io_uring_setup", -this.fd);
    const at = (byte: number): number => params[byte / 4] as number;
    this.#canGather = (at(Param.features) & FEATURE_MIN_TIMEOUT) !== 0;
    const sqEntries = at(Param.sqEntries);
    this.#fdArgument = BigInt(this.fd);
    this.#counts = Array.from({ length: sqEntries + 1 }, (_, count) => BigInt(count));
    const cqEntries = at(Param.cqEntries);
    const arrayAt = at(Param.sqOff + 24);
    const cqesAt = at(Param.cqOff + 20);
    const ringBytes = Math.max(arrayAt + sqEntries * 4, cqesAt + cqEntries * 16);
    this.#ring = new Int32Array(this.#map(ringBytes, OFFSET_SQ_RING));
    this.#sqes = new Int32Array(this.#map(sqEntries * 64, OFFSET_SQES));
    this.#sqTailAt = at(Param.sqOff + 4) >> 2;
    this.#sqMask = sqEntries - 1;
    this.#sqFlagsAt = at(Param.sqOff + 16) >> 2;
    this.#cqHeadAt = at(Param.cqOff) >> 2;
    this.#cqTailAt = at(Param.cqOff + 4) >> 2;
    this.#cqFlagsAt = at(Param.cqOff + 24) >> 2;
    this.#cqMask = cqEntries - 1;
    this.#cqesAt = cqesAt >> 2;
    // struct io_uring_getevents_arg: sigmask, its size, min_wait, address of a timespec behind it.
    const wait = mapShared(4096);
    this.#waitTime = new Int32Array(wait.buffer);
    this.#waitTime[GETEVENTS_TIME_WORD] = ((wait.address + TIMESPEC_AT) % TWO_32) | 0;
    this.#waitTime[GETEVENTS_TIME_WORD + 1] = ((wait.address + TIMESPEC_AT) / TWO_32) | 0;
    this.#waitArgument = BigInt(wait.address);
    // The index array stays the identity for ever: entry i of the ring is SQE i.
    for (let index = 0; index < sqEntries; index++) this.#ring[(arrayAt >> 2) + index] = index;
  }

  /** Writes one submission entry; submits first when the ring is full. Hot path. */
  prepare(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
    userData: number,
  ): void {
    if (this.pending > this.#sqMask) this.#makeRoom();
    const sqes = this.#sqes;
    const at = (this.#sqTail & this.#sqMask) * WORDS_PER_SQE;
    sqes[at] = operation;
    sqes[at + 1] = fd;
    sqes[at + 2] = (position % TWO_32) | 0;
    sqes[at + 3] = (position / TWO_32) | 0;
    sqes[at + 4] = (address % TWO_32) | 0;
    sqes[at + 5] = (address / TWO_32) | 0;
    sqes[at + 6] = length;
    sqes[at + 7] = operationFlags;
    sqes[at + 8] = userData;
    sqes[at + 9] = 0;
    sqes[at + 10] = 0;
    sqes[at + 11] = 0;
    sqes[at + 12] = 0;
    sqes[at + 13] = 0;
    this.#sqTail = (this.#sqTail + 1) | 0;
    this.pending++;
  }

  fixBuffer(address: number, lengthBytes: number): number {
    this.#fixed ??= new FixedBufferTable(this.fd);
    return this.#fixed.add(address, lengthBytes);
  }

  freeBuffer(buffer: number): void {
    // An entry that is written and not yet submitted names its buffer by number: the kernel must
    // have looked that up before it means another buffer.
    this.#submitAll();
    this.#fixed?.remove(buffer);
  }

  // hot path
  prepareFixed(
    operation: number,
    fd: number,
    address: number,
    length: number,
    position: number,
    operationFlags: number,
    userData: number,
    buffer: number,
  ): void {
    const at = (this.#sqTail & this.#sqMask) * WORDS_PER_SQE;
    this.prepare(operation, fd, address, length, position, operationFlags, userData);
    this.#sqes[at + SQE_BUFFER_WORD] = buffer;
  }

  /** Submits what is pending and runs deferred completion work; does not wait. Hot path. */
  enter(): void {
    Atomics.store(this.#ring, this.#sqTailAt, this.#sqTail);
    this.enterCount++;
    const result = ioUringEnter(this.#fdArgument, this.#counts[this.pending] as bigint);
    // -EBUSY / -EAGAIN: completions must be reaped first; what is pending stays pending.
    if (result >= 0) this.pending -= result;
    else assert(RETRIED_ERRNOS.has(-result), `io_uring_enter failed with errno ${-result}`);
    // The kernel does 20 pieces of deferred work at a time. What has ended together is answered
    // together, by one send.
    for (let more = 0; more < MORE_WORK_MAX && this.#hasMoreWork; more++) {
      this.enterCount++;
      ioUringEnter(this.#fdArgument, this.#counts[0] as bigint);
    }
  }

  get #hasMoreWork(): boolean {
    return (Atomics.load(this.#ring, this.#sqFlagsAt) & SQ_TASK_WORK) !== 0;
  }

  /** As `enter`, and sleeps until a completion is there, for at most `timeoutMs` (below 1 s). */
  wait(timeoutMs: number): void {
    this.#wait(1, timeoutMs);
  }

  // hot path
  gather(count: number, gatherMs: number, timeoutMs: number): void {
    if (!this.#canGather) {
      this.#wait(1, timeoutMs);
      return;
    }
    this.#waitTime[GETEVENTS_MIN_WAIT_WORD] = Math.round(gatherMs * 1e3);
    this.#wait(count, timeoutMs);
    this.#waitTime[GETEVENTS_MIN_WAIT_WORD] = 0;
  }

  #wait(count: number, timeoutMs: number): void {
    Atomics.store(this.#ring, this.#sqTailAt, this.#sqTail);
    this.enterCount++;
    this.#waitTime[NANOSECONDS_WORD] = Math.round(timeoutMs * 1e6);
    const result = ioUringWait(this.fd, this.pending, count, this.#waitArgument);
    if (result >= 0) this.pending -= result;
    else assert(RETRIED_ERRNOS.has(-result), `io_uring_enter failed with errno ${-result}`);
  }

  rest(restMs: number): void {
    this.wait(restMs);
  }

  /** Delivers all completions that are there. @returns how many. Hot path. */
  reap(sink: CompletionSink): number {
    const ring = this.#ring;
    const tail = Atomics.load(ring, this.#cqTailAt);
    let count = 0;
    while (this.#cqHead !== tail) {
      const at = this.#cqesAt + ((this.#cqHead & this.#cqMask) << 2);
      const userData = ring[at] as number;
      const result = ring[at + 2] as number;
      this.#cqHead = (this.#cqHead + 1) | 0;
      count++;
      sink.operationCompleted(userData, result, ring[at + 3] as number);
    }
    if (count > 0) Atomics.store(ring, this.#cqHeadAt, this.#cqHead);
    return count;
  }

  /** True when entering would bring completions: cheap to ask. Hot path. */
  get hasTaskWork(): boolean {
    return (Atomics.load(this.#ring, this.#sqFlagsAt) & SQ_NEEDS_ENTER) !== 0;
  }

  /** True when a completion waits to be reaped. */
  get hasCompletions(): boolean {
    return Atomics.load(this.#ring, this.#cqTailAt) !== this.#cqHead;
  }

  /** Turns the signals of the registered eventfd on or off. Hot path. */
  setSignals(on: boolean): void {
    Atomics.store(this.#ring, this.#cqFlagsAt, on ? 0 : EVENTFD_DISABLED);
  }

  /** Has every completion (or deferred completion work) signal `eventfd`. */
  registerEventfd(eventfd: number): number {
    const scratch = mapShared(4096);
    new Int32Array(scratch.buffer)[0] = eventfd;
    const result = ioUringRegister(this.fd, RegisterOperation.eventfd, scratch.address, 1);
    if (result < 0) throw ringUnavailable("registering the eventfd", -result);
    return eventfd;
  }

  /** Caps the kernel's worker threads that run what would block. */
  limitWorkers(bounded: number, unbounded: number): void {
    const scratch = mapShared(4096);
    const words = new Int32Array(scratch.buffer);
    words[0] = bounded;
    words[1] = unbounded;
    const result = ioUringRegister(this.fd, RegisterOperation.maxWorkers, scratch.address, 2);
    if (result < 0) throw ringUnavailable("limiting the workers", -result);
  }

  releaseSocket(_fd: number): void {
    // A ring keeps nothing of a socket or a file beyond its operations.
  }

  openedFile(_fd: number): void {
    // As above.
  }

  closingFile(_fd: number): void {
    // As above.
  }

  closeSocket(fd: number): void {
    close(fd);
  }

  close(): void {
    close(this.fd);
  }

  #makeRoom(): void {
    this.#submitUntil(this.#sqMask);
  }

  #submitAll(): void {
    this.#submitUntil(0);
  }

  #submitUntil(pendingMax: number): void {
    for (let tries = 0; this.pending > pendingMax; tries++) {
      assert(tries < 1000, "the kernel takes submissions");
      this.enter();
    }
  }

  #map(lengthBytes: number, offset: bigint): ArrayBuffer {
    const rounded = Math.ceil(lengthBytes / 4096) * 4096;
    const address = mmap({
      lengthBytes: rounded,
      protection: ProtectionFlag.read | ProtectionFlag.write,
      flags: MapFlag.shared | MapFlag.populate,
      fd: this.fd,
      offset,
    });
    if (address < 0n) throw ringUnavailable("mapping the ring", -Number(address));
    return viewShared(Number(address), rounded).buffer;
  }
}

/** EINTR, EAGAIN, EBUSY, ETIME: nothing is lost, the next enter goes on. */
const RETRIED_ERRNOS: ReadonlySet<number> = new Set([4, 11, 16, 62]);

function ringUnavailable(what: string, errno: number): PenstockError {
  return new PenstockError({
    code: "io-uring-unavailable",
    message: `${what} failed with errno ${errno}`,
    details: { errno },
  });
}
