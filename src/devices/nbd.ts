/**
 * NbdDevice: another machine's export as a source, `nbd://host:port/export`.
 *
 *   request --overlaps a change under way?--> waits     link up: sent      link down: kept
 *   answered --> next step, or ended                    link up again: all that is kept is sent
 *   link lost (ride-out over, or fail-fast): ended with path-lost or timeout
 *
 * One `NbdTask` per request in flight, pooled. Changes that overlap run one after the other, so
 * that what is sent again after a loss is never overtaken by a newer change, and a
 * compare-and-write is alone on its range (among the users of this device: NBD has no such
 * command). What the server may have lost is reported by the next flush (safety rule 3).
 */

import { Device, type DeviceInfo, modifies, TRANSFER_BYTES_MAX } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { RangeTable } from "../block/range-table.ts";
import type { Request } from "../block/request.ts";
import { compareSegments } from "../block/segment-copy.ts";
import { SegmentList } from "../block/segments.ts";
import { Status } from "../block/status.ts";
import { takeReserve } from "../block/take-reserve.ts";
import { Command, CommandFlag, NbdError } from "../proto/nbd/constants.ts";
import type { InitiatorCommand } from "../proto/nbd/initiator-command.ts";
import type { InitiatorSession } from "../proto/nbd/initiator-session.ts";
import { statusForError } from "../proto/nbd/status.ts";
import type { BufferReserve, BufferWaiter } from "../reactor/buffer-pool.ts";
import type { Timer } from "../reactor/clock.ts";
import type { SocketAddress } from "../reactor/io.ts";
import type { Flushable, Reactor } from "../reactor/reactor.ts";
import type { Slab } from "../reactor/slab.ts";
import { assert, unreachable } from "../util/assert.ts";
import { Link, type LinkOwner, type LinkState } from "./nbd/link.ts";
import { LossLedger } from "./remote/loss-ledger.ts";
import { NbdTask, Step } from "./nbd/task.ts";
import { describeExport, incompatibility, offers, operationsOf } from "./nbd/terms.ts";

export interface NbdOptions {
  readonly address: SocketAddress;
  readonly exportName: string;
  /** The stage, canonical: "nbd://127.0.0.1:10809/vol1". */
  readonly name: string;
  /** UUID that no opening before had. */
  readonly openingId: string;
  readonly readOnly?: boolean;
  readonly blockSizeBytes?: number;
  /** Connections where the server allows several; default 4. */
  readonly connections?: number;
  /** Under a nexus: requests fail soon instead of riding out an outage, and it stays lost. */
  readonly failFast?: boolean;
  /** A request unanswered for this long ends the connection; default 30 s, fail-fast 5 s. */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** How long an outage may last before requests fail; default 60 s, fail-fast 0. */
  readonly rideOutMs?: number;
}

/** What became of a device, for listings. */
export interface NbdCondition {
  readonly link: LinkState;
  readonly connections: number;
  /** Set for good: the device has to be opened again. */
  readonly fault: Status;
  readonly reason: string;
}

const TIMEOUT_MS = 30_000;
const TIMEOUT_MS_FAIL_FAST = 5000;
const CONNECT_MS = 2000;
const RIDE_OUT_MS = 60_000;
/** A time-out is noticed at most this part of it late. */
const TICKS_PER_TIMEOUT = 8;
/** A closing device gives up what a hung server does not answer. */
const CLOSE_MS_MAX = 1000;
/** A block status asks for at most this; longer requests go in parts. */
const STATUS_BYTES_MAX = 1024 * 1024 * 1024;
/** Zeroing, too; a server that has to write all of it must be done well within the time-out. */
const ZERO_BYTES_MAX = 64 * 1024 * 1024;

export class NbdDevice extends Device implements LinkOwner, BufferWaiter, Flushable {
  isDirty = false;
  readonly #link: Link;
  readonly #timeoutMs: number;
  readonly #changes = new RangeTable((request) => this.#begin(request));
  readonly #ledger = new LossLedger();
  /** With it comparisons go on, piece by piece, when the pool is empty. */
  readonly #reserve: BufferReserve;
  #session: InitiatorSession;
  #free: NbdTask | null = null;
  /** Tasks in use, in no order. */
  readonly #active: NbdTask[] = [];
  #sequence = 0;
  /** Counts `#timeoutMs / TICKS_PER_TIMEOUT` while there are active tasks. */
  #tick = 0;
  #ticker: Timer | null = null;
  /** Ended without an answer: a list by `nextSettled`, told of in the turn. */
  #settled: NbdTask | null = null;
  /** Tasks that wait for a bounce buffer. */
  #bounceQueue: NbdTask[] = [];
  #zeroes: SegmentList | null = null;
  #zeroSlab: Slab | null = null;
  /** What requests end with at once; ok while they are taken. */
  #refusal: Status = Status.ok;
  #fault: Status = Status.ok;
  #faultReason = "";
  #isClosing = false;
  #closeTimer: Timer | null = null;

  /**
   * Connects and agrees on terms.
   * @throws PenstockError of `Io.connect` and the handshake (`export-unknown`, `not-nbd`, ...),
   *   `connection-timeout`, `size-invalid`, `block-size-invalid`, `transfer-size-invalid`,
   *   `out-of-buffers`
   */
  static async open(reactor: Reactor, options: NbdOptions): Promise<NbdDevice> {
    const failFast = options.failFast === true;
    const timeoutMs = options.timeoutMs ?? (failFast ? TIMEOUT_MS_FAIL_FAST : TIMEOUT_MS);
    const link = new Link({
      reactor,
      address: options.address,
      exportName: options.exportName,
      hostId: options.openingId,
      connections: options.connections ?? null,
      connectMsMax: options.connectTimeoutMs ?? CONNECT_MS,
      rideOutMs: options.rideOutMs ?? (failFast ? 0 : RIDE_OUT_MS),
      answerMsMax: timeoutMs,
      recovers: !failFast,
    });
    try {
      const session = await link.open();
      const info = describeExport(session, { ...options, instanceId: options.openingId });
      return new NbdDevice(reactor, info, { link, session, timeoutMs });
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(
    reactor: Reactor,
    info: DeviceInfo,
    parts: { readonly link: Link; readonly session: InitiatorSession; readonly timeoutMs: number },
  ) {
    super(reactor, info, operationsOf(parts.session));
    this.#reserve = takeReserve(reactor.buffers, info.name);
    this.#link = parts.link;
    this.#session = parts.session;
    this.#timeoutMs = parts.timeoutMs;
    this.#link.owner = this;
  }

  get condition(): NbdCondition {
    return {
      link: this.#link.state,
      connections: this.#link.connectionCount,
      fault: this.#fault,
      reason: this.#faultReason === "" ? this.#link.reason : this.#faultReason,
    };
  }

  get activeCount(): number {
    return this.#active.length;
  }

  override close(): Promise<void> {
    const closed = super.close();
    if (!this.#isClosing) this.#beginClosing();
    return closed;
  }

  /** Requests that wait for a server that is away fail now. */
  override hurry(): void {
    const { state } = this.#link;
    if (state === "down" || state === "lost") this.#settleAll(Status.pathLost);
  }

  // hot path
  protected override start(request: Request): void {
    if (this.#refusal !== Status.ok) {
      this.reactor.completions.push(request, this.#refusal);
      return;
    }
    if (modifies(request.operation) && !this.#changes.enter(request)) return;
    this.#begin(request);
  }

  protected override async release(): Promise<void> {
    this.#closeTimer?.cancel();
    this.#ticker?.cancel();
    await this.#link.close();
    this.#reserve.close();
    if (this.#zeroSlab !== null) this.reactor.io.slabs.release(this.#zeroSlab);
    this.#zeroSlab = null;
  }

  // hot path
  ended(command: InitiatorCommand): void {
    const task = command as NbdTask; // the link carries no other commands
    const request = task.request as Request; // set while it is in use
    if (task.error !== NbdError.none) {
      this.#failed(task, request);
      return;
    }
    switch (task.step) {
      case Step.transfer:
        this.#changed(task, request);
        return;
      case Step.flush:
        if (request.operation === Operation.flush) this.#ledger.flushed(task.cover);
        this.#end(task, request, Status.ok);
        return;
      case Step.zero:
        task.done += task.length;
        if (task.done < request.length) this.#issue(task);
        else this.#changed(task, request);
        return;
      case Step.compareRead:
        this.#compare(task, request);
        return;
      case Step.status:
        if (task.endStatus()) this.#end(task, request, Status.ok);
        else this.#issue(task);
        return;
      default:
        unreachable(task.step);
    }
  }

  linkDown(): void {
    for (const task of this.#active) {
      if (!task.isSettled) task.restart();
    }
    if (this.#isClosing) this.#settleAll(Status.aborted);
  }

  linkUp(session: InitiatorSession): void {
    const before = this.#session;
    const problem = incompatibility(this.info, session);
    const isSame = session.instanceId !== null && session.instanceId === before.instanceId;
    this.#session = session;
    if (problem !== null) {
      this.#setFault(Status.dataLost, problem);
    } else if (!isSame && before.instanceId !== null && before.volatileCache === false) {
      // Nothing volatile below, and yet something was lost: all of it.
      this.#setFault(Status.dataLost, "it came back without what was written");
    } else {
      // Without an instance id it may have been another process, or another boot.
      if (!isSame) this.#ledger.noteLoss();
      if (this.#fault === Status.ok) this.#refusal = Status.ok;
    }
    if (this.#refusal !== Status.ok) {
      this.#settleAll(this.#refusal);
      return;
    }
    const kept = [...this.#active].sort((a, b) => a.sequence - b.sequence);
    for (const task of kept) this.#issue(task);
    this.#startTicker();
  }

  linkLost(isTimeout: boolean): void {
    const status = isTimeout ? Status.timeout : Status.pathLost;
    if (this.#refusal === Status.ok) this.#refusal = Status.pathLost;
    this.#settleAll(status);
  }

  buffersAvailable(): void {
    const queue = this.#bounceQueue;
    this.#bounceQueue = [];
    for (const task of queue) {
      task.awaitsBounce = false;
      this.#issue(task);
    }
  }

  /** Tells of what has been settled: in the turn, and flat however long the list gets. */
  flush(): void {
    for (let task = this.#settled; task !== null; task = this.#settled) {
      this.#settled = task.nextSettled;
      task.nextSettled = null;
      task.isSettled = false;
      this.#end(task, task.request as Request, task.outcome);
    }
  }

  // hot path
  #begin(request: Request): void {
    const task = this.#free ?? new NbdTask();
    this.#free = task.next as NbdTask | null;
    task.next = null;
    task.activeIndex = this.#active.push(task) - 1;
    task.begin(request, this.#sequence++, this.#ledger);
    if (this.#refusal !== Status.ok) this.#settle(task, this.#refusal);
    else this.#issue(task);
    if (this.#ticker === null) this.#startTicker();
  }

  /** Sends the command of the task's step, unless the link is down: then it is kept. Hot path. */
  #issue(task: NbdTask): void {
    if (task.isSettled || !this.#link.isUp) return;
    const request = task.request as Request; // set while it is in use
    task.issuedTick = this.#tick;
    switch (task.step) {
      case Step.transfer: {
        const isRead = request.operation === Operation.read;
        task.command = isRead ? Command.read : Command.write;
        task.flags = isRead ? 0 : this.#fuaFlag(request);
        // The second half of a compare-and-write's memory is what to write.
        const isSecond = request.operation === Operation.compareAndWrite;
        this.#sendData(task, request.segments, isSecond ? request.length : 0, request.length);
        return;
      }
      case Step.flush:
        this.#issueFlush(task, request);
        return;
      case Step.zero:
        this.#issueZero(task, request);
        return;
      case Step.compareRead:
        this.#issueCompare(task, request);
        return;
      case Step.status:
        this.#issueStatus(task, request);
        return;
      default:
        unreachable(task.step);
    }
  }

  /** The range of the request that is not done, or `length` of it, with data. Hot path. */
  #sendData(task: NbdTask, segments: SegmentList, start: number, length: number): void {
    const request = task.request as Request; // set while it is in use
    task.offset = request.offset + task.done;
    task.length = length;
    task.segments = segments;
    task.segmentStart = start;
    this.#link.submit(task);
  }

  #issueFlush(task: NbdTask, request: Request): void {
    if (request.operation === Operation.flush && this.#ledger.takeLoss(task.base, task.cover)) {
      this.#settle(task, Status.dataLost);
      return;
    }
    if (!offers(this.#session, "sendFlush")) {
      // Without a flush of its own a server has nothing that needs one.
      this.#settle(task, Status.ok);
      return;
    }
    task.command = Command.flush;
    task.flags = 0;
    task.offset = 0;
    task.length = 0;
    task.segments = null;
    this.#link.submit(task);
  }

  /** Discard and write-zeroes: by trimming, by zeroing, or by writing zeroes; the next part. */
  #issueZero(task: NbdTask, request: Request): void {
    const session = this.#session;
    const left = request.length - task.done;
    const isFast = (request.flags & RequestFlag.fastZero) !== 0;
    task.offset = request.offset + task.done;
    task.length = Math.min(left, ZERO_BYTES_MAX);
    task.segments = null;
    task.flags = this.#fuaFlag(request);
    if (request.operation === Operation.discard && this.#mayTrim(request)) {
      task.command = Command.trim;
    } else if (isFast && !offers(session, "sendFastZero")) {
      this.#settle(task, Status.unsupported);
      return;
    } else if (offers(session, "sendWriteZeroes")) {
      task.command = Command.writeZeroes;
      if ((request.flags & RequestFlag.noUnmap) !== 0) task.flags |= CommandFlag.noHole;
      if (isFast) task.flags |= CommandFlag.fastZero;
    } else {
      task.command = Command.write;
      task.length = Math.min(left, this.info.maxTransferBytes);
      task.segments = this.#zeroMemory();
      task.segmentStart = 0;
    }
    this.#link.submit(task);
  }

  /** Ours zero what they trim, but whole blocks of theirs only, of at most the preferred size. */
  #mayTrim(request: Request): boolean {
    const { instanceId, preferredBlockBytes } = this.#session;
    if (instanceId === null || !offers(this.#session, "sendTrim")) return false;
    return request.offset % preferredBlockBytes === 0 && request.length % preferredBlockBytes === 0;
  }

  /** Reads what is to be compared, as much of it as there is memory for; the next part. */
  #issueCompare(task: NbdTask, request: Request): void {
    // After a reconnection everything is issued: what waits for memory goes on waiting.
    if (task.awaitsBounce) return;
    task.bounce ??= this.#reserve.acquirePiece(request.length);
    if (task.bounce === null) {
      task.awaitsBounce = true;
      if (this.#bounceQueue.push(task) === 1) this.reactor.buffers.wait(this);
      return;
    }
    const { slab, offset, lengthBytes } = task.bounce;
    const length = Math.min(request.length - task.done, lengthBytes);
    task.bounceSegments.clear();
    task.bounceSegments.push(slab.id, offset, length);
    task.command = Command.read;
    task.flags = 0;
    this.#sendData(task, task.bounceSegments, 0, length);
  }

  #issueStatus(task: NbdTask, request: Request): void {
    task.offset = request.offset + task.done;
    task.length = Math.min(request.length - task.done, STATUS_BYTES_MAX);
    task.segments = null;
    task.beginStatus();
    if (this.#session.allocationContext === null) {
      task.length = request.length;
      task.extent(request.length, 0);
      this.#settle(task, Status.ok);
      return;
    }
    const isOne = (request.flags & RequestFlag.oneExtent) !== 0;
    task.command = Command.blockStatus;
    task.flags = isOne ? CommandFlag.reqOne : 0;
    this.#link.submit(task);
  }

  #compare(task: NbdTask, request: Request): void {
    const { bounce } = task;
    assert(bounce !== null, "a comparison has its buffer");
    const { segments } = request;
    const { done, length } = task;
    const { slabs } = this.reactor.io;
    const equal = compareSegments(slabs, segments, done, bounce.slab.bytes, bounce.offset, length);
    task.done += equal;
    if (equal < length) {
      request.errorOffset = request.offset + task.done;
      this.#end(task, request, Status.compareFailed);
    } else if (task.done < request.length) {
      this.#issue(task);
    } else if (request.operation === Operation.compare) {
      this.#end(task, request, Status.ok);
    } else {
      task.hasCompared = true;
      task.done = 0;
      task.step = Step.transfer;
      this.#issue(task);
    }
  }

  /** All data is there, or everything is changed; durable too, if that was asked. Hot path. */
  #changed(task: NbdTask, request: Request): void {
    const isDurable = request.operation !== Operation.read && this.#wantsFua(request);
    if (!isDurable || offers(this.#session, "sendFua")) {
      this.#end(task, request, Status.ok);
      return;
    }
    task.step = Step.flush;
    this.#issue(task);
  }

  #failed(task: NbdTask, request: Request): void {
    if (task.error === NbdError.eshutdown) {
      // Not done, says the server, and that it goes: the same as if it had gone already.
      this.#link.fail("the server is shutting down");
      return;
    }
    const status = statusForError(task.error);
    if (status === Status.mediaError) {
      request.errorOffset = task.errorOffset < 0 ? request.offset + task.done : task.errorOffset;
    }
    const isFlush = task.step === Step.flush;
    const isDurable = modifies(request.operation) && this.#wantsFua(request);
    // Safety rule 2: what failed to get to the medium once is not retried into success.
    if (isFlush || (isDurable && status === Status.mediaError)) {
      this.#setFault(status, "the server could not make writes durable");
    }
    this.#end(task, request, status);
  }

  #setFault(status: Status, reason: string): void {
    if (this.#fault !== Status.ok) return;
    this.#fault = status;
    this.#faultReason = reason;
    this.#refusal = status;
  }

  // hot path
  #wantsFua(request: Request): boolean {
    return (request.flags & RequestFlag.fua) !== 0;
  }

  // hot path
  #fuaFlag(request: Request): number {
    return this.#wantsFua(request) && offers(this.#session, "sendFua") ? CommandFlag.fua : 0;
  }

  #zeroMemory(): SegmentList {
    if (this.#zeroes !== null) return this.#zeroes;
    this.#zeroSlab = this.reactor.io.slabs.allocate(TRANSFER_BYTES_MAX);
    this.#zeroes = new SegmentList();
    this.#zeroes.push(this.#zeroSlab.id, 0, TRANSFER_BYTES_MAX);
    return this.#zeroes;
  }

  /** Ends a task that is not on its way, in this turn or the next. */
  #settle(task: NbdTask, outcome: Status): void {
    if (task.isSettled) return;
    task.isSettled = true;
    task.outcome = outcome;
    task.nextSettled = this.#settled;
    this.#settled = task;
    this.reactor.markDirty(this);
  }

  #settleAll(outcome: Status): void {
    // The list is a stack: the oldest goes in last, to come out first.
    const all = [...this.#active].sort((a, b) => b.sequence - a.sequence);
    for (const task of all) this.#settle(task, outcome);
  }

  // hot path
  #end(task: NbdTask, request: Request, status: Status): void {
    const { operation } = request;
    const changes = modifies(operation);
    if (changes && status === Status.ok && !this.#wantsFua(request)) this.#noteChange();
    this.#giveBack(task);
    if (changes) this.#changes.leave(request);
    request.finish(status);
  }

  // hot path
  #noteChange(): void {
    if (offers(this.#session, "sendFlush")) this.#ledger.acknowledged++;
  }

  // hot path
  #giveBack(task: NbdTask): void {
    const last = this.#active.pop() as NbdTask; // there is one: the task itself is active
    if (last !== task) {
      this.#active[task.activeIndex] = last;
      last.activeIndex = task.activeIndex;
    }
    task.activeIndex = -1;
    task.request = null;
    task.segments = null;
    task.bounce?.release();
    task.bounce = null;
    if (task.awaitsBounce) this.#leaveBounceQueue(task);
    task.next = this.#free;
    this.#free = task;
  }

  #leaveBounceQueue(task: NbdTask): void {
    task.awaitsBounce = false;
    this.#bounceQueue = this.#bounceQueue.filter((other) => other !== task);
  }

  /** Runs while there is something to wait for. */
  #startTicker(): void {
    this.#ticker?.cancel();
    this.#ticker = this.reactor.clock.startTimer(this.#timeoutMs / TICKS_PER_TIMEOUT, () => {
      this.#ticker = null;
      this.#tick++;
      if (this.#active.length === 0) return;
      if (this.#link.isUp && this.#isLate()) {
        this.#link.fail(`no answer within ${this.#timeoutMs} ms`, true);
      }
      this.#startTicker();
    });
  }

  #isLate(): boolean {
    for (const task of this.#active) {
      if (!task.awaitsBounce && this.#tick - task.issuedTick > TICKS_PER_TIMEOUT) return true;
    }
    return false;
  }

  #beginClosing(): void {
    this.#isClosing = true;
    this.#link.stopLooking();
    if (this.#link.state === "down" || this.#link.state === "lost") {
      this.#settleAll(Status.pathLost);
    } else if (this.#active.length > 0) {
      this.#closeTimer = this.reactor.clock.startTimer(CLOSE_MS_MAX, () => {
        this.#link.fail("the device is being closed");
      });
    }
  }
}
