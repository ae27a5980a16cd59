/**
 * CommandRunner: executes the commands of one connection on its export and posts their replies.
 *
 * Common commands are themselves the device request. Long or unaligned ones, and CACHE, go
 * through `LongRead`, `LongWrite` and `edge-io`.
 */

import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import {
  BUFFER_BYTES_MIN,
  type BufferReserve,
  type PoolBuffer,
} from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { STATUS_REPLY_BYTES, writeBlockStatus } from "./block-status-reply.ts";
import { type CommandOwner, type NbdCommand, type PartOwner, ReplyKind } from "./command.ts";
import type { CommandPool } from "./command-pool.ts";
import { Command, CommandFlag, NbdError } from "./constants.ts";
import { cacheRange, type UnalignedRange, writeUnaligned, zeroUnaligned } from "./edge-io.ts";
import type { NbdExport } from "./export.ts";
import { LongRead, type LongReadHost } from "./long-read.ts";
import { LongWrite, type LongWriteHost } from "./long-write.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import type { Payload } from "../stream/payload.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import type { ReplyQueue } from "./reply-queue.ts";
import { errorForStatus } from "./status.ts";

/** What the runner and the parser need of their connection. */
export interface TransmissionLink {
  /** False once nothing can be sent any more: replies are dropped. */
  readonly canReply: boolean;
  /** The connection is to close as soon as what it does has ended. */
  readonly isEnding: boolean;
  readonly window: ReceiveWindow;
  /** A command has ended or memory came back: go on reading commands. */
  commandEnded(): void;
  /** A part could not get its memory: call `resume` when there may be some. */
  awaitMemory(): void;
  /** The stream is broken, or the client breaks the protocol: end the connection now. */
  fail(reason: string): void;
  /** The client is done: answer what is in flight, then close. */
  disconnect(): void;
}

export interface RunnerParts {
  readonly exported: NbdExport;
  readonly session: NegotiatedSession;
  readonly commands: CommandPool;
  readonly replies: ReplyQueue;
  readonly reserve: BufferReserve;
  readonly payload: Payload<NbdCommand>;
  readonly link: TransmissionLink;
}

export class CommandRunner implements CommandOwner, LongReadHost, LongWriteHost {
  readonly blockSizeBytes: number;
  readonly isSimple: boolean;
  readonly #parts: RunnerParts;
  readonly #exported: NbdExport;
  readonly #commands: CommandPool;
  readonly #lends: boolean;
  readonly #longReads = new Set<LongRead>();
  /** The long write whose payload is arriving. */
  longWrite: LongWrite | null = null;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#exported = parts.exported;
    this.#commands = parts.commands;
    this.#commands.stream = parts.exported.device.reactor.newStream();
    const { info } = parts.exported.device;
    this.blockSizeBytes = info.blockSizeBytes;
    this.#lends = info.lendsReads;
    this.isSimple = !parts.session.structuredReplies;
  }

  /** True when `read` may start: one long read at a time where replies are one stretch. */
  get canStartLongRead(): boolean {
    return !this.isSimple || this.#longReads.size === 0;
  }

  /** Answers with an NBD error of our own. */
  refuse(command: NbdCommand, error: number): void {
    command.status = Status.invalid;
    command.reply = ReplyKind.error;
    command.error = error;
    this.#post(command);
  }

  /** An aligned read of at most 1 MiB. @returns false: no memory now. Hot path. */
  read(command: NbdCommand): boolean {
    command.operation = Operation.read;
    command.offset = command.wireOffset;
    command.length = command.wireLength;
    if (this.#lends) {
      command.flags = RequestFlag.mayLend;
    } else {
      const buffer = this.#commands.memory.acquire(command.wireLength);
      if (buffer === null) return false;
      command.buffer = buffer;
      command.segments.push(buffer.slab.id, buffer.offset, command.wireLength);
    }
    this.#exported.device.submit(command);
    return true;
  }

  longRead(command: NbdCommand): void {
    const read = new LongRead(this, command);
    this.#longReads.add(read);
    read.advance();
  }

  /** A read that must be answered in one piece. @returns false: no memory now */
  readWhole(command: NbdCommand): boolean {
    const block = this.blockSizeBytes;
    const { wireOffset, wireLength } = command;
    const hullEnd = Math.ceil((wireOffset + wireLength) / block) * block;
    const hullBytes = hullEnd - wireOffset + (wireOffset % block);
    const buffer = this.#commands.memory.acquireWhole(hullBytes);
    if (buffer === null) return false;
    const read = new LongRead(this, command);
    this.#longReads.add(read);
    read.readWhole(this.#newPart(command, buffer));
    return true;
  }

  /** A write whose payload is in the command's segments. Hot path. */
  write(command: NbdCommand): void {
    command.operation = Operation.write;
    command.offset = command.wireOffset;
    command.length = command.wireLength;
    command.flags = (command.commandFlags & CommandFlag.fua) !== 0 ? RequestFlag.fua : 0;
    this.#exported.submit(command);
  }

  /** A write that is received in parts. */
  startLongWrite(command: NbdCommand): void {
    assert(this.longWrite === null, "one payload at a time");
    this.longWrite = new LongWrite(this, command);
  }

  flush(command: NbdCommand): void {
    command.operation = Operation.flush;
    command.offset = 0;
    command.length = 0;
    command.flags = 0;
    this.#exported.submit(command);
  }

  /** Only whole blocks can be trimmed; the rest of the range keeps its content. */
  trim(command: NbdCommand): void {
    const block = this.blockSizeBytes;
    const end = command.wireOffset + command.wireLength;
    command.operation = Operation.discard;
    command.offset = Math.ceil(command.wireOffset / block) * block;
    command.length = end - (end % block) - command.offset;
    command.flags = (command.commandFlags & CommandFlag.fua) !== 0 ? RequestFlag.fua : 0;
    if (command.length > 0) this.#exported.submit(command);
    else this.#finish(command, Status.ok);
  }

  writeZeroes(command: NbdCommand): void {
    const { wireOffset, wireLength, commandFlags } = command;
    let flags = 0;
    if ((commandFlags & CommandFlag.fua) !== 0) flags |= RequestFlag.fua;
    if ((commandFlags & CommandFlag.noHole) !== 0) flags |= RequestFlag.noUnmap;
    if ((commandFlags & CommandFlag.fastZero) !== 0) flags |= RequestFlag.fastZero;
    if (wireOffset % this.blockSizeBytes !== 0 || wireLength % this.blockSizeBytes !== 0) {
      const range = { offset: wireOffset, length: wireLength, flags };
      const ticket = this.#exported.reserve(wireOffset, wireLength);
      this.#settle(command, () => zeroUnaligned(this.#exported, ticket, range));
      return;
    }
    command.operation = Operation.writeZeroes;
    command.offset = wireOffset;
    command.length = wireLength;
    command.flags = flags;
    this.#exported.submit(command);
  }

  /** Advisory: without memory to spare nothing is done. */
  cache(command: NbdCommand): void {
    const { wireOffset: offset, wireLength: length } = command;
    const wanted = Math.min(length + 2 * this.blockSizeBytes, this.#allowed());
    const buffer = this.#commands.memory.acquire(wanted);
    if (buffer === null) {
      this.#finish(command, Status.ok);
      return;
    }
    command.buffer = buffer;
    const { link } = this.#parts;
    const isOver = (): boolean => link.isEnding;
    const range = { offset, length, flags: 0 };
    this.#settle(command, () => cacheRange(this.#exported, buffer, range, isOver));
  }

  /** @returns false: no memory for the reply now */
  blockStatus(command: NbdCommand): boolean {
    const isOne = (command.commandFlags & CommandFlag.reqOne) !== 0;
    const wanted = isOne ? BUFFER_BYTES_MIN : Math.min(STATUS_REPLY_BYTES, this.#allowed());
    const buffer = this.#commands.memory.acquire(wanted);
    if (buffer === null) return false;
    const block = this.blockSizeBytes;
    const end = command.wireOffset + command.wireLength;
    command.buffer = buffer;
    command.operation = Operation.blockStatus;
    command.offset = command.wireOffset - (command.wireOffset % block);
    command.length = Math.ceil(end / block) * block - command.offset;
    command.flags = isOne ? RequestFlag.oneExtent : 0;
    command.extentList();
    this.#exported.submit(command);
    return true;
  }

  /** Goes on with what waited for memory. */
  resume(): void {
    for (const read of this.#longReads) read.advance();
  }

  /** The connection is gone: unsent replies and unread parts are given up. */
  abandon(): void {
    for (const read of [...this.#longReads]) read.abandon();
    this.#parts.replies.abandon((command) => this.sent(command));
  }

  /** No receive is in flight or follows: a write whose payload is not all there is not done. */
  abandonPayload(): void {
    const { payload } = this.#parts;
    const command = payload.isUnderWay ? payload.end() : null;
    if (this.longWrite !== null) {
      const write = this.longWrite;
      this.longWrite = null;
      write.abandon(command);
    } else if (command !== null) {
      this.#commands.give(command);
    }
  }

  // hot path
  commandCompleted(command: NbdCommand): void {
    this.#exported.ended(command);
    if (command.owner !== null) {
      command.owner.partCompleted(command);
      return;
    }
    if (command.operation === Operation.write) this.#commands.releaseMemory(command);
    this.#finish(command, command.status);
  }

  /** The reply has left, in a send that began then. Hot path. */
  sentAt(command: NbdCommand, startMs: number): void {
    // Replies in parts: the last one ends the command.
    if (command.isLast) this.#measure(command.command, startMs - command.startMs);
    this.sent(command);
  }

  // hot path
  #measure(command: number, latencyMs: number): void {
    const { stats, latency } = this.#exported;
    stats.latencyMsSum += latencyMs;
    if (command === Command.read) latency.recordRead(latencyMs);
    else if (command === Command.write) latency.recordWrite(latencyMs);
    else latency.recordOther(latencyMs);
  }

  /** The reply has left (or never will): the command's life is over. Hot path. */
  sent(command: NbdCommand): void {
    if (command.lent) command.returnLent();
    if (command.owner?.partSent?.(command) === true) return;
    this.#commands.give(command);
  }

  allowance(): number {
    return this.#commands.memory.allowance();
  }

  /** What a command may take that can do with less, in bytes. */
  #allowed(): number {
    return Math.max(this.#commands.memory.allowance(), BUFFER_BYTES_MIN);
  }

  takePart(parent: NbdCommand, lengthBytes: number): NbdCommand | null {
    const buffer = this.#commands.memory.acquire(lengthBytes);
    if (buffer === null) {
      this.#parts.link.awaitMemory();
      return null;
    }
    return this.#newPart(parent, buffer);
  }

  #newPart(parent: NbdCommand, buffer: PoolBuffer): NbdCommand {
    const part = this.#commands.take();
    part.command = parent.command;
    part.commandFlags = parent.commandFlags;
    part.cookieHigh = parent.cookieHigh;
    part.cookieLow = parent.cookieLow;
    part.wireOffsetHigh = parent.wireOffsetHigh;
    part.wireOffsetLow = parent.wireOffsetLow;
    part.startMs = parent.startMs;
    part.buffer = buffer;
    return part;
  }

  submitPart(part: NbdCommand): void {
    const buffer = part.buffer as PoolBuffer; // takePart gave one
    const isRead = part.command === Command.read;
    part.operation = isRead ? Operation.read : Operation.write;
    part.flags = !isRead && (part.commandFlags & CommandFlag.fua) !== 0 ? RequestFlag.fua : 0;
    part.segments.push(buffer.slab.id, buffer.offset, part.length);
    this.#exported.submit(part);
  }

  submitUnaligned(part: NbdCommand): void {
    const flags = (part.commandFlags & CommandFlag.fua) !== 0 ? RequestFlag.fua : 0;
    const range: UnalignedRange = { offset: part.wireOffset, length: part.wireLength, flags };
    const buffer = part.buffer as PoolBuffer; // takePart gave one
    const ticket = this.#exported.reserve(range.offset, range.length);
    const work = (): Promise<Status> => writeUnaligned(this.#exported, ticket, buffer, range);
    this.#outsideTurn(work, (status) => {
      part.status = status;
      part.owner?.partCompleted(part);
    });
  }

  receivePart(part: NbdCommand, buffer: PoolBuffer, offset: number, wantedBytes: number): void {
    const { payload, link } = this.#parts;
    payload.begin(link.window, { command: part, buffer, offset, wantedBytes });
  }

  postReply(command: NbdCommand): void {
    if (command.reply === ReplyKind.error) this.#setError(command);
    this.#post(command);
  }

  holdReplies(owner: PartOwner): void {
    this.#parts.replies.hold(owner);
  }

  dropPart(part: NbdCommand): void {
    this.#commands.give(part);
    this.#parts.link.commandEnded();
  }

  longReadEnded(read: LongRead): void {
    this.#longReads.delete(read);
  }

  longWriteEnded(parent: NbdCommand): void {
    this.#finish(parent, parent.status);
  }

  fail(reason: string): void {
    this.#parts.link.fail(reason);
  }

  /** Posts the reply that `status` asks for. Hot path. */
  #finish(command: NbdCommand, status: Status): void {
    command.status = status;
    if (status !== Status.ok) {
      command.reply = ReplyKind.error;
      this.#setError(command);
    } else if (command.command === Command.read) {
      command.reply = ReplyKind.data;
    } else if (command.command === Command.blockStatus) {
      this.#prepareStatus(command);
    }
    this.#post(command);
  }

  #prepareStatus(command: NbdCommand): void {
    const { session } = this.#parts;
    const context = session.metaContexts[0];
    const buffer = command.buffer as PoolBuffer; // blockStatus took one
    assert(context !== undefined, "block status is answered with a context");
    command.preparedBytes = writeBlockStatus(buffer, command.extentList(), {
      skip: command.wireOffset - command.offset,
      length: command.wireLength,
      contextId: context.id,
      extended: session.extendedHeaders,
      one: (command.commandFlags & CommandFlag.reqOne) !== 0,
    });
    command.reply = ReplyKind.prepared;
  }

  #setError(command: NbdCommand): void {
    this.#exported.stats.errors++;
    command.error = errorForStatus(command.status, command.command, command.commandFlags);
    if (command.error === NbdError.none) command.error = NbdError.eio;
  }

  // hot path
  #post(command: NbdCommand): void {
    if (this.#parts.link.canReply) this.#parts.replies.post(command);
    else this.sent(command);
    if (!this.#parts.link.canReply) this.#parts.link.commandEnded();
  }

  #settle(command: NbdCommand, work: () => Promise<Status>): void {
    this.#outsideTurn(work, (status) => this.#finish(command, status));
  }

  /**
   * Runs a slow path where promises go on: no microtask follows a ring callback. Slow paths never
   * throw; if one does, the command fails and the process goes on.
   */
  #outsideTurn(work: () => Promise<Status>, next: (status: Status) => void): void {
    this.#exported.device.reactor.deliverLater(() => {
      void work()
        .catch(() => Status.internal)
        .then(next);
    });
  }
}
