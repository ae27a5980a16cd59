/**
 * FusedPair: Compare and Write as one: the write is done if the compare finds what it expects,
 * atomically.
 *
 *   first (Compare) --held--> second (Write) --memory for both, data of both--> compareAndWrite
 *      \--anything else follows--> first: aborted, missing fused command
 *
 * Memory for both is taken at once, so that no pair holds half of what it needs.
 *
 * spec: Base 2.0 3.4.3 "Fused operations", NVM Command Set 1.0 2.1.2 (compare and write)
 */

import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { Fuse, FUSED_BYTES_MAX, IoOpcode, SglType } from "../nvme/constants.ts";
import type { NvmeCommand } from "../nvme/io-command.ts";
import { prepareIo } from "../nvme/io-runner.ts";
import { DNR, NvmeStatus, statusOf } from "../nvme/status.ts";
import type { ControllerFace } from "../nvme/transport.ts";
import type { TargetQueue } from "./target-queue.ts";

/** `receivedBytes` of a command whose R2T is still to be sent. */
const NOT_REQUESTED = -1;

export class FusedPair {
  readonly #queue: TargetQueue;
  #first: NvmeCommand | null = null;

  constructor(queue: TargetQueue) {
    this.#queue = queue;
  }

  /** A first command waits for its second. */
  get isOpen(): boolean {
    return this.#first !== null;
  }

  /** An I/O command that is fused, or comes behind the first of a pair. */
  next(
    command: NvmeCommand,
    controller: ControllerFace,
    data: PoolBuffer,
    dataAt: number,
    dataBytes: number,
  ): void {
    const queue = this.#queue;
    const { fuse } = queue.sqe;
    if (fuse === Fuse.second) {
      this.#second(command, controller, data, dataAt, dataBytes);
      return;
    }
    this.breakOff();
    if (fuse === Fuse.first) {
      command.answer = this.#prepare(command, controller, IoOpcode.compare);
      if (command.answer === 0) command.answer = this.#hold(command, data, dataAt, dataBytes);
      this.#first = command;
    } else if (fuse === Fuse.none) {
      queue.beginIo(command, controller, data, dataAt, dataBytes);
    } else {
      queue.finish(command, NvmeStatus.invalidField | DNR);
    }
  }

  /** The second command has not come, or the connection ends. */
  breakOff(): void {
    const first = this.#first;
    if (first === null) return;
    this.#first = null;
    const { answer } = first;
    this.#queue.finish(first, answer === 0 ? NvmeStatus.abortedMissingFused | DNR : answer);
  }

  /** Gets the second of a pair. @returns false: no memory now */
  begin(second: NvmeCommand): boolean {
    const first = partnerOf(second);
    const [forFirst, forSecond] = [missingBytes(first), missingBytes(second)];
    const buffer = this.#queue.commands.memory.acquireWhole(forFirst + forSecond);
    if (buffer === null) return false;
    // The first one's data goes in front of the second one's.
    if (forFirst > 0) place(first, buffer, 0);
    if (forSecond > 0) place(second, buffer, forFirst);
    if (forSecond > 0) second.buffer = buffer;
    else first.buffer = buffer;
    this.#queue.parts.request(forFirst > 0 ? first : second);
    return true;
  }

  /** The data of one of them has come from the host. */
  dataArrived(command: NvmeCommand): void {
    const isFirst = command.operation === Operation.compare;
    const second = isFirst ? partnerOf(command) : command;
    // What the first one's R2T has brought may be all that was missing.
    if (isFirst && second.receivedBytes === NOT_REQUESTED) this.#queue.parts.request(second);
    else this.#submit(second);
  }

  /** The data of one of them is spoiled. */
  failed(command: NvmeCommand, status: number): void {
    const other = partnerOf(command);
    unlink(command, other);
    this.#queue.finish(command, status);
    this.#queue.finish(other, NvmeStatus.abortedFailedFused | DNR);
  }

  /** The pair's device request has ended. */
  completed(second: NvmeCommand): void {
    const first = partnerOf(second);
    unlink(first, second);
    const { status } = second;
    this.#queue.finish(first, statusOf(status, second.operation));
    const isDone = status === Status.ok;
    this.#queue.finish(second, isDone ? 0 : NvmeStatus.abortedFailedFused | DNR);
  }

  /** Nothing of either is done any more. */
  abandon(command: NvmeCommand): void {
    const other = partnerOf(command);
    unlink(command, other);
    this.#queue.commands.give(command);
    this.#queue.commands.give(other);
  }

  #second(
    command: NvmeCommand,
    controller: ControllerFace,
    data: PoolBuffer,
    dataAt: number,
    dataBytes: number,
  ): void {
    const queue = this.#queue;
    const first = this.#first;
    if (first === null) {
      queue.finish(command, NvmeStatus.abortedMissingFused | DNR);
      return;
    }
    this.#first = null;
    let status = this.#prepare(command, controller, IoOpcode.write);
    if (status === 0 && first.answer === 0) {
      const isSame =
        first.namespace === command.namespace &&
        first.base === command.base &&
        first.totalBytes === command.totalBytes;
      if (!isSame) status = NvmeStatus.invalidField | DNR;
      else status = this.#hold(command, data, dataAt, dataBytes);
    }
    if (status !== 0 || first.answer !== 0) {
      const failed = NvmeStatus.abortedFailedFused | DNR;
      queue.finish(first, first.answer === 0 ? failed : first.answer);
      queue.finish(command, status === 0 ? failed : status);
      return;
    }
    first.partner = command;
    command.partner = first;
    if (missingBytes(first) + missingBytes(command) > 0) queue.parts.begin(command);
    else this.#submit(command);
  }

  #prepare(command: NvmeCommand, controller: ControllerFace, opcode: number): number {
    const { sqe } = this.#queue;
    if (sqe.opcode !== opcode) return NvmeStatus.invalidField | DNR;
    const status = prepareIo(sqe, controller, command);
    if (status !== 0) return status;
    const { namespace, totalBytes } = command;
    const limit = Math.min(FUSED_BYTES_MAX, namespace?.device.info.maxTransferBytes ?? 0);
    return totalBytes > limit ? NvmeStatus.atomicWriteUnitExceeded | DNR : 0;
  }

  /** Keeps the data of a capsule; data by R2T is asked for later. @returns 0 or a status */
  #hold(command: NvmeCommand, data: PoolBuffer, dataAt: number, dataBytes: number): number {
    if (this.#queue.sqe.sglType === SglType.transportDataBlock) return 0;
    return this.#queue.holdData(command, data, dataAt, dataBytes);
  }

  #submit(second: NvmeCommand): void {
    const first = partnerOf(second);
    const { segments } = second;
    const [slabId, offset, length] = [segments.slabId(0), segments.offset(0), segments.length(0)];
    segments.copyFrom(first.segments);
    segments.push(slabId, offset, length);
    second.operation = Operation.compareAndWrite;
    second.offset = second.base;
    second.length = second.totalBytes;
    second.flags = second.deviceFlags;
    this.#queue.deviceOf(second).submit(second);
  }
}

function partnerOf(command: NvmeCommand): NvmeCommand {
  const { partner } = command;
  assert(partner !== null, "a pair has two commands");
  return partner;
}

function unlink(one: NvmeCommand, other: NvmeCommand): void {
  one.partner = null;
  other.partner = null;
}

/** What is still to come from the host, in bytes. */
function missingBytes(command: NvmeCommand): number {
  return command.segments.count === 0 ? command.totalBytes : 0;
}

function place(command: NvmeCommand, buffer: PoolBuffer, at: number): void {
  command.bufferOffset = at;
  command.partBytes = command.totalBytes;
  command.receivedBytes = NOT_REQUESTED;
  command.segments.push(buffer.slab.id, buffer.offset + at, command.totalBytes);
}
