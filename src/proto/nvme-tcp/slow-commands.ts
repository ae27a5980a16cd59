/**
 * SlowCommands: what the model answers: Connect, the admin queue, reservations. Gathers a command's
 * data, hands it over, and sends what comes back.
 *
 * A command is the model's until it completes it, even when the connection has begun to end. But
 * async event requests may wait for ever, so these are forgotten then; of the others no answer is
 * awaited when nothing can be said any more.
 */

import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { decodeConnectData } from "../nvme/connect.ts";
import { failConnect, failUnknownSubsystem } from "../nvme/connect-request.ts";
import { AdminOpcode, FabricsType, SglType } from "../nvme/constants.ts";
import { CommandKind, type NvmeCommand } from "../nvme/io-command.ts";
import { Sqe } from "../nvme/sqe.ts";
import { DNR, NvmeStatus } from "../nvme/status.ts";
import type { QueueLink, SlowCommand, SubsystemTarget } from "../nvme/transport.ts";
import type { TargetHost, TargetLink } from "./target-link.ts";
import type { TargetQueue } from "./target-queue.ts";

/** No command of the model takes more data from a host. */
const DATA_BYTES_MAX = 64 * 1024;
const NO_DATA = new Uint8Array(0);

/** Opcode (or fabrics type) bits 0-1: which way the data goes. spec: Base 2.0 figure 138 */
const Direction = { none: 0, fromHost: 1, toHost: 2, both: 3 } as const;

class SlowAnswer implements SlowCommand {
  readonly sqe = new Sqe();
  readonly queue: QueueLink;
  readonly replyBytesMax: number;
  data: Uint8Array = NO_DATA;
  /** Null: completed, or forgotten. */
  command: NvmeCommand | null;
  readonly #owner: SlowCommands;

  constructor(owner: SlowCommands, queue: TargetQueue, command: NvmeCommand) {
    this.#owner = owner;
    this.queue = queue;
    this.command = command;
    this.sqe.copyFrom(queue.sqe);
    const isReply =
      directionOf(this.sqe) === Direction.toHost && this.sqe.sglType === SglType.transportDataBlock;
    this.replyBytesMax = isReply ? this.sqe.sglLength : 0;
  }

  complete(status: number, dw0 = 0, data: Uint8Array = NO_DATA, dw1 = 0): void {
    this.#owner.completed(this, status, dw0, data, dw1);
  }
}

export class SlowCommands {
  /** Who got the last Connect. */
  subsystem: SubsystemTarget | null = null;
  readonly #queue: TargetQueue;
  readonly #link: TargetLink;
  readonly #host: TargetHost;
  /** The model has them. */
  readonly #open = new Set<SlowAnswer>();

  constructor(queue: TargetQueue, link: TargetLink, host: TargetHost) {
    this.#queue = queue;
    this.#link = link;
    this.#host = host;
  }

  /** True: a Connect to a subsystem of another reactor, which goes there as it is. */
  goesElsewhere(data: PoolBuffer, dataAt: number, dataBytes: number): boolean {
    const { sqe, place } = this.#queue;
    if (place !== null || !isConnect(sqe) || sqe.sglType !== SglType.dataBlockOffset) return false;
    if (sqe.sglOffset > dataBytes) return false;
    const start = dataAt + sqe.sglOffset;
    const fields = decodeConnectData(data.slab.bytes.slice(start, dataAt + dataBytes));
    const found = fields === null ? null : this.#host.findSubsystem(fields.subsystemNqn);
    if (typeof found !== "number") return false;
    this.#link.handOff(found);
    return true;
  }

  begin(command: NvmeCommand, data: PoolBuffer, dataAt: number, dataBytes: number): void {
    const queue = this.#queue;
    const { sqe, place } = queue;
    command.kind = CommandKind.slow;
    if ((place === null) !== isConnect(sqe)) {
      queue.finish(command, NvmeStatus.commandSequenceError | DNR);
      return;
    }
    const answer = new SlowAnswer(this, queue, command);
    command.slow = answer;
    const direction = directionOf(sqe);
    const limit = place?.controller.limits.transferBytesMax ?? DATA_BYTES_MAX;
    const isTooMuch =
      direction === Direction.fromHost
        ? sqe.sglLength > DATA_BYTES_MAX
        : answer.replyBytesMax > limit;
    if (isTooMuch) {
      queue.finish(command, NvmeStatus.invalidField | DNR);
    } else if (direction !== Direction.fromHost || sqe.sglLength === 0) {
      this.#dispatch(answer);
    } else {
      command.totalBytes = sqe.sglLength;
      answer.data = new Uint8Array(sqe.sglLength);
      queue.takeData(command, data, dataAt, dataBytes);
    }
  }

  /** A part of the command's data lies in its segments. */
  dataArrived(command: NvmeCommand): void {
    const answer = answerOf(command);
    const { segments } = command;
    const { bytes } = this.#host.reactor.io.slabs.get(segments.slabId(0));
    const at = segments.offset(0);
    answer.data.set(bytes.subarray(at, at + command.partBytes), command.doneBytes);
    command.doneBytes += command.partBytes;
    if (command.doneBytes < command.totalBytes) {
      this.#queue.parts.begin(command);
      return;
    }
    segments.clear();
    this.#queue.commands.releaseMemory(command);
    this.#dispatch(answer);
  }

  /** Writes the next part of the model's data into the command's buffer. */
  copyPart(command: NvmeCommand, buffer: PoolBuffer): void {
    const { slowData, doneBytes, partBytes } = command;
    assert(slowData !== null, "an answer with data has its data");
    buffer.slab.bytes.set(slowData.subarray(doneBytes, doneBytes + partBytes), buffer.offset);
  }

  /** Called once per command, in or outside of the turn. */
  completed(answer: SlowAnswer, status: number, dw0: number, data: Uint8Array, dw1: number): void {
    const { command } = answer;
    this.#open.delete(answer);
    if (command === null) return;
    answer.command = null;
    command.slow = null;
    command.dw0 = dw0;
    command.dw1 = dw1;
    const totalBytes = Math.min(data.length, answer.replyBytesMax);
    if (totalBytes === 0 || status !== NvmeStatus.success || !this.#link.canReply) {
      this.#queue.finish(command, status);
      return;
    }
    command.kind = CommandKind.slowReply;
    command.slowData = data;
    command.doneBytes = 0;
    command.totalBytes = totalBytes;
    this.#queue.parts.begin(command);
  }

  /** Commands that the model has. */
  get openCount(): number {
    return this.#open.size;
  }

  /**
   * The connection is ending: forgets what may never be completed, or (`all`) all that the model
   * has, since nothing can be answered any more.
   */
  abandon(all: boolean): void {
    for (const answer of this.#open) {
      const { command } = answer;
      if (!all && command?.opcode !== AdminOpcode.asyncEventRequest) continue;
      this.#open.delete(answer);
      answer.command = null;
      if (command !== null) this.#queue.commands.give(command);
    }
  }

  #dispatch(answer: SlowAnswer): void {
    const { place } = this.#queue;
    this.#open.add(answer);
    if (place === null) {
      this.#connect(answer);
      return;
    }
    if (place.qid !== 0) {
      place.controller.ioSlow(answer);
      return;
    }
    place.controller.admin(answer);
  }

  #connect(answer: SlowAnswer): void {
    const fields = decodeConnectData(answer.data);
    if (this.#open.size > 1) {
      // A Connect is waiting for its answer: two could both be let in.
      answer.complete(NvmeStatus.commandSequenceError | DNR);
      return;
    }
    if (fields === null) {
      failConnect(answer, NvmeStatus.dataSglLengthInvalid);
      return;
    }
    const found = this.#host.findSubsystem(fields.subsystemNqn);
    if (found === null || typeof found === "number") {
      failUnknownSubsystem(answer);
      return;
    }
    this.subsystem = found;
    found.connect(answer);
  }
}

function answerOf(command: NvmeCommand): SlowAnswer {
  assert(command.slow instanceof SlowAnswer, "a slow command has its answer");
  return command.slow;
}

function isConnect(sqe: Sqe): boolean {
  return sqe.opcode === AdminOpcode.fabrics && sqe.fabricsType === FabricsType.connect;
}

function directionOf(sqe: Sqe): number {
  return (sqe.opcode === AdminOpcode.fabrics ? sqe.fabricsType : sqe.opcode) & 3;
}
