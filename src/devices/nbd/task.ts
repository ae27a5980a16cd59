/**
 * NbdTask: what an NBD device keeps of one request: the command on the wire, which step of the
 * request it does, and what has to be done again when the connection is lost. Pooled.
 *
 *   read, write          transfer (--> flush, for FUA without a server's help)
 *   discard, write-zeroes  zero, in parts (--> flush)
 *   flush                flush
 *   compare              compareRead
 *   compare-and-write    compareRead --> transfer (--> flush)
 *   block-status         status, in parts
 */

import { ExtentFlag } from "../../block/extents.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import { InitiatorCommand } from "../../proto/nbd/initiator-command.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";

import type { LossLedger } from "../remote/loss-ledger.ts";
import type { RemoteTask } from "../remote/remote-task.ts";

export const Step = { transfer: 0, zero: 1, flush: 2, compareRead: 3, status: 4 } as const;
export type Step = (typeof Step)[keyof typeof Step];

const FIRST_STEP: readonly Step[] = [
  Step.transfer, // read
  Step.transfer, // write
  Step.flush, // flush
  Step.zero, // discard
  Step.zero, // write-zeroes
  Step.compareRead, // compare
  Step.compareRead, // compare-and-write
  Step.status, // block-status
];

export class NbdTask extends InitiatorCommand implements RemoteTask {
  request: Request | null = null;
  step: Step = Step.transfer;
  /** Bytes of the request that earlier commands have done. */
  done = 0;
  /** Order of arrival: tasks are sent again in it. */
  sequence = 0;
  /** When its command was issued, in ticks of the device. */
  issuedTick = 0;
  /** Of a flush: the changes that it is to cover, behind `base` up to `cover` (`LossLedger`). */
  base = 0;
  cover = 0;
  /** compare-and-write has compared: what is left is the write. */
  hasCompared = false;
  /** Place among the device's active tasks. */
  activeIndex = -1;
  /** What compare reads into. */
  bounce: PoolBuffer | null = null;
  readonly bounceSegments: SegmentList = new SegmentList();
  isSettled = false;
  outcome: Status = Status.ok;
  awaitsBounce = false;
  /** Extents of a server need not keep to our blocks: the beginning of one that lies across. */
  #partBytes = 0;
  #partFlags = 0;
  /** No further extent is wanted. */
  #isStatusFull = false;

  // hot path
  begin(request: Request, sequence: number, ledger: LossLedger): void {
    this.request = request;
    this.sequence = sequence;
    this.base = ledger.settled;
    this.cover = ledger.acknowledged;
    this.hasCompared = false;
    this.restart();
  }

  /**
   * The connection is lost: what has to be done again. All parts of a change, since answered parts
   * may be lost with the server's memory; but a comparison that succeeded is not repeated: the
   * write after it may have been done.
   */
  restart(): void {
    const request = this.request as Request; // a task in use has one
    this.done = 0;
    this.step = this.hasCompared ? Step.transfer : (FIRST_STEP[request.operation] as Step);
    this.#isStatusFull = false;
    if (request.operation === Operation.blockStatus) request.extents?.clear();
  }

  /** Starts a new answer to block-status. */
  beginStatus(): void {
    this.#partBytes = 0;
  }

  /** An answer has ended. @returns true when no more is wanted */
  endStatus(): boolean {
    const request = this.request as Request; // a task in use has one
    const block = request.device?.info.blockSizeBytes ?? 512;
    // Extents smaller than a block: data is always a right answer.
    if (this.done === this.#start && !this.#isStatusFull) this.#push(block, 0);
    return (
      this.#isStatusFull ||
      this.done === request.length ||
      (request.flags & RequestFlag.oneExtent) !== 0
    );
  }

  // A block that is partly data is data. A hole reads as anything, unless it is said to be zero.
  override extent(lengthBytes: number, wireFlags: number): void {
    const request = this.request as Request; // a task in use has one
    const block = request.device?.info.blockSizeBytes ?? 512;
    const { extents } = request;
    if (extents === null) return;
    const flags = (wireFlags & ExtentFlag.zero) === 0 ? 0 : wireFlags;
    let left = Math.min(lengthBytes, this.length - (this.done + this.#partBytes - this.#start));
    if (this.#partBytes > 0) {
      const taken = Math.min(block - this.#partBytes, left);
      this.#partFlags &= flags;
      this.#partBytes += taken;
      left -= taken;
      if (this.#partBytes < block) return;
      this.#push(block, this.#partFlags);
      this.#partBytes = 0;
    }
    const rest = left % block;
    if (left > rest) this.#push(left - rest, flags);
    this.#partBytes = rest;
    this.#partFlags = flags;
  }

  /** Bytes of the request that were done before the command under way. */
  get #start(): number {
    return this.offset - (this.request as Request).offset;
  }

  #push(lengthBytes: number, flags: number): void {
    const request = this.request as Request; // a task in use has one
    const { extents } = request;
    if (extents === null || this.#isStatusFull) return;
    const isOther = extents.count > 0 && extents.flags[extents.count - 1] !== flags;
    const isOne = (request.flags & RequestFlag.oneExtent) !== 0;
    if (isOther && (isOne || extents.isFull)) {
      this.#isStatusFull = true;
      return;
    }
    extents.push(lengthBytes, flags);
    this.done += lengthBytes;
  }
}
