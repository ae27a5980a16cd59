/**
 * The commands of the NVM command set, as a device's task sends them: fields and data of each. The
 * caller sends what it was given. Hot path; stateless.
 *
 * spec: NVM Command Set 1.0 3.2 "Command set I/O commands"
 */

import type { SegmentList } from "../../block/segments.ts";
import {
  DATASET_RANGE_BYTES,
  DatasetAttribute,
  Fuse,
  IoFlag,
  IoOpcode,
} from "../../proto/nvme/constants.ts";
import { setSlba } from "../../proto/nvme/sqe.ts";
import { setUint64 } from "../../proto/nvme/wire.ts";
import { Direction, type HostCommand } from "../../proto/nvme-tcp/initiator-command.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import type { NvmfTask } from "./task.ts";

/** A range of a namespace, in bytes, and the size of its blocks. */
export interface CommandPlace {
  readonly nsid: number;
  readonly blockBytes: number;
}

export function encodeRead(
  command: HostCommand,
  { nsid, blockBytes }: CommandPlace,
  offset: number,
  length: number,
  segments: SegmentList,
): void {
  command.prepare(IoOpcode.read, nsid);
  setRange(command, blockBytes, offset, length, 0);
  command.setData(Direction.toHost, segments, 0, length);
}

/** @param start of the data within `segments` */
export function encodeWrite(
  command: HostCommand,
  { nsid, blockBytes }: CommandPlace,
  offset: number,
  length: number,
  segments: SegmentList,
  start: number,
  isDurable: boolean,
): void {
  command.prepare(IoOpcode.write, nsid);
  setRange(command, blockBytes, offset, length, isDurable ? IoFlag.forceUnitAccess : 0);
  command.setData(Direction.toController, segments, start, length);
}

export function encodeCompare(
  command: HostCommand,
  { nsid, blockBytes }: CommandPlace,
  offset: number,
  length: number,
  segments: SegmentList,
): void {
  command.prepare(IoOpcode.compare, nsid);
  setRange(command, blockBytes, offset, length, 0);
  command.setData(Direction.toController, segments, 0, length);
}

/**
 * Compare and write as one: `segments` hold what is expected, then what to write.
 * spec: NVM Command Set 1.0 2.1.4 "Fused operation"
 */
export function encodeFused(
  task: NvmfTask,
  place: CommandPlace,
  offset: number,
  length: number,
  segments: SegmentList,
  isDurable: boolean,
): void {
  const { second } = task;
  encodeCompare(task, place, offset, length, segments);
  task.sqe.fuse = Fuse.first;
  encodeWrite(second, place, offset, length, segments, length, isDurable);
  second.sqe.fuse = Fuse.second;
  task.fused = second;
  task.answersLeft = 2;
}

export function encodeWriteZeroes(
  command: HostCommand,
  { nsid, blockBytes }: CommandPlace,
  offset: number,
  length: number,
  mayDeallocate: boolean,
  isDurable: boolean,
): void {
  command.prepare(IoOpcode.writeZeroes, nsid);
  const fua = isDurable ? IoFlag.forceUnitAccess : 0;
  const flags = fua + (mayDeallocate ? IoFlag.deallocate : 0);
  setRange(command, blockBytes, offset, length, flags);
}

/** One range, written to the task's own memory. spec: 3.2.3 "Dataset Management" */
export function encodeDeallocate(
  task: NvmfTask,
  { nsid, blockBytes }: CommandPlace,
  offset: number,
  length: number,
): void {
  const bounce: PoolBuffer | null = task.bounce;
  assert(bounce !== null, "a range has its memory");
  const { view } = bounce.slab;
  view.setUint32(bounce.offset, 0, true);
  view.setUint32(bounce.offset + 4, length / blockBytes, true);
  setUint64(view, bounce.offset + 8, offset / blockBytes);
  task.prepare(IoOpcode.datasetManagement, nsid);
  // CDW10 has the number of ranges, 0-based.
  task.sqe.cdw11 = DatasetAttribute.deallocate;
  task.setData(Direction.toController, task.bounceSegments, 0, DATASET_RANGE_BYTES);
}

/** SLBA, NLB and flags. */
function setRange(
  { sqe }: HostCommand,
  blockBytes: number,
  offset: number,
  length: number,
  flags: number,
): void {
  setSlba(sqe, offset / blockBytes);
  sqe.cdw12 = length / blockBytes - 1 + flags;
}
