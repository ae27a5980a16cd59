/**
 * Mirror: `mirror(a, b, ...)`, one device over several that hold the same.
 *
 *   client's request --range table--> task --> a leg request per child (changes, flush), or
 *                                              one after the other until one answers (reads)
 *
 * Changes and flushes go to all children in sync and end when all have answered. A child that
 * failed is taken out before that: the membership decides (safety rules 6, 12), then the survivors'
 * answer counts. A refusal by all alike is the client's to hear and faults nobody. A child without
 * an answer within the time-out is taken out too, its requests are let go and end as orphans,
 * with memory that nobody else uses (see `MirrorTask`). The last child in sync is never taken out,
 * nor timed: there is nobody to go on with, and its late write must not land after newer ones.
 *
 * Overlapping changes run one after the other on all legs, reads wait for changes before them:
 * legs never differ for ever, and a client never sees new bytes and then old ones. State: tasks,
 * children, the range table. In flight: as much as the clients have.
 */

import { Device, type DeviceDetails, modifies } from "../block/device.ts";
import { ExtentList } from "../block/extents.ts";
import { Operation, RequestFlag, Support } from "../block/operation.ts";
import { RangeTable } from "../block/range-table.ts";
import type { Request } from "../block/request.ts";
import { compareSegments, copyFromSegments, copyToSegments } from "../block/segment-copy.ts";
import { Status, statusName } from "../block/status.ts";
import { takeReserve } from "../block/take-reserve.ts";
import type { BufferReserve, BufferWaiter } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Child, CHILDREN_MAX } from "./child.ts";
import { type ChildFault, faultOf } from "./child-state.ts";
import { isFault, mayHaveChanged } from "./child-status.ts";
import { type InSyncOwner, InSyncSet, maskOf } from "./in-sync-set.ts";
import type { LegOwner, LegRequest } from "./leg-request.ts";
import { type LegSweeper, LegTimer } from "./leg-timer.ts";
import { UNRECORDED_MEMBERSHIP } from "./membership.ts";
import { discardBy, mirrorInfo, mirrorOperations } from "./mirror-info.ts";
import {
  CHILD_TIMEOUT_MS_DEFAULT,
  factsOf,
  type MirrorEvent,
  type MirrorOptions,
  type OutChild,
} from "./mirror-options.ts";
import { MirrorTask, type TaskOwner } from "./mirror-task.ts";
import { Orphans } from "./orphans.ts";
import { ReadChooser } from "./read-policy.ts";
import { NO_WRITE_INTENT, type WriteIntent } from "./write-intent.ts";

const ORPHANS_MAX = 8192;
/** Of the reactor's buffers. */
const ORPHAN_BYTES_SHARE = 1 / 2;
/** Requests that could not be let go are tried again after this part of the time-out. */
const RETRY_SHARE = 1 / 8;

export class Mirror
  extends Device
  implements LegOwner, LegSweeper, BufferWaiter, TaskOwner, InSyncOwner
{
  readonly children: readonly Child[];
  readonly orphans: Orphans;
  readonly #childTimeoutMs: number;
  readonly #chooser: ReadChooser;
  readonly #timer: LegTimer;
  readonly #writeIntent: WriteIntent;
  readonly #onEvent: (event: MirrorEvent) => void;
  readonly #reserve: BufferReserve;
  readonly #ranges = new RangeTable((request) => this.#begin(request));
  readonly #discardAs: Operation;
  /** Children that flush. */
  readonly #flushMask: number;
  readonly #inSync: InSyncSet;
  /** Tasks that wait for a buffer, in their order. */
  #awaitingBuffer: MirrorTask[] = [];
  #free: MirrorTask | null = null;
  /** Legs that were out when it was opened. */
  readonly outLegs: readonly OutChild[];
  /** Somebody makes it durable who is out. */
  readonly #isRecorded: boolean;
  /** Set by a flush or durable write that failed on the last child; never cleared (rule 2). */
  #broken: Status = Status.ok;
  #lastChildHasFailed = false;
  /** A change was given up by all children alike, perhaps half-way: all reads go to one of them. */
  #legsMayDiffer = false;

  /** @throws PenstockError `child-count`, `child-read-only`, `out-of-buffers` */
  static async open(reactor: Reactor, options: MirrorOptions): Promise<Mirror> {
    const { name, legs } = options;
    if (legs.length < 1 || legs.length > CHILDREN_MAX) {
      const message = `${name} has ${legs.length} children, expected 1 to ${CHILDREN_MAX}`;
      throw new PenstockError({ code: "child-count", message });
    }
    const { maxTransferBytes } = mirrorInfo(name, factsOf(options));
    const reserve = takeReserve(reactor.buffers, name, maxTransferBytes);
    return new Mirror(reactor, options, reserve);
  }

  private constructor(reactor: Reactor, options: MirrorOptions, reserve: BufferReserve) {
    const { name, legs } = options;
    const facts = factsOf(options);
    super(reactor, mirrorInfo(name, facts), mirrorOperations(facts));
    this.children = legs.map((leg, index) => new Child(index, leg, this));
    const flushing = this.children.filter(({ joint }) => joint.operations.flush !== Support.refuse);
    this.#flushMask = maskOf(flushing);
    this.#discardAs = discardBy(facts) === "discard" ? Operation.discard : Operation.writeZeroes;
    this.#childTimeoutMs = options.childTimeoutMs ?? CHILD_TIMEOUT_MS_DEFAULT;
    this.#timer = new LegTimer(reactor.clock, this.#childTimeoutMs, this);
    this.#chooser = new ReadChooser(options.readPolicy ?? "local", this.children);
    const membership = options.membership ?? UNRECORDED_MEMBERSHIP;
    this.#inSync = new InSyncSet(this.children, membership, this);
    this.#writeIntent = options.writeIntent ?? NO_WRITE_INTENT;
    this.#onEvent = options.onEvent ?? (() => undefined);
    this.#reserve = reserve;
    this.outLegs = options.outLegs ?? [];
    this.#legsMayDiffer = options.legsMayDiffer === true;
    const bytesMax = reactor.buffers.limitBytes * ORPHAN_BYTES_SHARE;
    this.orphans = new Orphans(options.orphanLimits ?? { countMax: ORPHANS_MAX, bytesMax });
    this.#isRecorded = membership !== UNRECORDED_MEMBERSHIP;
    if (!this.#isRecorded) {
      const warning =
        "no fencing and no persistent log: after an unclean stop, or with a child that has " +
        "faulted, copy one over the others before it is opened again";
      this.#report("warning", "mirror-without-metadata", warning);
    }
  }

  override get patienceMs(): number {
    return this.#childTimeoutMs;
  }

  override describe(): DeviceDetails {
    return {
      children: this.#describeChildren(),
      readPolicy: this.#chooser.policy,
      childTimeoutMs: this.#childTimeoutMs,
      orphans: { count: this.orphans.count, bytes: this.orphans.bytes },
      ...(this.#broken === Status.ok ? {} : { broken: statusName(this.#broken) }),
      ...(this.#legsMayDiffer ? { legsMayDiffer: true } : {}),
    };
  }

  /** In the order of the legs, with those that were out before. */
  #describeChildren(): unknown[] {
    const open = this.children.map((child) => ({ number: child.number, is: child.describe() }));
    const out = this.outLegs.map(({ number, name, fault }) => {
      return { number, is: { name, state: "faulted", fault } };
    });
    return [...open, ...out].sort((a, b) => a.number - b.number).map(({ is }) => is);
  }

  // hot path
  protected override start(request: Request): void {
    const { operation } = request;
    const mayRun =
      operation === Operation.flush ||
      (modifies(operation) ? this.#ranges.enter(request) : this.#ranges.enterRead(request));
    if (mayRun) this.#begin(request);
  }

  protected override async release(): Promise<void> {
    // Orphans end without the mirror; they hold nothing but their own memory.
    this.#timer.cancel();
    this.reactor.buffers.stopWaiting(this);
    this.#reserve.close();
  }

  // In the reactor's turn.
  buffersAvailable(): void {
    const waiting = this.#awaitingBuffer;
    this.#awaitingBuffer = [];
    for (const task of waiting) {
      if (this.#acquire(task)) this.#go(task);
    }
  }

  // hot path
  legEnded(leg: LegRequest): void {
    const { child, task, status } = leg;
    if (task === null) {
      this.#orphanEnded(leg);
      return;
    }
    child.unlink(leg);
    if (status !== Status.ok) child.errors++;
    if (task.asksAll) this.#changeAnswered(task, leg);
    else this.#readAnswered(task, leg);
    child.give(leg);
  }

  regionMarked(task: MirrorTask): void {
    this.#fanOut(task, this.#inSync.mask);
  }

  /** Takes out the children that let requests hang, and lets those go. Not in the turn. */
  sweep(nowMs: number): number {
    let overdueMask = 0;
    for (const { oldest, bit } of this.children) {
      if (oldest !== null && this.#dueMs(oldest) <= nowMs) overdueMask |= bit;
    }
    // Where all hang, nobody is left to go on with: wait for whoever answers first.
    const canGoOn = (this.#inSync.mask & ~overdueMask) !== 0;
    for (const child of this.children) {
      if ((overdueMask & child.bit) === 0) continue;
      const isInSync = this.#inSync.has(child);
      if (isInSync && canGoOn) this.#timedOut(child);
      else if (!isInSync) this.#letGo(child, nowMs);
    }
    return this.#nextSweepMs(nowMs);
  }

  /** A request that the range table lets go on. Hot path. */
  #begin(request: Request): void {
    const task = this.#takeTask(request);
    if (this.#broken !== Status.ok) {
      this.#end(task, this.#broken);
      return;
    }
    if (request.operation === Operation.discard) this.#asDiscard(task);
    if (!task.needsBuffer || this.#acquire(task)) this.#go(task);
  }

  #asDiscard(task: MirrorTask): void {
    task.asks = this.#discardAs;
    if (task.asks !== Operation.discard) task.flags &= RequestFlag.fua | RequestFlag.background;
  }

  /** Memory of the mirror's for the task. False: it waits for some. */
  #acquire(task: MirrorTask): boolean {
    const { client } = task;
    const { length, segments } = client;
    const isNext = this.#awaitingBuffer.length === 0;
    const buffer = isNext ? this.#reserve.acquire(length) : null;
    if (buffer === null) {
      if (this.#awaitingBuffer.push(task) === 1) this.reactor.buffers.wait(this);
      return false;
    }
    task.buffer = buffer;
    if (client.operation === Operation.write) {
      const { slabs } = this.reactor.io;
      copyFromSegments(slabs, segments, 0, buffer.slab.bytes, buffer.offset, length);
    }
    return true;
  }

  // hot path
  #go(task: MirrorTask): void {
    if (task.asks === Operation.flush) this.#flush(task);
    else if (modifies(task.asks)) this.#change(task);
    else this.#read(task);
  }

  #flush(task: MirrorTask): void {
    // Those that do not flush have nothing that is volatile.
    task.okMask = this.#inSync.mask & ~this.#flushMask;
    const mask = this.#inSync.mask & this.#flushMask;
    if (mask === 0) this.#settle(task);
    else this.#fanOut(task, mask);
  }

  // hot path
  #change(task: MirrorTask): void {
    const { offset, length } = task.client;
    const mayGo = this.#writeIntent.beforeWrite(offset, length, task);
    if (mayGo) this.#fanOut(task, this.#inSync.mask);
  }

  /** Asks all children of `mask`. Hot path. */
  #fanOut(task: MirrorTask, mask: number): void {
    const nowMs = this.reactor.clock.nowMs();
    this.#timer.arm(nowMs);
    const { children } = this;
    for (let index = 0; index < children.length; index++) {
      const child = children[index] as Child; // below `length`
      if ((mask & child.bit) === 0) continue;
      const leg = child.take();
      task.fill(leg);
      task.pending++;
      child.submit(leg, nowMs);
    }
  }

  // hot path
  #changeAnswered(task: MirrorTask, leg: LegRequest): void {
    const { child, status } = leg;
    task.pending--;
    if (status === Status.ok) {
      task.okMask |= child.bit;
    } else if (this.#inSync.has(child)) {
      task.status = status;
      task.errorOffset = leg.errorOffset;
      if (!isFault(leg.operation, status)) {
        task.refusedMask |= child.bit;
        task.statuses[child.index] = status;
      } else if (!this.#inSync.takeOut(child, faultOf(this.reactor.clock, status, leg))) {
        this.#lastFailed(leg);
      }
    }
    if (task.pending === 0) this.#settle(task);
  }

  /** All legs have answered. Hot path. */
  #settle(task: MirrorTask): void {
    if (!this.#inSync.isDecided) {
      this.#inSync.park(task);
      return;
    }
    const ok = task.okMask & this.#inSync.mask;
    const refused = task.refusedMask & this.#inSync.mask;
    if (refused === 0) this.#endChange(task, ok === 0 ? task.status : Status.ok);
    else this.#settleRefused(task, ok, refused);
  }

  /** Some children have refused a change, none of these is out. */
  #settleRefused(task: MirrorTask, ok: number, refused: number): void {
    task.refusedMask = 0;
    const isFastZero = (task.flags & RequestFlag.fastZero) !== 0;
    if (ok !== 0 && isFastZero && this.#allSaid(task, refused, Status.unsupported)) {
      // Fast here and slow there is no reason to differ.
      task.flags &= ~RequestFlag.fastZero;
      this.#fanOut(task, refused);
      return;
    }
    const first = this.children.find(({ bit }) => (refused & bit) !== 0) as Child; // not empty
    const status = task.statuses[first.index] as Status;
    for (const child of this.children) {
      if ((refused & child.bit) === 0) continue;
      const said = task.statuses[child.index] as Status;
      if (ok !== 0 || said !== status) this.#diverged(child, task, said);
    }
    if (ok === 0) {
      task.status = status;
      if (mayHaveChanged(status)) this.#noteDifference(status);
    }
    // Again: what was decided out is not waited for.
    task.refusedMask = ok === 0 ? first.bit : 0;
    if (!this.#inSync.isDecided) this.#inSync.park(task);
    else this.#endChange(task, ok === 0 ? status : Status.ok);
  }

  /** Acknowledges nothing that depends on a removal of which nobody will know. Hot path. */
  #endChange(task: MirrorTask, status: Status): void {
    const isUnknown = status === Status.ok && this.#inSync.cannotDecide;
    this.#end(task, isUnknown ? Status.aborted : status);
  }

  #allSaid(task: MirrorTask, mask: number, status: Status): boolean {
    return this.children.every(
      ({ bit, index }) => (mask & bit) === 0 || task.statuses[index] === status,
    );
  }

  /** Others have done what this child refused: it holds something else now. */
  #diverged(child: Child, task: MirrorTask, status: Status): void {
    const { clock } = this.reactor;
    const detail = `${statusName(status)}, unlike other children`;
    this.#inSync.takeOut(child, faultOf(clock, status, task.client, detail));
  }

  #noteDifference(status: Status): void {
    if (this.#legsMayDiffer || this.#inSync.hasOne) return;
    this.#legsMayDiffer = true;
    const message = `a change failed on all children (${statusName(status)}): reads go to one only`;
    this.#report("warning", "legs-differ", message);
  }

  /** Asks one child that was not asked yet. Hot path. */
  #read(task: MirrorTask): void {
    const mask = this.#inSync.mask & ~task.triedMask;
    const child = this.#chooser.choose(this.#legsMayDiffer ? mask & -mask : mask);
    if (child === null) {
      this.#end(task, task.status);
      return;
    }
    const nowMs = this.reactor.clock.nowMs();
    this.#timer.arm(nowMs);
    const leg = child.take();
    task.fill(leg);
    if (leg.operation === Operation.blockStatus) {
      // Its own: a hung leg may still write into it.
      leg.extents ??= new ExtentList();
      leg.extents.clear();
    }
    child.submit(leg, nowMs);
  }

  // hot path
  #readAnswered(task: MirrorTask, leg: LegRequest): void {
    const { child, status } = leg;
    const isInSync = this.#inSync.has(child);
    // What a child says that is out by now may be older than what was acknowledged since.
    if (status === Status.ok && isInSync) {
      this.#readDone(task, leg);
      return;
    }
    task.triedMask |= child.bit;
    if (status !== Status.ok) {
      task.status = status;
      task.errorOffset = leg.errorOffset;
    }
    if (isInSync && isFault(leg.operation, status)) {
      const fault = faultOf(this.reactor.clock, status, leg);
      if (!this.#inSync.takeOut(child, fault)) this.#lastFailed(leg);
    }
    this.#read(task);
  }

  // hot path
  #readDone(task: MirrorTask, leg: LegRequest): void {
    const { client, buffer } = task;
    const { operation, segments, length } = client;
    if (operation === Operation.blockStatus) {
      client.extents?.copyFrom(leg.extents as ExtentList); // made for this operation
    } else if (buffer !== null) {
      const { slabs } = this.reactor.io;
      const { bytes } = buffer.slab;
      if (operation !== Operation.read) {
        this.#compareDone(task, compareSegments(slabs, segments, 0, bytes, buffer.offset, length));
        return;
      }
      copyToSegments(slabs, segments, 0, bytes, buffer.offset, length);
    }
    this.#end(task, Status.ok);
  }

  #compareDone(task: MirrorTask, equalBytes: number): void {
    const { client, buffer } = task;
    const { length, segments } = client;
    if (equalBytes < length) {
      task.errorOffset = client.offset + equalBytes;
      this.#end(task, Status.compareFailed);
    } else if (client.operation === Operation.compare) {
      this.#end(task, Status.ok);
    } else {
      assert(buffer !== null, "compare has its buffer");
      const { slabs } = this.reactor.io;
      copyFromSegments(slabs, segments, length, buffer.slab.bytes, buffer.offset, length);
      task.asks = Operation.write;
      this.#change(task);
    }
  }

  /** Ends the task and answers the client, always by the completion ring. Hot path. */
  #end(task: MirrorTask, status: Status): void {
    const { client } = task;
    client.errorOffset = status === Status.ok ? -1 : task.errorOffset;
    task.end();
    task.next = this.#free;
    this.#free = task;
    if (modifies(client.operation)) this.#ranges.leave(client);
    this.reactor.completions.push(client, status);
  }

  // hot path
  #takeTask(request: Request): MirrorTask {
    const task = this.#free ?? new MirrorTask(this);
    this.#free = task.next;
    task.next = null;
    task.begin(request);
    return task;
  }

  childFaulted(child: Child, fault: ChildFault): void {
    const consequence = this.#isRecorded
      ? "it stays out until the pipe is made anew"
      : "opened again with the others it would be read as if it did not";
    const message =
      `${child.name} faulted: ${fault.reason}. ` +
      `It lacks what is written from now on: ${consequence}`;
    this.#report("error", "child-faulted", message);
  }

  unparked(task: MirrorTask): void {
    this.#settle(task);
  }

  /** The only child left has failed: its error is the mirror's. */
  #lastFailed(leg: LegRequest): void {
    const { operation, flags, status } = leg;
    const isDurable = operation === Operation.flush || (flags & RequestFlag.fua) !== 0;
    if (isDurable && operation !== Operation.read && this.#broken === Status.ok) {
      this.#broken = status;
    }
    if (this.#lastChildHasFailed) return;
    this.#lastChildHasFailed = true;
    const { reason } = faultOf(this.reactor.clock, status, leg);
    const message = `${leg.child.name}, the last child, failed: ${reason}`;
    this.#report("error", "last-child-failed", message);
  }

  #timedOut(child: Child): void {
    const leg = child.oldest as LegRequest; // it is overdue
    const detail = `no answer within ${this.#childTimeoutMs} ms`;
    this.#inSync.takeOut(child, faultOf(this.reactor.clock, Status.timeout, leg, detail));
    // All at once, whenever they were sent: nobody waits for it any more.
    this.#letGo(child, Number.POSITIVE_INFINITY);
  }

  /** When its time is over. */
  #dueMs(leg: LegRequest): number {
    return leg.submittedMs + this.#childTimeoutMs;
  }

  /** Stops waiting for what `child` was to have answered up to `dueMs`; in its order. */
  #letGo(child: Child, dueMs: number): void {
    for (let leg = child.oldest; leg !== null && this.#dueMs(leg) <= dueMs; ) {
      const { newer } = leg;
      this.#orphan(leg);
      leg = newer;
    }
  }

  /** Lets the task go on without `leg`, if the memory that the leg may still use can be spared. */
  #orphan(leg: LegRequest): void {
    const { child } = leg;
    const task = leg.task as MirrorTask; // only orphans have none
    const bytes = leg.segments.lengthBytes;
    if (!this.orphans.hasRoomFor(bytes)) return;
    if (bytes > 0) {
      leg.pin = task.leaveMemoryTo(leg, this.#reserve);
      if (leg.pin === null) return;
    }
    leg.task = null;
    child.unlink(leg);
    child.errors++;
    child.orphanCount++;
    child.orphanBytes += bytes;
    this.orphans.add(bytes);
    if (task.asksAll) {
      task.pending--;
      if (task.pending === 0) this.#settle(task);
    } else {
      task.triedMask |= child.bit;
      task.status = Status.timeout;
      this.#read(task);
    }
  }

  /** A leg that nobody waits for has ended: its memory is free. */
  #orphanEnded(leg: LegRequest): void {
    const { child, pin } = leg;
    const bytes = leg.segments.lengthBytes;
    leg.pin = null;
    pin?.release();
    child.orphanCount--;
    child.orphanBytes -= bytes;
    this.orphans.remove(bytes);
    child.give(leg);
  }

  /** Until the next request may be overdue; 0: nothing is in flight. */
  #nextSweepMs(nowMs: number): number {
    const retryMs = this.#childTimeoutMs * RETRY_SHARE;
    let delayMs = 0;
    for (const { oldest } of this.children) {
      if (oldest === null) continue;
      const leftMs = this.#dueMs(oldest) - nowMs;
      const wantedMs = leftMs > 0 ? leftMs : retryMs;
      if (delayMs === 0 || wantedMs < delayMs) delayMs = wantedMs;
    }
    return delayMs;
  }

  #report(level: MirrorEvent["level"], code: MirrorEvent["code"], message: string): void {
    this.#onEvent({ level, code, message });
  }
}
