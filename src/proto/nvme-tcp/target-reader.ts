/**
 * TargetReader: the parser of what a host sends: PDU after PDU, each checked before it is believed.
 *
 *   window --header there, right (pdu-checks.ts)--> capsule --data there--> queue
 *     |                                        \--> H2CData --data received into its command
 *     +--wrong--> C2HTermReq with the field's offset, and the end of the connection
 *
 * Owned by one connection. A capsule's data is used where it lies in the window; a large one, or
 * one for which the window cannot grow, gets a buffer of its own.
 *
 * spec: NVMe/TCP 1.0 3.3, 3.6
 */

import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { decodeSqe } from "../nvme/sqe.ts";
import type { NvmeCommand } from "../nvme/io-command.ts";
import type { Payload } from "../stream/payload.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import {
  CAPSULE_CMD_BYTES,
  COMMON_HEADER_BYTES,
  decodeTransfer,
  DIGEST_BYTES,
  FatalError,
  IC_BYTES,
  PduFlag,
  PduType,
  SHORT_HEADER_BYTES,
  TERM_DATA_BYTES_MAX,
  TransferFields,
} from "./common.ts";
import { ENTRY_OFFSET } from "./pdu-capsule.ts";
import { PduChecks, PduField } from "./pdu-checks.ts";
import { decodeIcReq, DigestFlag, PDU_FORMAT_VERSION } from "./pdu-ic.ts";
import { decodeTermReq } from "./pdu-term-req.ts";
import type { TargetLink } from "./target-link.ts";
import type { TargetQueue } from "./target-queue.ts";
import { MAX_H2C_DATA_BYTES, type TargetSession } from "./target-session.ts";

/** What the parser wants before it can go on. */
export const Want = {
  /** More bytes: `neededBytes` from the window's start on. */
  bytes: 0,
  /** Memory, or the end of a command in flight: receive nothing. */
  room: 1,
  /** Nothing: the host is done, or broke the protocol. */
  nothing: 2,
} as const;
export type Want = (typeof Want)[keyof typeof Want];

/** A capsule up to this long is used where it was received, not given a buffer of its own. */
const IN_PLACE_BYTES_MAX = 16 * 1024;

export class TargetReader {
  /** With `Want.bytes`: this many bytes from the window's start are needed in all. */
  neededBytes = COMMON_HEADER_BYTES;
  /** Commands begun so far. */
  commandCount = 0;
  /** When data by R2T last came, on the reactor's clock. */
  dataMs = 0;
  readonly #link: TargetLink;
  readonly #window: ReceiveWindow;
  readonly #queue: TargetQueue;
  readonly #session: TargetSession;
  readonly #payload: Payload<NvmeCommand>;
  readonly #checks: PduChecks;
  readonly #fields = new TransferFields();
  /** The command whose digest follows its data, which has all been received. */
  #digested: NvmeCommand | null = null;
  /** Of the data just received: where its digest is counted from. */
  #digestAt = 0;
  #dataBytes = 0;
  /** What is being received is a capsule's data, not an H2CData's. */
  #isCapsule = false;
  #done = false;
  /** There is no memory for a larger window: the next capsule gets a buffer of its own. */
  #ownBuffer = false;

  constructor(
    link: TargetLink,
    queue: TargetQueue,
    session: TargetSession,
    payload: Payload<NvmeCommand>,
  ) {
    this.#link = link;
    this.#window = link.window;
    this.#queue = queue;
    this.#session = session;
    this.#checks = new PduChecks(link, session);
    this.#payload = payload;
  }

  /** Begins every command that is there and for which there is room. Hot path. */
  parse(nowMs: number): Want {
    this.#queue.nowMs = nowMs;
    if (!this.#queue.isInTime(nowMs)) return Want.nothing;
    for (;;) {
      if (this.#done) return Want.nothing;
      const want = this.#payload.isUnderWay
        ? this.#payloadWant()
        : this.#digested === null
          ? this.#next()
          : this.#checkDigest();
      if (want !== null) return want;
    }
  }

  /**
   * The window cannot become large enough for the capsule that waits in it: gives its data a buffer
   * of its own, which the reserve may have. @returns false when that was tried already
   */
  useOwnBuffer(): boolean {
    if (this.#ownBuffer) return false;
    this.#ownBuffer = true;
    return true;
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#done = true;
  }

  /** The command whose data is being received, or its digest. */
  get arriving(): NvmeCommand | null {
    return this.#payload.command ?? this.#digested;
  }

  /** No receive is in flight or follows: what was arriving is not done. */
  abandonPayload(): void {
    const command = this.#payload.isUnderWay ? this.#payload.end() : this.#digested;
    this.#digested = null;
    if (command === null) return;
    if (this.#isCapsule) this.#queue.commands.give(command);
    else this.#queue.abandonTransfer(command);
  }

  /** One PDU: null when there may be more to do at once. Hot path. */
  #next(): Want | null {
    const window = this.#window;
    const unread = window.end - window.start;
    if (unread < COMMON_HEADER_BYTES) return this.#wantBytes(COMMON_HEADER_BYTES);
    const { slab, offset } = window.buffer;
    const at = offset + window.start;
    const word = slab.view.getInt32(at, true);
    const type = word & 0xff;
    if (!this.#session.isInitialized) return this.#initialize(slab.view, at, word, unread);
    if (type === PduType.capsuleCmd) return this.#capsule(slab.view, at, word, unread);
    if (type === PduType.h2cData) return this.#h2cData(slab.view, at, word, unread);
    return this.#other(slab.view, at, word, unread);
  }

  // hot path
  #capsule(view: DataView, at: number, word: number, unread: number): Want | null {
    const { headerDigest, dataDigest } = this.#session;
    const headerEnd = headerDigest ? CAPSULE_CMD_BYTES + DIGEST_BYTES : CAPSULE_CMD_BYTES;
    if (unread < headerEnd) return this.#wantHeader(view, at, headerEnd);
    if (!this.#checks.isHeader(view, at, word, CAPSULE_CMD_BYTES)) return this.#broken();
    const plen = view.getUint32(at + PduField.plen, true);
    let dataAt = headerEnd;
    let dataBytes = 0;
    if (plen !== headerEnd) {
      dataAt = word >>> 24;
      dataBytes = plen - dataAt - (dataDigest ? DIGEST_BYTES : 0);
      if (dataBytes > this.#queue.capsuleDataBytesMax) {
        return this.#refuse(FatalError.invalidHeaderField, PduField.plen, at, "too long a capsule");
      }
      if (!this.#checks.isDataPlace(at, word, headerEnd, plen, dataBytes)) return this.#broken();
    }
    const { commands } = this.#queue;
    if (commands.inFlight >= this.#queue.commandsMax) return Want.room;
    if (unread < plen) {
      if (plen > IN_PLACE_BYTES_MAX || this.#ownBuffer) {
        return this.#receiveCapsule(view, at, dataAt, dataBytes, unread);
      }
      return this.#wantBytes(plen);
    }
    const command = commands.take();
    decodeSqe(view, at + ENTRY_OFFSET, this.#queue.sqe);
    this.#ownBuffer = false;
    if (dataDigest && dataBytes > 0 && !this.#checks.isIntact(view, at + dataAt, dataBytes)) {
      this.#queue.spoiledCapsule(command);
    } else if (!this.#queue.capsule(command, this.#window.buffer, at + dataAt, dataBytes)) {
      commands.give(command);
      this.#done = true;
      return Want.nothing;
    }
    this.commandCount++;
    this.#window.start += plen;
    return null;
  }

  /** The capsule's data goes into a buffer of its own, as it comes. */
  #receiveCapsule(
    view: DataView,
    at: number,
    dataAt: number,
    dataBytes: number,
    unread: number,
  ): Want | null {
    if (unread < dataAt) return this.#wantBytes(dataAt);
    const { commands } = this.#queue;
    // Data of commands that hold memory may be behind it in the stream: it must not wait for them.
    const buffer = commands.memory.acquireBeyond(dataBytes);
    if (buffer === null) return Want.room;
    const command = commands.take();
    decodeSqe(view, at + ENTRY_OFFSET, this.#queue.sqe);
    command.buffer = buffer;
    this.#ownBuffer = false;
    this.#isCapsule = true;
    this.commandCount++;
    this.#window.start += dataAt;
    this.#receive(command, buffer, 0, dataBytes);
    return null;
  }

  // hot path
  #h2cData(view: DataView, at: number, word: number, unread: number): Want | null {
    const { headerDigest, dataDigest } = this.#session;
    const headerEnd = headerDigest ? SHORT_HEADER_BYTES + DIGEST_BYTES : SHORT_HEADER_BYTES;
    if (unread < headerEnd) return this.#wantHeader(view, at, headerEnd);
    if (!this.#checks.isHeader(view, at, word, SHORT_HEADER_BYTES)) return this.#broken();
    const fields = this.#fields;
    decodeTransfer(view, at, fields);
    const plen = view.getUint32(at + PduField.plen, true);
    const dataAt = word >>> 24;
    const dataBytes = plen - dataAt - (dataDigest ? DIGEST_BYTES : 0);
    if (!this.#checks.isDataPlace(at, word, headerEnd, plen, dataBytes)) return this.#broken();
    if (dataBytes !== fields.lengthBytes) {
      return this.#refuse(
        FatalError.invalidHeaderField,
        PduField.plen,
        at,
        "PLEN and DATAL differ",
      );
    }
    const command = this.#queue.transfers.find(fields.ttag);
    const isLast = ((word >>> 8) & PduFlag.last) !== 0;
    if (!this.#checks.isTransfer(fields, command, isLast, at)) return this.#broken();
    if (unread < dataAt) return this.#wantBytes(dataAt);
    const buffer = command.buffer ?? command.partner?.buffer ?? null;
    assert(buffer !== null, "data is asked for when there is memory for it");
    this.#isCapsule = false;
    this.#window.start += dataAt;
    this.#receive(command, buffer, command.bufferOffset + command.receivedBytes, dataBytes);
    return null;
  }

  // hot path
  #receive(command: NvmeCommand, buffer: PoolBuffer, offset: number, dataBytes: number): void {
    this.#dataBytes = dataBytes;
    this.#digestAt = offset;
    command.transferMs = this.#queue.nowMs;
    this.#payload.begin(this.#window, { command, buffer, offset, wantedBytes: dataBytes });
    if (!this.#payload.isComplete) this.#window.shrink();
  }

  /** The payload under way: complete, or waiting for bytes. */
  #payloadWant(): Want | null {
    this.dataMs = this.#queue.nowMs;
    if (!this.#payload.isComplete) return this.#wantBytes(1);
    const { buffer } = this.#payload;
    const command = this.#payload.end();
    if (!this.#session.dataDigest) {
      this.#received(command, buffer as PoolBuffer); // a payload under way has its buffer
      return null;
    }
    this.#digested = command;
    return null;
  }

  /** All data of the PDU is there; its digest may not be. */
  #checkDigest(): Want | null {
    const window = this.#window;
    if (window.unread < DIGEST_BYTES) return this.#wantBytes(DIGEST_BYTES);
    const command = this.#digested as NvmeCommand; // the caller has looked
    const buffer = (command.buffer ?? command.partner?.buffer) as PoolBuffer; // it has received
    this.#digested = null;
    const { slab, offset } = window.buffer;
    const digest = slab.view.getUint32(offset + window.start, true);
    window.start += DIGEST_BYTES;
    const from = buffer.offset + this.#digestAt;
    const isIntact = crc32c(buffer.slab.bytes, from, this.#dataBytes) === digest;
    if (isIntact) {
      this.#received(command, buffer);
    } else if (this.#isCapsule) {
      this.#queue.spoiledCapsule(command);
    } else {
      this.#queue.spoilPart(command);
      this.#received(command, buffer);
    }
    return null;
  }

  // hot path
  #received(command: NvmeCommand, buffer: PoolBuffer): void {
    if (this.#isCapsule) {
      if (this.#queue.capsule(command, buffer, buffer.offset, this.#dataBytes)) return;
      // Its bytes have left the window: there is nothing to hand over any more.
      this.#queue.commands.give(command);
      this.#link.fail("no memory for a Connect that another reactor is to get as a whole");
      return;
    }
    command.receivedBytes += this.#dataBytes;
    if (command.receivedBytes === command.partBytes) this.#queue.partArrived(command);
  }

  /** What is shorter than its header is told at once: the rest would never come. */
  #wantHeader(view: DataView, at: number, headerEnd: number): Want {
    if (view.getUint32(at + PduField.plen, true) >= headerEnd) return this.#wantBytes(headerEnd);
    return this.#refuse(FatalError.invalidHeaderField, PduField.plen, at, "a wrong PLEN");
  }

  /** ICReq comes first. spec: NVMe/TCP 1.0 3.1 */
  #initialize(view: DataView, at: number, word: number, unread: number): Want | null {
    const type = word & 0xff;
    if (type === PduType.h2cTermReq) return this.#termReq(view, at, unread);
    if (type !== PduType.icReq) {
      return this.#refuse(FatalError.sequence, PduField.type, at, "no ICReq");
    }
    if (!this.#checks.isIcHeader(view, at, word)) return this.#broken();
    if (unread < IC_BYTES) return this.#wantBytes(IC_BYTES);
    const { version, alignment, digests } = decodeIcReq(view, at);
    if (!this.#checks.isIcOffer(at, version, alignment)) return this.#broken();
    const session = this.#session;
    session.isInitialized = true;
    session.headerDigest = (digests & DigestFlag.header) !== 0;
    session.dataDigest = (digests & DigestFlag.data) !== 0;
    session.alignmentBytes = (alignment + 1) * 4;
    this.#window.start += IC_BYTES;
    this.#queue.replies.postIcResp({
      version: PDU_FORMAT_VERSION,
      alignment: 0,
      digests: digests & (DigestFlag.header | DigestFlag.data),
      maxH2cDataBytes: MAX_H2C_DATA_BYTES,
    });
    return null;
  }

  #other(view: DataView, at: number, word: number, unread: number): Want | null {
    const { invalidHeaderField, sequence } = FatalError;
    switch (word & 0xff) {
      case PduType.h2cTermReq:
        return this.#termReq(view, at, unread);
      case PduType.icReq:
        return this.#refuse(sequence, PduField.type, at, "a second ICReq");
      default:
        return this.#refuse(invalidHeaderField, PduField.type, at, `a PDU of type ${word & 0xff}`);
    }
  }

  /** The host's last word. A wrong one is no less so: it is not answered. */
  #termReq(view: DataView, at: number, unread: number): Want | null {
    const plen = view.getUint32(at + PduField.plen, true);
    const isRight = plen >= SHORT_HEADER_BYTES && plen <= SHORT_HEADER_BYTES + TERM_DATA_BYTES_MAX;
    if (isRight && unread < plen) return this.#wantBytes(plen);
    this.#done = true;
    this.#link.terminated(isRight ? decodeTermReq(view, at).fatalError : 0);
    return Want.nothing;
  }

  #wantBytes(count: number): Want {
    this.neededBytes = count;
    return Want.bytes;
  }

  #refuse(fatalError: FatalError, information: number, at: number, what: string): Want {
    this.#checks.refuse(fatalError, information, at, what);
    return this.#broken();
  }

  /** The host has been told what is wrong: nothing more is read. */
  #broken(): Want {
    this.#done = true;
    return Want.nothing;
  }
}
