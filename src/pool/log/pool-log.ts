/**
 * PoolLog: writes records into the ring, frame by frame, and flushes.
 *
 *   record --> open frame --end of turn, none in flight--> sealed, in flight (both copies in one
 *   write) --ended--> entries are told, in order; the next frame begins
 *
 *   flush: end of turn --> all disks synced --> durable := last frame complete when that began
 *          --> a frame carries it (its own if no other comes)
 *
 * It owns two frames' memory. In flight: one frame, one flush. A frame that fails faults the pool.
 *
 * spec: docs/internals/pool-format.md, The log; The order of things, W and F
 */

import { Operation } from "../../block/operation.ts";
import { Status, statusName } from "../../block/status.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import {
  blockOf,
  BLOCK_BYTES,
  diskOf,
  type FlushWaiter,
  FRAME_BYTES_MAX,
  LOG_RECORDS_MAX,
  type LogWaiter,
  UNFLUSHED_BYTES_MAX,
} from "../pool-layout.ts";
import { FrameBuffer } from "./frame-buffer.ts";
import { FRAME_HEADER_BYTES, frameOwner, type FrameSeal, sealFrame } from "./log-frame.ts";
import {
  cutWords,
  objectGoneWords,
  OBJECT_WORDS,
  propertiesWords,
  putCut,
  putNothing,
  putObject,
  putObjectGone,
  putProperties,
  putUnmap,
  putVersions,
  putWrite,
  unmapWords,
  versionsWords,
  type WriteRecord,
  writeWords,
} from "./log-record.ts";
import { LogRing, type RingPlace } from "./log-ring.ts";

/** One record on its way: from a call of PoolLog until `logged`. */
export interface LogEntry {
  nextEntry: LogEntry | null;
  /** In log order, when the frame is written, or has failed: then the pool is faulted. */
  logged(status: Status, sequence: number): void;
}

/** Where an import begins to read. */
export interface ReplayStart {
  readonly sequence: number;
  /** Units from the ring's start. */
  readonly position: number;
  readonly prevCrc: number;
}

/** Who must know what is durable: the ReusePipeline. */
export interface DurableListener {
  durableThrough(sequence: number): void;
}

export interface PoolLogOptions {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly reuse: DurableListener;
  readonly poolUuid: string;
  readonly ring: RingPlace;
}

/** What a session begins with. */
export interface LogSession extends ReplayStart {
  /** 16 hex digits. */
  readonly session: string;
  /** Of the label that is durable. */
  readonly generation: number;
}

/** A ring holds this many of the largest frames, both copies counted: so one always fits. */
const FRAMES_PER_RING_MIN = 2;

export class PoolLog implements DiskRequestOwner, FlushWaiter {
  nextFlush: FlushWaiter | null = null;
  /** Of the last frame that is in the ring. */
  writtenSequence = 0;
  /** Of the last frame that is known to be on stable media, with all before it. */
  durableSequence = 0;
  /** A checkpoint would make room. */
  onCheckpointWanted: ((reason: string) => void) | null = null;
  readonly #reactor: Reactor;
  readonly #disks: PoolDisks;
  readonly #reuse: DurableListener;
  readonly #poolUuid: string;
  readonly #place: RingPlace;
  readonly #ring: LogRing;
  readonly #frameBytesMax: number;
  readonly #starter: Flushable = { isDirty: false, flush: () => this.#endOfTurn() };
  readonly #seal: FrameSeal;
  #isOpen = false;
  /** Filled now; the other one is idle or in flight. */
  #open: FrameBuffer;
  #other: FrameBuffer;
  #isInFlight = false;
  #nextSequence = 0;
  /** Of the last frame with records that an import would apply. */
  #lastRecords = 0;
  /** `durable` in the last frame that is in the ring. */
  #lastMark = 0;
  #isMarkDue = false;
  #held: (() => void) | null = null;
  #isHeld = false;
  /** Records logged in all, at the ring's tail, and at the checkpoint under way. */
  #records = 0;
  #recordsAtTail = 0;
  #captured: { sequence: number; head: number; records: number } | null = null;
  #flushWaiters: FlushWaiter | null = null;
  #flushWaitersLast: FlushWaiter | null = null;
  #flushed: FlushWaiter | null = null;
  #isFlushing = false;
  #covers = 0;
  readonly #own: FlushWaiter & { isWaiting: boolean };
  #roomWaiters: LogWaiter | null = null;
  #roomWaitersLast: LogWaiter | null = null;
  /** Whom `#wake` is calling. */
  #waking: LogWaiter | null = null;

  constructor({ reactor, disks, reuse, poolUuid, ring }: PoolLogOptions) {
    this.#reactor = reactor;
    this.#disks = disks;
    this.#reuse = reuse;
    this.#poolUuid = poolUuid;
    this.#place = ring;
    this.#ring = new LogRing(ring);
    const { maxTransferBytes } = disks.at(diskOf(ring.address)).device.info;
    const ringBytes = ring.blocks * BLOCK_BYTES;
    const limit = Math.min(maxTransferBytes, ringBytes / FRAMES_PER_RING_MIN) / 2;
    this.#frameBytesMax = Math.min(FRAME_BYTES_MAX, limit - (limit % ring.unitBytes));
    this.#open = new FrameBuffer(reactor);
    this.#other = new FrameBuffer(reactor);
    const owner = frameOwner(poolUuid, "0".repeat(16));
    this.#seal = { owner, sequence: 0, durable: 0, generation: 0, prevCrc: 0 };
    this.#own = {
      nextFlush: null,
      isWaiting: false,
      flushEnded: () => {
        this.#own.isWaiting = false;
      },
    };
  }

  /** Records that an import would replay now. */
  get recordCount(): number {
    return this.#records - this.#recordsAtTail;
  }

  /** Of the ring, both copies of each frame counted. */
  get bytes(): { readonly all: number; readonly used: number } {
    const { units, usedUnits } = this.#ring;
    const { unitBytes } = this.#place;
    return { all: units * unitBytes, used: usedUnits * unitBytes };
  }

  /** Words of records that a frame can have: no record is larger. */
  get recordWordsMax(): number {
    return (this.#frameBytesMax - FRAME_HEADER_BYTES) / 4;
  }

  /** Begins a session: before that nothing can be logged. */
  open({ session, generation, sequence, position, prevCrc }: LogSession): void {
    assert(!this.#isOpen, "a log has one session");
    this.#isOpen = true;
    this.#seal.owner = frameOwner(this.#poolUuid, session);
    this.#seal.generation = generation;
    this.#seal.prevCrc = prevCrc;
    this.#nextSequence = sequence;
    this.writtenSequence = sequence - 1;
    this.durableSequence = sequence - 1;
    this.#lastMark = sequence - 1;
    this.#lastRecords = sequence - 1;
    this.#ring.reset(position);
  }

  /**
   * Each puts one record into the open frame; `entry` is told when that is written.
   * @returns false: there is no room, `waitForRoom`
   */
  // hot path
  write(entry: LogEntry, record: WriteRecord): boolean {
    if (!this.#makeRoom(writeWords(record.count))) return false;
    const frame = this.#open;
    this.#added(entry, putWrite(frame.words, frame.end, record));
    return true;
  }

  unmap(entry: LogEntry, objectId: number, first: number, count: number, punch: boolean): boolean {
    if (!this.#makeRoom(unmapWords())) return false;
    const { words, end } = this.#open;
    this.#added(entry, putUnmap(words, end, objectId, first, count, punch));
    return true;
  }

  /** 128 words from `at` on. */
  object(entry: LogEntry, record: Uint32Array, at: number): boolean {
    if (!this.#makeRoom(OBJECT_WORDS)) return false;
    const { words, end } = this.#open;
    this.#added(entry, putObject(words, end, record, at));
    return true;
  }

  objectGone(entry: LogEntry, objectId: number): boolean {
    if (!this.#makeRoom(objectGoneWords())) return false;
    const { words, end } = this.#open;
    this.#added(entry, putObjectGone(words, end, objectId));
    return true;
  }

  properties(entry: LogEntry, objectId: number, bytes: Uint8Array): boolean {
    if (!this.#makeRoom(propertiesWords(bytes.length))) return false;
    const { words, end } = this.#open;
    this.#added(entry, putProperties(words, end, objectId, bytes));
    return true;
  }

  /** @param versions VERSION_WORDS words for each of `count` objects */
  versions(entry: LogEntry, versions: Uint32Array, count: number, advancesEpoch: boolean): boolean {
    if (!this.#makeRoom(versionsWords(count))) return false;
    const { words, end } = this.#open;
    this.#added(entry, putVersions(words, end, versions, count, advancesEpoch));
    return true;
  }

  cut(entry: LogEntry, objectId: number, end: number): boolean {
    if (!this.#makeRoom(cutWords())) return false;
    const frame = this.#open;
    this.#added(entry, putCut(frame.words, frame.end, objectId, end));
    return true;
  }

  /** In the order of asking. Who waits again from within `roomInLog` is the first of all. */
  waitForRoom(waiter: LogWaiter): void {
    assert(waiter.nextLog === null && waiter !== this.#roomWaitersLast, "one waits once");
    if (waiter === this.#waking) {
      waiter.nextLog = this.#roomWaiters;
      this.#roomWaiters = waiter;
      this.#roomWaitersLast ??= waiter;
      this.#waking = null;
      return;
    }
    if (this.#roomWaitersLast === null) this.#roomWaiters = waiter;
    else this.#roomWaitersLast.nextLog = waiter;
    this.#roomWaitersLast = waiter;
  }

  /**
   * What is logged by now is on stable media when it ends well. Who asks while a flush is under
   * way waits for the next.
   */
  flush(waiter: FlushWaiter): void {
    assert(waiter.nextFlush === null && waiter !== this.#flushWaitersLast, "one waits once");
    if (this.#flushWaitersLast === null) this.#flushWaiters = waiter;
    else this.#flushWaitersLast.nextFlush = waiter;
    this.#flushWaitersLast = waiter;
    this.#reactor.markDirty(this.#starter);
  }

  /** Calls when no frame is being written, at once or later; none begins until `resume`. */
  hold(held: () => void): void {
    assert(!this.#isHeld, "one holds the log at a time");
    this.#isHeld = true;
    if (this.#isInFlight) this.#held = held;
    else held();
  }

  resume(): void {
    assert(this.#isHeld && this.#held === null, "what is held goes on");
    this.#isHeld = false;
    this.#reactor.markDirty(this.#starter);
  }

  /** The next frame is the first that an import reads when the label that follows is durable. */
  startOfReplay(): ReplayStart {
    assert(this.#isOpen && !this.#isInFlight, "between two frames");
    const sequence = this.#nextSequence;
    this.#captured = { sequence, head: this.#ring.head, records: this.#records };
    return { sequence, position: this.#ring.position, prevCrc: this.#seal.prevCrc };
  }

  /** The label with the last `startOfReplay` is durable: frames before that are not needed. */
  releaseThrough(sequence: number, generation: number): void {
    const captured = this.#captured;
    assert(captured !== null && captured.sequence === sequence + 1, "what was captured last");
    this.#captured = null;
    this.#ring.release(captured.head);
    this.#recordsAtTail = captured.records;
    this.#seal.generation = generation;
    this.#wake();
  }

  /** The pool has a fault: who waits for room logs in vain, and is told so. */
  faulted(): void {
    this.#wake();
  }

  /** Nothing is in flight, nobody waits. */
  close(): void {
    assert(!this.#isInFlight && !this.#isFlushing, "a log is closed when it is idle");
    this.#open.close();
    this.#other.close();
  }

  /** The frame's write has ended. Hot path. */
  diskRequestEnded(request: DiskRequest): void {
    const { status } = request;
    this.#disks.give(request);
    this.#isInFlight = false;
    if (status !== Status.ok) this.#raise(status);
    const frame = this.#other;
    const { fault } = this.#disks;
    if (fault === Status.ok) {
      this.writtenSequence = frame.sequence;
      this.#lastMark = this.#seal.durable;
    }
    const { sequence } = frame;
    tell(frame.takeEntries(), fault, sequence);
    this.#wantMore();
    const held = this.#held;
    this.#held = null;
    held?.();
    this.#reactor.markDirty(this.#starter);
    this.#wake();
  }

  /** All disks are synced, or one could not be. */
  flushEnded(status: Status): void {
    this.#isFlushing = false;
    if (status === Status.ok) {
      this.durableSequence = this.#covers;
      this.#isMarkDue = this.#lastRecords > this.#lastMark && this.#covers > this.#lastMark;
      this.#reuse.durableThrough(this.#covers);
    }
    let waiter = this.#flushed;
    this.#flushed = null;
    while (waiter !== null) {
      const next: FlushWaiter | null = waiter.nextFlush;
      waiter.nextFlush = null;
      waiter.flushEnded(status);
      waiter = next;
    }
    this.#reactor.markDirty(this.#starter);
  }

  /** False: the open frame cannot take so many words. Hot path. */
  #makeRoom(words: number): boolean {
    assert(this.#isOpen && words <= this.recordWordsMax, "a record fits into a frame");
    if (this.#fits(words)) return true;
    // The frame is full and could go: a new one has room, if the ring has.
    if (this.#canStart && this.#open.recordCount > 0) {
      this.#startFrame();
      if (this.#fits(words)) return true;
    }
    return false;
  }

  // hot path
  #fits(words: number): boolean {
    const recordBytes = this.#open.recordBytes + words * 4;
    const units = this.#unitsOf(recordBytes);
    if (units * this.#place.unitBytes > this.#frameBytesMax) return false;
    if (this.#disks.fault !== Status.ok || this.#ring.hasRoom(2 * units)) return true;
    if (this.#captured === null) this.onCheckpointWanted?.("the log is full");
    return false;
  }

  // hot path
  #added(entry: LogEntry, end: number): void {
    this.#open.added(entry, end);
    this.#reactor.markDirty(this.#starter);
  }

  get #canStart(): boolean {
    return !this.#isInFlight && !this.#isHeld;
  }

  /** Runs at the end of each turn in which something was to be done. Hot path. */
  #endOfTurn(): void {
    if (this.#flushWaiters !== null && !this.#isFlushing) this.#startFlush();
    if (!this.#canStart) return;
    if (this.#open.recordCount > 0) this.#startFrame();
    else if (this.#isMarkDue) this.#startMark();
  }

  #startFlush(): void {
    this.#flushed = this.#flushWaiters;
    this.#flushWaiters = null;
    this.#flushWaitersLast = null;
    this.#isFlushing = true;
    this.#covers = this.writtenSequence;
    this.#disks.flush(this);
  }

  /** A frame that only says what is durable. Nobody waits for it: without room there is none. */
  #startMark(): void {
    const frame = this.#open;
    this.#isMarkDue = false;
    if (this.#disks.fault !== Status.ok) return;
    if (!this.#ring.hasRoom(2 * this.#unitsOf(4))) return;
    frame.end = putNothing(frame.words, frame.end);
    this.#startFrame();
  }

  // hot path
  #startFrame(): void {
    const frame = this.#open;
    assert(this.#canStart, "one frame is written at a time");
    if (this.#disks.fault !== Status.ok) {
      tell(frame.takeEntries(), this.#disks.fault, 0);
      return;
    }
    this.#open = this.#other;
    this.#other = frame;
    this.#isInFlight = true;
    this.#isMarkDue = false;
    const { recordBytes } = frame;
    const { unitBytes, address } = this.#place;
    const units = this.#unitsOf(recordBytes);
    const lengthBytes = units * unitBytes;
    const seal = this.#seal;
    frame.sequence = this.#nextSequence++;
    seal.sequence = frame.sequence;
    seal.durable = this.durableSequence;
    seal.prevCrc = sealFrame(frame.words, frame.slab.bytes, seal, recordBytes, lengthBytes);
    this.#records += frame.recordCount;
    if (frame.recordCount > 0) this.#lastRecords = frame.sequence;
    const request = this.#disks.take(this);
    request.operation = Operation.write;
    // The same memory twice: both copies in one write.
    request.segments.push(frame.slab.id, 0, lengthBytes);
    request.segments.push(frame.slab.id, 0, lengthBytes);
    const position = this.#ring.take(2 * units);
    const offset = blockOf(address) * BLOCK_BYTES + position * unitBytes;
    this.#disks.submitBytes(request, diskOf(address), offset, 2 * lengthBytes);
  }

  // hot path
  #unitsOf(recordBytes: number): number {
    return Math.ceil((FRAME_HEADER_BYTES + recordBytes) / this.#place.unitBytes);
  }

  /** After a frame: what grows without bound otherwise. Hot path. */
  #wantMore(): void {
    if (this.#disks.unflushedBytes >= UNFLUSHED_BYTES_MAX && !this.#own.isWaiting) {
      this.#own.isWaiting = true;
      this.flush(this.#own);
    }
    // What a checkpoint under way will make free does not ask for another one.
    const captured = this.#captured;
    const head = captured?.head ?? this.#ring.head - this.#ring.usedUnits;
    const records = captured?.records ?? this.#recordsAtTail;
    const isMuch = this.#ring.head - head >= this.#ring.units / 2;
    if (isMuch || this.#records - records >= LOG_RECORDS_MAX) {
      this.onCheckpointWanted?.("the log is half full");
    }
  }

  #raise(status: Status): void {
    const { name } = this.#disks.at(diskOf(this.#place.address)).device.info;
    const reason = `the log on ${name} could not be written: ${statusName(status)}`;
    this.#disks.raise({ status: Status.mediaError, reason, isSync: false });
  }

  /** Those who wait for room try, in order, until one waits again. */
  #wake(): void {
    let waiter = this.#roomWaiters;
    while (waiter !== null) {
      this.#roomWaiters = waiter.nextLog;
      if (this.#roomWaiters === null) this.#roomWaitersLast = null;
      waiter.nextLog = null;
      this.#waking = waiter;
      waiter.roomInLog();
      // It waits again: so would the others.
      if (this.#waking === null) return;
      this.#waking = null;
      waiter = this.#roomWaiters;
    }
  }
}

/** Entries may log again from within. Hot path. */
function tell(first: LogEntry | null, status: Status, sequence: number): void {
  let entry = first;
  while (entry !== null) {
    const next: LogEntry | null = entry.nextEntry;
    entry.nextEntry = null;
    entry.logged(status, sequence);
    entry = next;
  }
}
