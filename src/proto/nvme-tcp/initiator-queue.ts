/**
 * InitiatorQueue: one queue of a controller, admin or I/O, which is one connection: initialization,
 * then commands and what comes back.
 *
 *   opening: ICReq --> ICResp: up --> ending --> closed
 *
 * The first command is the owner's Connect. What is in flight, and when, is `InitiatorStream`'s.
 * When it is closed, commands without an answer are taken back.
 *
 * spec: NVMe/TCP 1.0 3.2 "Connection establishment", 3.3 "Data transfer model"
 */

import type { ByteStream } from "../../reactor/byte-stream.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { COMMAND_TABLE_MAX, CommandTable } from "../stream/command-table.ts";
import { InitiatorStream, StreamState } from "../stream/initiator-stream.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import type { CapsuleBank } from "./initiator-bank.ts";
import { type HostCommand, Transfer } from "./initiator-command.ts";
import { ResponseReader, type ResponseSink } from "./initiator-reader.ts";
import { DigestFlag, type IcResp, PDU_FORMAT_VERSION } from "./pdu-ic.ts";

/** What a queue needs of whoever opened it. Called in turns; must not throw. */
export interface QueueHost {
  readonly reactor: Reactor;
  /** It is initialized: commands may be submitted, Connect first. */
  ready(queue: InitiatorQueue): void;
  /** The command has its answer, and its memory is in nobody's use. Hot path. */
  ended(command: HostCommand): void;
  /** It is about to end: nothing is submitted to it any more. */
  failing(queue: InitiatorQueue): void;
  /** Nothing is in flight any more; `takeCommands` gives what has no answer. Called once. */
  closed(queue: InitiatorQueue): void;
}

export interface QueueParts {
  readonly host: QueueHost;
  /** 0: the admin queue. */
  readonly qid: number;
  readonly stream: ByteStream;
  /** The connection takes over its reference. */
  readonly window: ReceiveWindow;
  readonly bank: CapsuleBank;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** Entries of the submission queue, 2 to 256: one command less may be outstanding. */
  readonly entries: number;
}

/** Data of a command's own that a capsule of an admin queue, and any Connect, may carry. */
export const ADMIN_CAPSULE_BYTES = 8192;
/** The longest queue that is asked for. */
export const QUEUE_ENTRIES_MAX: number = COMMAND_TABLE_MAX;

/** R2Ts that a command may have outstanding: a controller with small buffers can ask ahead. */
const TRANSFERS_MAX = 4;
/** Command identifiers have 16 bits; with at most 255 commands none is FFFFh, which is reserved. */
const CID_MASK = 0xffff;
/** Data of this length weighs as much as a command. */
const WEIGHT_SHIFT = 16;
/** Ours takes data at any dword. */
const NO_ALIGNMENT = 0;

export class InitiatorQueue
  extends InitiatorStream<HostCommand, CapsuleBank>
  implements ResponseSink
{
  /** Commands submitted and not ended, long ones counted several times. */
  load = 0;
  /** Data up to this length goes in the capsule; the owner's to raise on I/O queues. */
  inCapsuleBytesMax: number = ADMIN_CAPSULE_BYTES;
  readonly qid: number;
  readonly #host: QueueHost;
  readonly #table: CommandTable<HostCommand>;
  readonly #reader: ResponseReader;
  readonly #digests: number;
  #isAsked = false;
  /** Commands that the controller does not have yet, oldest first. */
  #queueFirst: HostCommand | null = null;
  #queueLast: HostCommand | null = null;
  /** Data that the controller waits for, oldest request first. */
  #transferFirst: Transfer | null = null;
  #transferLast: Transfer | null = null;
  #freeTransfers: Transfer | null = null;

  constructor(parts: QueueParts) {
    super({ ...parts, reactor: parts.host.reactor });
    assert(
      parts.entries >= 2 && parts.entries <= QUEUE_ENTRIES_MAX,
      "a queue has 2 to 256 entries",
    );
    this.#host = parts.host;
    this.qid = parts.qid;
    this.#table = new CommandTable<HostCommand>(parts.entries - 1, CID_MASK);
    const header = parts.headerDigest ? DigestFlag.header : 0;
    this.#digests = header | (parts.dataDigest ? DigestFlag.data : 0);
    this.#reader = new ResponseReader({
      slabs: this.reactor.io.slabs,
      window: this.window,
      commands: this.#table,
      sink: this,
      digests: this.#digests,
      transfersMax: TRANSFERS_MAX,
    });
    this.reader = this.#reader;
  }

  override start(): void {
    super.start();
    this.reactor.markDirty(this);
  }

  /** Sends the command, and the one that is fused to it, with the others of this turn. Hot path. */
  submit(command: HostCommand): void {
    assert(this.isUp, "commands are submitted to a queue that is up");
    this.#append(command);
    if (command.fused !== null) this.#append(command.fused);
    this.reactor.markDirty(this);
  }

  /** Takes the commands without an answer out; only when `closed` was said. */
  takeCommands(): HostCommand | null {
    assert(this.state === StreamState.closed, "commands are taken back when nothing is in flight");
    let list = this.#queueFirst;
    this.#queueFirst = null;
    this.#queueLast = null;
    for (let each = this.#table.takeAny(); each !== null; each = this.#table.takeAny()) {
      each.next = list;
      list = each;
    }
    return list;
  }

  initialized(response: IcResp): void {
    this.bank.setForm(response);
    this.state = StreamState.up;
    this.#host.ready(this);
  }

  // hot path
  answered(command: HostCommand): void {
    this.answeredCount++;
    if (command.transfers > 0) this.#dropTransfers(command);
    if (!command.isSending) this.#endCommand(command);
  }

  // hot path
  requested(command: HostCommand, tag: number, offset: number, lengthBytes: number): void {
    const transfer = this.#freeTransfers ?? new Transfer();
    this.#freeTransfers = transfer.next;
    transfer.next = null;
    transfer.command = command;
    transfer.tag = tag;
    transfer.offset = offset;
    transfer.leftBytes = lengthBytes;
    if (this.#transferLast === null) this.#transferFirst = transfer;
    else this.#transferLast.next = transfer;
    this.#transferLast = transfer;
    this.reactor.markDirty(this);
  }

  protected override get outstanding(): number {
    return this.#table.count;
  }

  // hot path
  protected override fill(): void {
    if (!this.#isAsked) {
      this.#isAsked = true;
      const digests = this.#digests;
      const maxR2t = TRANSFERS_MAX - 1;
      const version = PDU_FORMAT_VERSION;
      this.bank.addIcReq({ version, alignment: NO_ALIGNMENT, digests, maxR2t });
    }
    if (this.state !== StreamState.up) return;
    this.#fillTransfers();
    this.#fillCommands();
  }

  protected override violated(text: string): void {
    this.failAfterGoodbye(`the controller breaks the protocol: ${text}`, "protocol");
  }

  protected override addGoodbye(): void {
    const { violation, wrongHeader } = this.#reader;
    if (violation !== null) this.bank.addTermReq(violation, wrongHeader);
  }

  // hot path
  protected override payloadSent(command: HostCommand): void {
    if (command.isAnswered) this.#endCommand(command);
  }

  protected override failing(): void {
    this.#host.failing(this);
  }

  protected override closed(): void {
    this.#host.closed(this);
  }

  // hot path
  #append(command: HostCommand): void {
    this.load += weightOf(command);
    command.next = null;
    command.qid = this.qid;
    if (this.#queueLast === null) this.#queueFirst = command;
    else this.#queueLast.next = command;
    this.#queueLast = command;
  }

  // hot path
  #fillTransfers(): void {
    const { bank } = this;
    for (;;) {
      const transfer = this.#transferFirst;
      if (transfer === null || !bank.hasRoom) return;
      if (!bank.addTransfer(transfer)) continue;
      (transfer.command as HostCommand).transfers--;
      this.#transferFirst = transfer.next;
      if (this.#transferFirst === null) this.#transferLast = null;
      this.#freeTransfer(transfer);
    }
  }

  // hot path
  #fillCommands(): void {
    const { bank } = this;
    for (;;) {
      const command = this.#queueFirst;
      if (command === null || !bank.hasRoom) return;
      // A fused pair goes together, or the controller gives the first one up.
      if (this.#table.room < (command.fused === null ? 1 : 2)) return;
      this.#sendFirst(command);
      if (command.fused !== null) this.#sendFirst(command.fused);
    }
  }

  /** The first command of the queue goes into the bank. Hot path. */
  #sendFirst(command: HostCommand): void {
    this.#queueFirst = command.next;
    if (this.#queueFirst === null) this.#queueLast = null;
    command.next = null;
    command.beginAttempt();
    this.#table.add(command);
    this.bank.addCommand(command, this.inCapsuleBytesMax);
  }

  /** The controller has answered before it had all data: it wants no more of it. */
  #dropTransfers(command: HostCommand): void {
    let last: Transfer | null = null;
    let next: Transfer | null = null;
    for (let each = this.#transferFirst; each !== null; each = next) {
      next = each.next;
      if (each.command !== command) {
        last = each;
        continue;
      }
      if (last === null) this.#transferFirst = next;
      else last.next = next;
      this.#freeTransfer(each);
    }
    this.#transferLast = last;
    command.transfers = 0;
  }

  // hot path
  #freeTransfer(transfer: Transfer): void {
    transfer.command = null;
    transfer.next = this.#freeTransfers;
    this.#freeTransfers = transfer;
  }

  // hot path
  #endCommand(command: HostCommand): void {
    this.#table.remove(command);
    this.load -= weightOf(command);
    if (this.#queueFirst !== null) this.reactor.markDirty(this);
    this.#host.ended(command);
  }
}

// hot path
function weightOf(command: HostCommand): number {
  return command.segments === null ? 1 : 1 + (command.lengthBytes >> WEIGHT_SHIFT);
}
