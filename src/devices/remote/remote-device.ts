/**
 * RemoteDevice: what every device does whose data is on another machine, whatever it speaks.
 *
 *   request --overlaps a change under way?--> waits     link up: sent      link down: kept
 *   answered --> next step, or ended                    link up again: all that is kept is sent
 *   link lost (ride-out over, or fail-fast): ended with path-lost or timeout
 *
 * One task per request in flight, pooled. Changes that overlap run one after the other, so that
 * what is sent again after a loss is never overtaken by a newer change. What the server may have
 * lost is reported by the next flush (safety rule 3).
 */

import { Device, type DeviceInfo, modifies, TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { Operation, type OperationTable, RequestFlag } from "../../block/operation.ts";
import { RangeTable } from "../../block/range-table.ts";
import type { Request } from "../../block/request.ts";
import { compareSegments } from "../../block/segment-copy.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import { takeReserve } from "../../block/take-reserve.ts";
import type { BufferReserve, BufferWaiter } from "../../reactor/buffer-pool.ts";
import type { Timer } from "../../reactor/clock.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { LossLedger } from "./loss-ledger.ts";
import type { RemoteTask } from "./remote-task.ts";

/** A time-out is noticed at most this part of it late. */
export const TICKS_PER_TIMEOUT = 8;
/** A closing device gives up what a hung server does not answer. */
const CLOSE_MS_MAX = 1000;

export abstract class RemoteDevice<T extends RemoteTask>
  extends Device
  implements BufferWaiter, Flushable
{
  isDirty = false;
  protected readonly timeoutMs: number;
  protected readonly ledger = new LossLedger();
  /** Tasks in use, in no order. */
  protected readonly active: T[] = [];
  /** What requests end with at once; ok while they are taken. */
  protected refusal: Status = Status.ok;
  protected fault: Status = Status.ok;
  protected faultReason = "";
  protected isClosing = false;
  readonly #changes = new RangeTable((request) => this.#beginAfterOthers(request));
  readonly #free: T[] = [];
  /** One comparison can always go on, in pieces. */
  readonly #reserve: BufferReserve;
  #sequence = 0;
  /** Counts `timeoutMs / TICKS_PER_TIMEOUT` while there are active tasks. */
  #tick = 0;
  #ticker: Timer | null = null;
  /** Ended without an answer: told of in the turn, oldest first. */
  #settled: T[] = [];
  /** Tasks that wait for a bounce buffer. */
  #bounceQueue: T[] = [];
  #zeroes: SegmentList | null = null;
  #zeroSlab: Slab | null = null;
  #closeTimer: Timer | null = null;
  /** Until what was there at `hurry` has been told of. */
  #isHurried = false;

  /** @throws PenstockError `out-of-buffers` */
  constructor(reactor: Reactor, info: DeviceInfo, operations: OperationTable, timeoutMs: number) {
    super(reactor, info, operations);
    this.timeoutMs = timeoutMs;
    this.#reserve = takeReserve(reactor.buffers, info.name);
  }

  protected abstract newTask(): T;
  /** Sends the command of the task's step, unless that cannot be done now: then it is kept. Hot. */
  protected abstract issue(task: T): void;
  /** The task has waited for this many parts of its time-out, counted from 0. */
  protected abstract waited(task: T, ticks: number): void;
  /** Nothing can be sent, and nothing of what was sent is in flight any more. */
  protected abstract get isAway(): boolean;
  /** The server has a cache that a flush empties. Hot path. */
  protected abstract get flushes(): boolean;
  /** Ends what is connected: the device closes, and the server hangs. */
  protected abstract failLink(message: string): void;
  /** No new connection is made any more. */
  protected abstract stopLooking(): void;
  /** Ends all connections; nothing is in flight. */
  protected abstract closeLink(): Promise<void>;

  get activeCount(): number {
    return this.active.length;
  }

  override close(): Promise<void> {
    const closed = super.close();
    if (!this.isClosing) this.#beginClosing();
    return closed;
  }

  /** Requests that wait for a server that is away fail now. */
  override hurry(): void {
    if (!this.isAway || this.active.length === 0) return;
    this.#isHurried = true;
    this.settleAll(Status.pathLost);
  }

  buffersAvailable(): void {
    const queue = this.#bounceQueue;
    this.#bounceQueue = [];
    for (const task of queue) {
      task.awaitsBounce = false;
      this.issueAgain(task);
    }
  }

  /** Tells of what has been settled: in the turn, and flat however long the list gets. */
  flush(): void {
    while (this.#settled.length > 0) {
      const settled = this.#settled;
      this.#settled = [];
      for (const task of settled) {
        task.isSettled = false;
        this.end(task, task.request as Request, task.outcome);
      }
    }
    this.#isHurried = false;
  }

  // hot path
  protected override start(request: Request): void {
    if (this.refusal !== Status.ok) {
      this.reactor.completions.push(request, this.refusal);
      return;
    }
    if (modifies(request.operation) && !this.#changes.enter(request)) return;
    this.#begin(request);
  }

  protected override async release(): Promise<void> {
    this.#closeTimer?.cancel();
    this.#ticker?.cancel();
    await this.closeLink();
    this.#reserve.close();
    if (this.#zeroSlab !== null) this.reactor.io.slabs.release(this.#zeroSlab);
    this.#zeroSlab = null;
  }

  /** The task's next command, unless it has ended meanwhile. Hot path. */
  protected issueAgain(task: T): void {
    if (task.isSettled) return;
    task.issuedTick = this.#tick;
    this.issue(task);
  }

  /** Everything that is kept is sent, in the order of its arrival. */
  protected issueAll(): void {
    const kept = [...this.active].sort((a, b) => a.sequence - b.sequence);
    for (const task of kept) this.issueAgain(task);
    this.#startTicker();
  }

  /** Connections are there again, to a server with or without what the last one held. */
  protected continueWith(server: {
    /** Why it cannot go on for the one that there was, or null. */
    readonly problem: string | null;
    /** It holds all that was acknowledged. */
    readonly isSame: boolean;
    /** The one before it has stated that it holds nothing volatile. */
    readonly hadNoCache: boolean;
  }): void {
    if (server.problem !== null) {
      this.setFault(Status.dataLost, server.problem);
    } else if (!server.isSame && server.hadNoCache) {
      // Nothing volatile below, and yet something was lost: all of it.
      this.setFault(Status.dataLost, "it came back without what was written");
    } else {
      if (!server.isSame) this.ledger.noteLoss();
      if (this.fault === Status.ok) this.refusal = Status.ok;
    }
    if (this.refusal === Status.ok) this.issueAll();
    else this.settleAll(this.refusal);
  }

  /** It has been away for too long: requests fail. */
  protected giveUpAll(isTimeout: boolean): void {
    if (this.refusal === Status.ok) this.refusal = Status.pathLost;
    this.settleAll(isTimeout ? Status.timeout : Status.pathLost);
  }

  protected setFault(status: Status, reason: string): void {
    if (this.fault !== Status.ok) return;
    this.fault = status;
    this.faultReason = reason;
    this.refusal = status;
  }

  // hot path
  protected wantsFua(request: Request): boolean {
    return (request.flags & RequestFlag.fua) !== 0;
  }

  /** Ends a task that is not on its way, in this turn or the next. */
  protected settle(task: T, outcome: Status): void {
    if (task.isSettled) return;
    task.isSettled = true;
    task.outcome = outcome;
    this.#settled.push(task);
    this.reactor.markDirty(this);
  }

  protected settleAll(outcome: Status): void {
    // Those that wait for others begin when these end, and nothing would come to end them.
    if (this.isClosing && this.refusal === Status.ok) this.refusal = outcome;
    const all = [...this.active].sort((a, b) => a.sequence - b.sequence);
    for (const task of all) this.settle(task, outcome);
  }

  // hot path
  protected end(task: T, request: Request, status: Status): void {
    const changes = modifies(request.operation);
    if (changes && status === Status.ok && this.flushes && !this.wantsFua(request)) {
      this.ledger.acknowledged++;
    }
    // Not before: a flush that is submitted until then has to report it, too.
    const isReport = status === Status.dataLost && request.operation === Operation.flush;
    if (isReport) this.ledger.reported(task.cover);
    this.#giveBack(task);
    if (changes) this.#changes.leave(request);
    request.finish(status);
  }

  /**
   * Memory of the task's own, at `bounceSegments`, for `wantedBytes` or as much of it as there is.
   * @returns how much there is; 0: none, the task is issued again later
   */
  protected acquireBounce(task: T, wantedBytes: number): number {
    // After a reconnection everything is issued: what waits for memory goes on waiting.
    if (task.awaitsBounce) return 0;
    task.bounce ??= this.#reserve.acquirePiece(wantedBytes);
    const { bounce } = task;
    if (bounce === null) {
      task.awaitsBounce = true;
      if (this.#bounceQueue.push(task) === 1) this.reactor.buffers.wait(this);
      return 0;
    }
    const length = Math.min(wantedBytes, bounce.lengthBytes);
    task.bounceSegments.clear();
    task.bounceSegments.push(bounce.slab.id, bounce.offset, length);
    return length;
  }

  /** How many of the first bytes there are the same as the request's from `start` on. */
  protected equalBytes(task: T, request: Request, start: number): number {
    const { bounce } = task;
    assert(bounce !== null, "a comparison has its buffer");
    const { slabs } = this.reactor.io;
    const length = task.bounceSegments.lengthBytes;
    return compareSegments(
      slabs,
      request.segments,
      start,
      bounce.slab.bytes,
      bounce.offset,
      length,
    );
  }

  /** Memory full of zeroes, of the longest transfer. */
  protected zeroMemory(): SegmentList {
    if (this.#zeroes !== null) return this.#zeroes;
    this.#zeroSlab = this.reactor.io.slabs.allocate(TRANSFER_BYTES_MAX);
    this.#zeroes = new SegmentList();
    this.#zeroes.push(this.#zeroSlab.id, 0, TRANSFER_BYTES_MAX);
    return this.#zeroes;
  }

  /** A change that waited for others. Hot path. */
  #beginAfterOthers(request: Request): void {
    this.#begin(request);
    if (!this.#isHurried) return;
    const task = this.active.at(-1) as T; // it has just begun
    this.settle(task, Status.pathLost);
  }

  // hot path
  #begin(request: Request): void {
    const task = this.#free.pop() ?? this.newTask();
    task.activeIndex = this.active.push(task) - 1;
    task.begin(request, this.#sequence++, this.ledger);
    if (this.refusal !== Status.ok) this.settle(task, this.refusal);
    else this.issueAgain(task);
    if (this.#ticker === null) this.#startTicker();
  }

  // hot path
  #giveBack(task: T): void {
    const last = this.active.pop() as T; // there is one: the task itself is active
    if (last !== task) {
      this.active[task.activeIndex] = last;
      last.activeIndex = task.activeIndex;
    }
    task.activeIndex = -1;
    task.request = null;
    task.bounce?.release();
    task.bounce = null;
    if (task.awaitsBounce) this.#leaveBounceQueue(task);
    this.#free.push(task);
  }

  #leaveBounceQueue(task: T): void {
    task.awaitsBounce = false;
    this.#bounceQueue = this.#bounceQueue.filter((other) => other !== task);
  }

  /** Runs while there is something to wait for. */
  #startTicker(): void {
    this.#ticker?.cancel();
    this.#ticker = this.reactor.clock.startTimer(this.timeoutMs / TICKS_PER_TIMEOUT, () => {
      this.#ticker = null;
      this.#tick++;
      if (this.active.length === 0) return;
      this.#checkWaiting();
      this.#startTicker();
    });
  }

  #checkWaiting(): void {
    for (const task of [...this.active]) {
      if (!task.awaitsBounce && !task.isSettled) this.waited(task, this.#tick - task.issuedTick);
    }
  }

  #beginClosing(): void {
    this.isClosing = true;
    this.stopLooking();
    if (this.isAway) {
      this.settleAll(Status.pathLost);
    } else if (this.active.length > 0) {
      this.#closeTimer = this.reactor.clock.startTimer(CLOSE_MS_MAX, () => {
        this.failLink("the device is being closed");
      });
    }
  }
}
