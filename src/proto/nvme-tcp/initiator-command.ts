/**
 * HostCommand: one command of ours on its way to a controller and back. Pooled by whoever makes it.
 *
 *   queued --capsule sent--> with the controller --R2T--> H2CData (of write data) --+
 *                               |  +--C2HData--> its memory                          |
 *                               +<---------------------------------------------------+
 *                               +--CapsuleResp, or C2HData with SUCCESS--> ended
 *
 * Its memory is in use until `ended`: by the send in flight, by the receive, or both.
 *
 * spec: NVMe/TCP 1.0 3.3.2 "Data transfers"
 */

import type { SegmentList } from "../../block/segments.ts";
import { Psdt } from "../nvme/constants.ts";
import { Sqe } from "../nvme/sqe.ts";
import { ChunkCoverage } from "../stream/chunk-coverage.ts";

/** Which way a command's data goes. */
export const Direction = { none: 0, toController: 1, toHost: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

export class HostCommand {
  /** The command; its cid and its SGL are the queue's to set. */
  readonly sqe: Sqe = new Sqe();
  direction: Direction = Direction.none;
  /** The data, or where it goes: `lengthBytes` bytes from `segmentStart` on; null: none. */
  segments: SegmentList | null = null;
  segmentStart = 0;
  lengthBytes = 0;
  /** Fewer bytes than asked for are a right answer. */
  mayBeShort = false;
  /** The second of a fused pair, sent right behind this, the first; not submitted by itself. */
  fused: HostCommand | null = null;
  /** Of the answer: 15 bits, 0 is success (`status.ts`). */
  status = 0;
  dw0 = 0;
  dw1 = 0;
  /** Of the data that has come. */
  readonly coverage: ChunkCoverage = new ChunkCoverage();
  /** Its data is in a send in flight. */
  isSending = false;
  /** The last of its answer has come. */
  isAnswered = false;
  /** R2Ts of the controller that are not answered in whole. */
  transfers = 0;
  /** Data bytes that the controller has asked for so far. */
  readonly asked: ChunkCoverage = new ChunkCoverage();
  /** Place in the queue's table; -1 while it is not with the controller. */
  index = -1;
  /** The queue that it was submitted to. */
  qid = 0;
  /** The command identifier. */
  cookie = 0;
  /** Free for the list that it is in. */
  next: HostCommand | null = null;

  /** Makes an empty command of it, without data. Hot path. */
  prepare(opcode: number, nsid: number): void {
    const { sqe } = this;
    sqe.clear();
    sqe.opcode = opcode;
    sqe.psdt = Psdt.sgl;
    sqe.nsid = nsid;
    this.direction = 0;
    this.segments = null;
    this.segmentStart = 0;
    this.lengthBytes = 0;
    this.mayBeShort = false;
    this.fused = null;
  }

  /** Says where its data lies, or goes. Hot path. */
  setData(
    direction: Direction,
    segments: SegmentList,
    segmentStart: number,
    lengthBytes: number,
  ): void {
    this.direction = direction;
    this.segments = segments;
    this.segmentStart = segmentStart;
    this.lengthBytes = lengthBytes;
  }

  /** Forgets every answer: it is about to be sent, perhaps again. Hot path. */
  beginAttempt(): void {
    this.status = 0;
    this.dw0 = 0;
    this.dw1 = 0;
    this.isSending = false;
    this.isAnswered = false;
    this.transfers = 0;
    if (this.direction === Direction.toHost) this.coverage.clear();
    else this.asked.clear();
  }
}

/** Data that the controller has asked for and that has not been put into a bank. Pooled. */
export class Transfer {
  command: HostCommand | null = null;
  /** TTAG, repeated in every PDU. */
  tag = 0;
  /** Of the next byte, within the command's data. */
  offset = 0;
  leftBytes = 0;
  next: Transfer | null = null;
}
