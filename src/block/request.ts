/**
 * Request: one operation on one device, pooled and reused by whoever submits it.
 *
 *   idle --submit()--> submitted --finish(status)--> idle, complete() called
 *
 * It completes exactly once, never inside `submit`, always in the reactor's turn. The segments'
 * memory belongs to the device from submit until complete. Subclass it and implement `complete`;
 * no closure and no promise is made per request.
 */

import type { BufferPool } from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";
import type { Device } from "./device.ts";
import type { Filter } from "./filter.ts";
import type { ExtentList } from "./extents.ts";
import { Operation } from "./operation.ts";
import { SegmentList } from "./segments.ts";
import { Status } from "./status.ts";

/** Memory of a request that stays what it is until `release`, whatever becomes of the request. */
export interface MemoryPin {
  release(): void;
}

export abstract class Request {
  operation: Operation = Operation.read;
  /** Bytes from the start of the device; a multiple of its block size. */
  offset = 0;
  /** Bytes; a multiple of the block size; 0 for flush only. */
  length = 0;
  /** `RequestFlag` bits. */
  flags = 0;
  readonly segments: SegmentList = new SegmentList();
  /** Where block-status puts its answer; owned by the submitter. */
  extents: ExtentList | null = null;
  /**
   * Who submits it, where that matters (`limit` is fair among streams): a number of
   * `Reactor.newStream`, or 0, which all share that have none. Filters that make requests of their
   * own for it keep it.
   */
  stream = 0;
  status: Status = Status.ok;
  /** Byte offset on the device of the first error (media-error, compare-failed), else -1. */
  errorOffset = -1;
  /**
   * A read with `mayLend` came back with the device's own memory in `segments`. The submitter
   * reads it (never writes) and calls `returnLent` when done. Such bytes may change under a
   * concurrent overlapping write.
   */
  lent = false;
  /** Counts the uses of this object; a late completion of an older use touches nothing. */
  generation = 0;
  /** The device it is submitted to; null while idle. Set by `Device.submit`. */
  device: Device | null = null;
  /** Free for the list that the request is in: first the submitter's, then the device's. */
  next: Request | null = null;
  /** The filters that have passed it down, topmost first. */
  #path: Filter[] | null = null;
  #depth = 0;
  /** A number that each of them has left with it. */
  #notes: number[] | null = null;
  /** The devices, bottom up, that know of the memory lent with it. */
  #lenders: Device[] | null = null;

  /** Called once per submit, with `status` set. Must not throw. May submit this object again. */
  abstract complete(): void;

  /**
   * `filter` lets the request go on to the device below, as it is; that device's `finish` gives it
   * back to the filter instead of its submitter. See `Filter.pass`. Hot path.
   */
  passedBy(filter: Filter): void {
    assert(this.device === filter, "a filter passes what it was given");
    this.#path ??= [];
    // The array keeps its length: nothing is allocated once it is as long as the chain.
    this.#path[this.#depth++] = filter;
    this.device = null;
  }

  /** Leaves a number with it for when it comes back: before `Filter.pass`. Hot path. */
  leaveNote(note: number): void {
    this.#notes ??= [];
    while (this.#notes.length < this.#depth) this.#notes.push(0);
    this.#notes[this.#depth] = note;
  }

  /** In `Filter.passed`: the number that this filter has left. Hot path. */
  takeNote(): number {
    const note = this.#notes?.[this.#depth];
    assert(note !== undefined, "a note is taken by the filter that left it");
    return note;
  }

  /**
   * True: the submitter can leave the segments' memory to a device beyond `complete`, by the two
   * methods below. A mirror needs that to answer while a leg still hangs in the middle of the
   * request; where it cannot be had, it gives the legs memory of its own and copies.
   */
  get canPin(): boolean {
    return false;
  }

  /**
   * Of a request that only gives data: its memory keeps its content until the pin is released.
   * Only while submitted. Overridden together with `canPin`.
   */
  pinMemory(): MemoryPin {
    assert(false, "a request that can pin says how");
  }

  /**
   * Of a read: it goes on with other memory of the same length, from `pool`; its memory so far is
   * left to whoever still writes into it, until the pin is released.
   * @returns null when there is no memory now. Only while submitted.
   */
  moveMemory(_pool: BufferPool): MemoryPin | null {
    assert(false, "a request that can pin says how");
  }

  /** Called by the device, once, from the reactor's turn. Hot path. */
  finish(status: Status): void {
    const device = this.device;
    assert(device !== null, "a request finishes once per submit");
    device.requestEnded(this, status);
    if (this.#depth > 0) {
      const filter = (this.#path as Filter[])[--this.#depth] as Filter; // passedBy put it there
      this.device = filter;
      filter.passed(this, status);
      return;
    }
    this.device = null;
    this.status = status;
    this.generation++;
    this.complete();
  }

  /** A device on the request's way has counted the memory lent with it. */
  lentBy(device: Device): void {
    this.#lenders ??= [];
    this.#lenders.push(device);
  }

  /** Gives lent memory back to all whom it concerns. */
  returnLent(): void {
    assert(this.lent, "only lent memory is returned");
    this.lent = false;
    this.segments.clear();
    const lenders = this.#lenders;
    for (let device = lenders?.pop(); device !== undefined; device = lenders?.pop()) {
      device.lentReturned(this);
    }
  }
}
