/**
 * TargetQueue: the commands of one connection: an admin or I/O queue, from capsule to answer.
 *
 *   capsule --checked--> device, or the model (slow-commands.ts) --> answer --> sent
 *      \--needs memory, or data by R2T--> part by part (command-parts.ts) --> device
 *
 * In flight: at most twice the queue's entries, since answers may be on their way to a host that
 * goes on.
 */

import type { Device } from "../../block/device.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { SglType } from "../nvme/constants.ts";
import { DatasetRanges } from "../nvme/dataset-ranges.ts";
import { type CommandOwner, CommandKind, type NvmeCommand, ReplyKind } from "../nvme/io-command.ts";
import { isPreparedIo, prepareIo, refusedMeanwhile } from "../nvme/io-runner.ts";
import { Sqe } from "../nvme/sqe.ts";
import { DNR, NvmeStatus, statusOf } from "../nvme/status.ts";
import type {
  ControllerFace,
  NamespaceFace,
  QueueLink,
  QueuePlace,
  SubsystemTarget,
} from "../nvme/transport.ts";
import { CommandParts } from "./command-parts.ts";
import { FusedPair } from "./fused-pair.ts";
import { SettlingCommands, settleCommands } from "./settling-commands.ts";
import { SlowCommands } from "./slow-commands.ts";
import { TargetCommandPool } from "./target-command-pool.ts";
import type { TargetHost, TargetLink } from "./target-link.ts";
import { type QueueHead, TargetReplies } from "./target-replies.ts";
import { ADMIN_CAPSULE_DATA_BYTES, type TargetSession } from "./target-session.ts";
import { TransferTable } from "./transfer-table.ts";

/** Before Connect: enough for a host that is in a hurry to be told so. */
const COMMANDS_MAX_INITIAL = 8;
const SQ_HEAD_UNUSED = 0xffff;

export class TargetQueue implements QueueLink, CommandOwner, QueueHead {
  readonly commands: TargetCommandPool;
  readonly transfers = new TransferTable();
  readonly replies: TargetReplies;
  readonly parts: CommandParts;
  /** The command being looked at: filled by the reader. */
  readonly sqe = new Sqe();
  /** When what is being read was received. */
  nowMs = 0;
  usesSuccess = false;
  /** Bytes of data that a capsule may carry. */
  capsuleDataBytesMax = ADMIN_CAPSULE_DATA_BYTES;
  /** Commands in flight at most; more are not read. */
  commandsMax = COMMANDS_MAX_INITIAL;
  readonly #link: TargetLink;
  readonly #host: TargetHost;
  readonly #slow: SlowCommands;
  readonly #fused: FusedPair;
  readonly #session: TargetSession;
  #place: QueuePlace | null = null;
  /** Set on I/O queues only. */
  #controller: ControllerFace | null = null;
  #entries = 0;
  /** Commands read so far, modulo the queue's entries. */
  #head = 0;
  /** What is known of the namespace that was used last. */
  #namespace: NamespaceFace | null = null;
  #device: Device | null = null;
  #lends = false;
  #partBytesMax = 0;

  constructor(link: TargetLink, host: TargetHost, session: TargetSession) {
    const { io, buffers } = host.reactor;
    this.#link = link;
    this.#host = host;
    this.commands = new TargetCommandPool(this, buffers, host.reserve, host.reactor.newStream());
    this.replies = new TargetReplies(io, host.banks, session, this, () => link.commandEnded());
    this.#slow = new SlowCommands(this, link, host);
    this.#fused = new FusedPair(this);
    this.parts = new CommandParts({
      queue: this,
      link,
      host,
      fused: this.#fused,
      slow: this.#slow,
    });
    this.#session = session;
  }

  // What the model sees.

  get peer(): string {
    return this.#link.peer;
  }

  get listener(): string {
    return this.#link.listener;
  }

  get commandsInFlight(): number {
    return this.commands.inFlight - this.#slow.openCount;
  }

  get place(): QueuePlace | null {
    return this.#place;
  }

  /** spec: Base 2.0 6.3: 0xFFFF answers a Connect without flow control; later it is reserved. */
  get sqHead(): number {
    return this.usesSuccess ? SQ_HEAD_UNUSED : this.#head;
  }

  /** Who is to hear of the connection's end. */
  get subsystem(): SubsystemTarget | null {
    return this.#slow.subsystem;
  }

  attach(place: QueuePlace): void {
    assert(this.#place === null, "a queue is connected once");
    const { limits } = place.controller;
    this.#place = place;
    this.#entries = place.entries;
    this.commandsMax = 2 * place.entries;
    this.usesSuccess = !place.hasSqFlowControl;
    if (place.qid !== 0) {
      this.#controller = place.controller;
      this.capsuleDataBytesMax = limits.inCapsuleBytesMax;
    }
    this.#link.attached();
  }

  end(reason: string): void {
    this.#link.fail(reason);
  }

  abort(cid: number): boolean {
    const { waiting } = this.parts;
    const command = waiting.findWhole(cid);
    if (command === null) return false;
    waiting.remove(command);
    this.finish(command, NvmeStatus.abortRequested);
    return true;
  }

  settle(nsid: number, done: () => void): void {
    this.#fused.breakOff();
    settleCommands(this, nsid, done);
  }

  /** It has waited for memory in vain. */
  preempted(command: NvmeCommand): void {
    if (command.partner === null) this.finish(command, NvmeStatus.abortedPreempt);
    else this.#fused.failed(command, NvmeStatus.abortedPreempt);
  }

  // What the reader brings.

  /** @returns false: what has come has come too late, and the connection ends. Hot path. */
  isInTime(nowMs: number): boolean {
    const place = this.#place;
    if (place === null || nowMs <= place.controller.deadlineMs) return true;
    place.controller.overdue();
    return false;
  }

  /**
   * A whole capsule, decoded in `sqe`. Its data lies in `data` from `dataAt` on (of the slab):
   * in the window, or in the command's own buffer.
   * @returns false: the Connect is another reactor's, nothing has been done. Hot path.
   */
  capsule(command: NvmeCommand, data: PoolBuffer, dataAt: number, dataBytes: number): boolean {
    const { sqe } = this;
    command.cid = sqe.cid;
    command.opcode = sqe.opcode;
    command.startMs = this.nowMs;
    const controller = this.#controller;
    if (controller !== null && isPreparedIo(sqe.opcode)) {
      this.#countHead();
      if (sqe.fuse !== 0 || this.#fused.isOpen) {
        this.#fused.next(command, controller, data, dataAt, dataBytes);
      } else {
        this.beginIo(command, controller, data, dataAt, dataBytes);
      }
      return true;
    }
    if (this.#slow.goesElsewhere(data, dataAt, dataBytes)) return false;
    this.#countHead();
    this.#fused.breakOff();
    this.#slow.begin(command, data, dataAt, dataBytes);
    return true;
  }

  /** The capsule's data does not match its digest: nothing of the command is done. */
  spoiledCapsule(command: NvmeCommand): void {
    command.cid = this.sqe.cid;
    command.opcode = this.sqe.opcode;
    command.startMs = this.nowMs;
    this.#countHead();
    this.finish(command, NvmeStatus.transientTransportError);
  }

  /** All bytes of the part are there. `isIntact`: they match their digests. */
  partArrived(command: NvmeCommand): void {
    this.transfers.remove(command);
    if (command.answer === 0) command.answer = refusedMeanwhile(command, this.#controller);
    if (command.answer === 0) this.useData(command);
    else if (command.partner !== null) this.#fused.failed(command, command.answer);
    else this.finish(command, command.answer);
  }

  /** What fails while its data is still arriving is answered when that has come. */
  spoilPart(command: NvmeCommand): void {
    command.answer = NvmeStatus.transientTransportError;
  }

  // What happens then.

  // hot path
  beginIo(
    command: NvmeCommand,
    controller: ControllerFace,
    data: PoolBuffer,
    dataAt: number,
    dataBytes: number,
  ): void {
    const status = prepareIo(this.sqe, controller, command);
    if (status !== 0) {
      this.finish(command, status);
      return;
    }
    switch (command.kind) {
      case CommandKind.read:
        if (this.sqe.sglType === SglType.transportDataBlock) this.#read(command);
        else this.finish(command, NvmeStatus.sglDescriptorTypeInvalid | DNR);
        return;
      case CommandKind.effect:
        this.#effect(command);
        return;
      case CommandKind.verify:
        this.parts.begin(command);
        return;
      default:
        this.takeData(command, data, dataAt, dataBytes);
    }
  }

  // hot path
  #read(command: NvmeCommand): void {
    const device = this.deviceOf(command);
    if (!this.#lends || command.totalBytes > this.#partBytesMax) {
      this.parts.begin(command);
      return;
    }
    command.partBytes = command.totalBytes;
    command.offset = command.base;
    command.length = command.totalBytes;
    command.flags = RequestFlag.mayLend;
    device.submit(command);
  }

  #effect(command: NvmeCommand): void {
    if (command.operation === Operation.discard) {
      // Hints about future use: taken, and not used.
      this.finish(command, NvmeStatus.success);
      return;
    }
    command.offset = command.base;
    command.length = command.totalBytes;
    command.flags = command.deviceFlags;
    this.deviceOf(command).submit(command);
  }

  /** Finds the data of a command in its capsule, or asks for it. Hot path. */
  takeData(command: NvmeCommand, data: PoolBuffer, dataAt: number, dataBytes: number): void {
    const { sqe } = this;
    if (sqe.sglType === SglType.transportDataBlock) {
      this.parts.begin(command);
      return;
    }
    const status = this.holdData(command, data, dataAt, dataBytes);
    if (status === 0) this.useData(command);
    else this.finish(command, status);
  }

  /** Keeps the data of the capsule for the command. @returns 0, or why there is none. Hot path. */
  holdData(command: NvmeCommand, data: PoolBuffer, dataAt: number, dataBytes: number): number {
    const { sglType, sglOffset } = this.sqe;
    if (sglType !== SglType.dataBlockOffset) return NvmeStatus.sglDescriptorTypeInvalid | DNR;
    if (sglOffset > dataBytes) return NvmeStatus.sglOffsetInvalid | DNR;
    const { totalBytes } = command;
    if (sglOffset + totalBytes > dataBytes) return NvmeStatus.dataSglLengthInvalid | DNR;
    if (command.buffer === null) {
      data.retain();
      command.payloadIn = data;
    }
    command.partBytes = totalBytes;
    command.segments.push(data.slab.id, dataAt + sglOffset, totalBytes);
    return 0;
  }

  /** The part's data lies in the command's segments. Hot path. */
  useData(command: NvmeCommand): void {
    switch (command.kind) {
      case CommandKind.deallocate:
        this.#deallocate(command);
        return;
      case CommandKind.slow:
        this.#slow.dataArrived(command);
        return;
      default:
        if (command.partner === null) this.submitPart(command);
        else this.#fused.dataArrived(command);
    }
  }

  /** The part's memory is there, with its data or for it. Hot path. */
  submitPart(command: NvmeCommand): void {
    command.offset = command.base + command.doneBytes;
    command.length = command.partBytes;
    command.flags = command.deviceFlags;
    this.deviceOf(command).submit(command);
  }

  #deallocate(command: NvmeCommand): void {
    const { namespace, segments } = command;
    assert(namespace !== null && segments.count === 1, "ranges lie in one piece");
    const { bytes } = this.#host.reactor.io.slabs.get(segments.slabId(0));
    const at = segments.offset(0);
    command.ranges ??= new DatasetRanges();
    const status = command.ranges.read(bytes.subarray(at, at + segments.length(0)), namespace);
    command.segments.clear();
    this.commands.releaseMemory(command);
    if (status === 0) this.#nextRange(command);
    else this.finish(command, status);
  }

  #nextRange(command: NvmeCommand): void {
    command.flags = 0;
    const goesOn = command.answer === 0 && command.ranges?.takeNext(command) === true;
    if (goesOn) this.deviceOf(command).submit(command);
    else this.finish(command, command.answer);
  }

  // hot path
  commandCompleted(command: NvmeCommand): void {
    if (command.settling !== null) SettlingCommands.ended(command);
    if (command.partner !== null) {
      this.#fused.completed(command);
      return;
    }
    if (command.status !== Status.ok) {
      this.finish(command, statusOf(command.status, command.operation));
      return;
    }
    switch (command.kind) {
      case CommandKind.read:
        this.post(command, ReplyKind.data);
        return;
      case CommandKind.deallocate:
        this.#nextRange(command);
        return;
      case CommandKind.effect:
        this.finish(command, NvmeStatus.success);
        return;
      default:
        command.doneBytes += command.partBytes;
        if (command.doneBytes === command.totalBytes) this.finish(command, NvmeStatus.success);
        else if (command.answer !== 0) this.finish(command, command.answer);
        else if (this.#link.canReply) this.parts.begin(command);
        else this.sent(command);
    }
  }

  /** Answers with a status; the command's memory is given back. Hot path. */
  finish(command: NvmeCommand, status: number): void {
    if (status !== 0) this.#noteError(command, status);
    command.answer = status;
    if (command.lent) command.returnLent();
    this.commands.releaseMemory(command);
    this.post(command, ReplyKind.completion);
  }

  // hot path
  post(command: NvmeCommand, reply: ReplyKind): void {
    command.reply = reply;
    if (this.#link.canReply) {
      this.replies.post(command);
      return;
    }
    if (command.transferTag >= 0) this.transfers.remove(command);
    this.sent(command);
    this.#link.commandEnded();
  }

  /** The answer, or a part of its data, has left in a send that began then. Hot path. */
  sentAt(command: NvmeCommand, startMs: number): void {
    if (command.reply === ReplyKind.data && !command.isLastPart && this.#link.canReply) {
      command.doneBytes += command.partBytes;
      if (command.answer === 0) this.parts.begin(command);
      else this.finish(command, command.answer);
      return;
    }
    const { namespace } = command;
    namespace?.counters.ended(command.kind, command.totalBytes, startMs - command.startMs);
    this.sent(command);
  }

  /** The answer has left (or never will): the command's life is over. Hot path. */
  sent(command: NvmeCommand): void {
    if (command.lent) command.returnLent();
    this.commands.give(command);
  }

  /** Nothing more is received: gives up what waits for data. But for `arriving`, whose data may. */
  abandonTransfers(arriving: NvmeCommand | null): void {
    this.#fused.breakOff();
    for (const command of this.transfers.list()) {
      if (command === arriving) continue;
      this.abandonTransfer(command);
    }
    this.#slow.abandon(!this.#link.canReply);
  }

  abandonTransfer(command: NvmeCommand): void {
    this.replies.forget(command);
    this.transfers.remove(command);
    if (command.partner !== null) this.#fused.abandon(command);
    else this.commands.give(command);
  }

  /** The connection is gone: unsent replies and what waits are given up. */
  abandon(): void {
    const { waiting } = this.parts;
    for (let command = waiting.first; command !== null; command = waiting.first) {
      waiting.remove(command);
      if (command.partner !== null) this.#fused.abandon(command);
      else this.sent(command);
    }
    this.replies.abandon((command) => {
      if (command.reply !== ReplyKind.request) this.sent(command);
    });
  }

  // hot path
  deviceOf(command: NvmeCommand): Device {
    const { namespace } = command;
    if (namespace !== this.#namespace) this.#know(namespace);
    return this.#device as Device; // #know has set it
  }

  /** The longest part that the command's device takes, in bytes. */
  partBytesMaxOf(command: NvmeCommand): number {
    this.deviceOf(command);
    return this.#partBytesMax;
  }

  #know(namespace: NamespaceFace | null): void {
    assert(namespace !== null, "an I/O command has its namespace");
    const { device } = namespace;
    this.#namespace = namespace;
    this.#device = device;
    // Lent memory may change before it has been sent: it would not match its digest.
    this.#lends = device.info.lendsReads && !this.#session.dataDigest;
    this.#partBytesMax = device.info.maxTransferBytes;
  }

  // hot path
  #countHead(): void {
    this.#head++;
    if (this.#head === this.#entries) this.#head = 0;
  }

  #noteError(command: NvmeCommand, status: number): void {
    const { namespace, cid } = command;
    if (namespace !== null) namespace.counters.errors++;
    const place = this.#place;
    if (place === null || place.qid === 0 || command.kind === CommandKind.slow) return;
    const nsid = namespace === null ? this.sqe.nsid : namespace.nsid;
    const lba = namespace === null ? 0 : command.base / (1 << namespace.blockShift);
    place.controller.noteError({ qid: place.qid, cid, status, nsid, lba });
  }
}
