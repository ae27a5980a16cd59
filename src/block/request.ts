/**
 * Request: one operation on one device, pooled and reused by whoever submits it.
 *
 *   idle --submit()--> submitted --finish(status)--> idle, complete() called
 *
 * It completes exactly once, never inside `submit`, always in the reactor's turn. The segments'
 * memory belongs to the device from submit until complete. Subclass it and implement `complete`;
 * no closure and no promise is made per request.
 */

import { assert } from "../util/assert.ts";
import type { Device } from "./device.ts";
import type { ExtentList } from "./extents.ts";
import { Operation } from "./operation.ts";
import { SegmentList } from "./segments.ts";
import { Status } from "./status.ts";

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

  /** Called once per submit, with `status` set. Must not throw. May submit this object again. */
  abstract complete(): void;

  /** Called by the device, once, from the reactor's turn. Hot path. */
  finish(status: Status): void {
    const device = this.device;
    assert(device !== null, "a request finishes once per submit");
    this.device = null;
    this.status = status;
    this.generation++;
    device.requestEnded(this);
    this.complete();
  }

  /** Gives lent memory back to its device. */
  returnLent(device: Device): void {
    assert(this.lent, "only lent memory is returned");
    this.lent = false;
    this.segments.clear();
    device.lentReturned();
  }
}
