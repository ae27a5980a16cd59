/**
 * TargetReplies: PDUs for the host, in the order in which they became ready, written into banks as
 * there is room.
 *
 * Headers that follow each other are one range of the send; data is added where it lies. What finds
 * no room waits in a list, so that nothing is lost and order is kept.
 */

import { crc32cOfSegments } from "../../block/segment-crc32c.ts";
import type { Io } from "../../reactor/io.ts";
import { crc32c } from "../../util/crc32c.ts";
import { encodeCqe } from "../nvme/cqe.ts";
import { CommandKind, type NvmeCommand, ReplyKind } from "../nvme/io-command.ts";
import type { SendBank, SendBankPool } from "../stream/send-bank.ts";
import { DIGEST_BYTES, PduFlag, PduType, SHORT_HEADER_BYTES } from "./common.ts";
import { encodeCapsuleResp, ENTRY_OFFSET } from "./pdu-capsule.ts";
import { encodeC2hData } from "./pdu-data.ts";
import { encodeIcResp, type IcResp } from "./pdu-ic.ts";
import { encodeR2t } from "./pdu-r2t.ts";
import { encodeTermReq, type TermReq } from "./pdu-term-req.ts";
import type { TargetSession } from "./target-session.ts";

/** What completions say of the submission queue. */
export interface QueueHead {
  /** SQHD of a completion written now. */
  readonly sqHead: number;
  /** Reads may end with the SUCCESS flag instead of a completion. */
  readonly usesSuccess: boolean;
}

export class TargetReplies {
  readonly #io: Io;
  readonly #banks: SendBankPool<NvmeCommand>;
  readonly #session: TargetSession;
  readonly #head: QueueHead;
  readonly #onReady: () => void;
  #filling: SendBank<NvmeCommand> | null = null;
  /** Headers from here on are written in `#filling` but not among its ranges. */
  #unpushed = 0;
  #first: NvmeCommand | null = null;
  #last: NvmeCommand | null = null;

  /** @param onReady there is something to send */
  constructor(
    io: Io,
    banks: SendBankPool<NvmeCommand>,
    session: TargetSession,
    head: QueueHead,
    onReady: () => void,
  ) {
    this.#io = io;
    this.#banks = banks;
    this.#session = session;
    this.#head = head;
    this.#onReady = onReady;
  }

  get isEmpty(): boolean {
    return this.#filling === null && this.#first === null;
  }

  /** Sends what `command.reply` says. Hot path. */
  post(command: NvmeCommand): void {
    if (this.#first !== null || this.#bank() === null) this.#append(command);
    else this.#write(command);
  }

  postIcResp(fields: IcResp): void {
    const bank = this.#ownBank();
    bank.used += encodeIcResp(bank.view, bank.used, fields);
    this.#onReady();
  }

  /** The last thing that is said; nothing else is waiting. */
  postTermReq(fields: TermReq, wrong: Uint8Array): void {
    const bank = this.#ownBank();
    bank.used += encodeTermReq(bank.view, bank.used, PduType.c2hTermReq, fields, wrong);
    this.#onReady();
  }

  /** The bank to send now, or null; the caller gives it back to the pool. Hot path. */
  takeBank(): SendBank<NvmeCommand> | null {
    const bank = this.#filling;
    if (bank === null) return null;
    this.#pushHeaders(bank);
    this.#filling = null;
    return bank;
  }

  /** Writes what waited, now that a bank is free again. */
  refill(): void {
    while (this.#first !== null && this.#bank() !== null) {
      const command = this.#first;
      this.#first = command.nextReply;
      if (this.#first === null) this.#last = null;
      command.nextReply = null;
      this.#write(command);
    }
  }

  /** Takes a request for data out again, if it waits. */
  forget(command: NvmeCommand): void {
    let before: NvmeCommand | null = null;
    for (let other = this.#first; other !== null; other = other.nextReply) {
      if (other === command) {
        if (before === null) this.#first = command.nextReply;
        else before.nextReply = command.nextReply;
        if (this.#last === command) this.#last = before;
        command.nextReply = null;
        return;
      }
      before = other;
    }
  }

  /** Gives up everything unsent; each command goes to `drop`. */
  abandon(drop: (command: NvmeCommand) => void): void {
    const bank = this.#filling;
    const lists = [this.#first, bank?.commands ?? null];
    this.#filling = null;
    this.#first = null;
    this.#last = null;
    if (bank !== null) this.#banks.give(bank);
    for (const list of lists) dropList(list, drop);
  }

  // hot path
  #write(command: NvmeCommand): void {
    const bank = this.#filling as SendBank<NvmeCommand>; // #bank() was not null
    if (command.reply === ReplyKind.request) {
      // The command is not the bank's: its data may come before the send has ended.
      this.#writeR2t(bank, command);
      this.#onReady();
      return;
    }
    if (command.reply === ReplyKind.data) this.#writeData(bank, command);
    else this.#writeCompletion(bank, command);
    command.nextReply = bank.commands;
    bank.commands = command;
    this.#onReady();
  }

  // hot path
  #writeCompletion(bank: SendBank<NvmeCommand>, command: NvmeCommand): void {
    const { view, used } = bank;
    const { headerDigest } = this.#session;
    const length = encodeCapsuleResp(view, used, headerDigest);
    const { dw0, dw1, cid, answer } = command;
    encodeCqe(view, used + ENTRY_OFFSET, dw0, dw1, this.#head.sqHead, 0, cid, answer);
    if (headerDigest) this.#digestHeader(bank, used);
    bank.used = used + length;
  }

  // hot path
  #writeData(bank: SendBank<NvmeCommand>, command: NvmeCommand): void {
    const { view, used } = bank;
    const { headerDigest, dataDigest, alignmentBytes } = this.#session;
    const { doneBytes, partBytes, isLastPart } = command;
    const isSuccess = isLastPart && this.#head.usesSuccess && command.kind === CommandKind.read;
    let flags = isLastPart ? PduFlag.last : 0;
    if (isSuccess) flags |= PduFlag.success;
    if (headerDigest) flags |= PduFlag.headerDigest;
    if (dataDigest) flags |= PduFlag.dataDigest;
    const pdo = encodeC2hData(view, used, flags, alignmentBytes, command.cid, doneBytes, partBytes);
    if (pdo > SHORT_HEADER_BYTES) this.#finishHeader(bank, used, pdo);
    bank.used = used + pdo;
    this.#pushHeaders(bank);
    bank.pushData(this.#io, command.segments, 0, partBytes);
    if (dataDigest) {
      const digest = crc32cOfSegments(this.#io.slabs, command.segments, 0, partBytes);
      view.setUint32(bank.used, digest, true);
      bank.used += DIGEST_BYTES;
    }
    if (isLastPart && !isSuccess) this.#writeCompletion(bank, command);
  }

  #writeR2t(bank: SendBank<NvmeCommand>, command: NvmeCommand): void {
    const { view, used } = bank;
    const { headerDigest } = this.#session;
    const { cid, transferTag, doneBytes, partBytes } = command;
    const length = encodeR2t(view, used, headerDigest, cid, transferTag, doneBytes, partBytes);
    if (headerDigest) this.#digestHeader(bank, used);
    bank.used = used + length;
  }

  /** The digest, and zeroes up to the data. */
  #finishHeader(bank: SendBank<NvmeCommand>, at: number, pdo: number): void {
    for (let pad = SHORT_HEADER_BYTES; pad < pdo; pad += 4) bank.view.setInt32(at + pad, 0, true);
    if (this.#session.headerDigest) this.#digestHeader(bank, at);
  }

  #digestHeader(bank: SendBank<NvmeCommand>, at: number): void {
    const digest = crc32c(bank.slab.bytes, at, SHORT_HEADER_BYTES);
    bank.view.setUint32(at + SHORT_HEADER_BYTES, digest, true);
  }

  // hot path
  #pushHeaders(bank: SendBank<NvmeCommand>): void {
    const from = this.#unpushed;
    const length = bank.used - from;
    if (length === 0) return;
    bank.vector.push(bank.slab, from, length);
    this.#unpushed = bank.used;
  }

  /** The bank to write to, or null when it is full. Hot path. */
  #bank(): SendBank<NvmeCommand> | null {
    let bank = this.#filling;
    if (bank === null) {
      bank = this.#banks.take();
      this.#filling = bank;
      this.#unpushed = 0;
    }
    return bank.hasRoom ? bank : null;
  }

  /** Before there are commands, or when all have been given up. */
  #ownBank(): SendBank<NvmeCommand> {
    const bank = this.#bank();
    return bank as SendBank<NvmeCommand>; // an empty one has room
  }

  #append(command: NvmeCommand): void {
    if (this.#last === null) this.#first = command;
    else this.#last.nextReply = command;
    this.#last = command;
  }
}

/** Walks a list of replies, unlinking each command before it is handed over. */
export function dropList(list: NvmeCommand | null, drop: (command: NvmeCommand) => void): void {
  for (let command = list; command !== null; ) {
    const next: NvmeCommand | null = command.nextReply;
    command.nextReply = null;
    drop(command);
    command = next;
  }
}
