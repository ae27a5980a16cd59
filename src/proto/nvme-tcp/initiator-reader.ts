/**
 * ResponseReader: reads a controller's PDUs from the receive window, in any split, into the
 * commands that they are about.
 *
 *   header --> ICResp, CapsuleResp, R2T, C2HTermReq --> header
 *      +--> C2HData: padding --> data (copied, or received in place) --> data digest --> header
 *
 * No I/O of its own. A controller is not trusted: whatever does not add up gives the reason and the
 * fatal error status to answer with, and ends the connection.
 *
 * spec: NVMe/TCP 1.0 3.3.1 to 3.3.3, 3.5 "Error processing", 3.6 "PDUs"
 */

import { copyToSegments } from "../../block/segment-copy.ts";
import { crc32cOfSegments } from "../../block/segment-crc32c.ts";
import type { SegmentList } from "../../block/segments.ts";
import type { SlabSpace } from "../../reactor/slab.ts";
import { assert, unreachable } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import { Cqe, decodeCqe } from "../nvme/cqe.ts";
import { NvmeStatus } from "../nvme/status.ts";
import type { CommandTable } from "../stream/command-table.ts";
import type { AnswerReader } from "../stream/initiator-stream.ts";
import type { ReceiveWindow } from "../stream/receive-window.ts";
import {
  COMMON_HEADER_BYTES,
  DATA_ALIGNMENT_MAX,
  decodeCommonHeader,
  decodeTransfer,
  DIGEST_BYTES,
  FatalError,
  fatalErrorText,
  H2C_DATA_BYTES_MIN,
  IC_BYTES,
  PduFlag,
  PduHeader,
  PduType,
  SHORT_HEADER_BYTES,
  TERM_DATA_BYTES_MAX,
  TransferFields,
} from "./common.ts";
import { Direction, type HostCommand } from "./initiator-command.ts";
import { ENTRY_OFFSET } from "./pdu-capsule.ts";
import { decodeIcResp, DigestFlag, type IcResp, PDU_FORMAT_VERSION } from "./pdu-ic.ts";
import { decodeTermReq, type TermReq } from "./pdu-term-req.ts";

/** What a reader tells its connection. Must not end the connection. */
export interface ResponseSink {
  initialized(response: IcResp): void;
  /** The command's answer is complete. Hot path. */
  answered(command: HostCommand): void;
  /** The controller wants data of a write; checked. Hot path. */
  requested(command: HostCommand, tag: number, offset: number, lengthBytes: number): void;
}

export interface ResponseReaderParts {
  readonly slabs: SlabSpace;
  readonly window: ReceiveWindow;
  readonly commands: CommandTable<HostCommand>;
  readonly sink: ResponseSink;
  /** `DigestFlag` bits that were asked for. */
  readonly digests: number;
  /** R2Ts that a command may have outstanding. */
  readonly transfersMax: number;
}

const Step = { header: 0, padding: 1, data: 2, dataDigest: 3 } as const;
type Step = (typeof Step)[keyof typeof Step];

/** No header is longer, with its digest. */
const NEEDED_BYTES = IC_BYTES + TERM_DATA_BYTES_MAX;

export class ResponseReader implements AnswerReader {
  dataLeft = 0;
  dataAt = 0;
  /** What to tell the controller when `read` has found something wrong; null: it is not told. */
  violation: TermReq | null = null;
  /** The header that was wrong. */
  wrongHeader: Uint8Array = new Uint8Array(0);
  readonly #slabs: SlabSpace;
  readonly #window: ReceiveWindow;
  readonly #commands: CommandTable<HostCommand>;
  readonly #sink: ResponseSink;
  readonly #digestsAsked: number;
  readonly #transfersMax: number;
  readonly #header = new PduHeader();
  readonly #fields = new TransferFields();
  readonly #cqe = new Cqe();
  #step: Step = Step.header;
  /** Of the header that was read last, within the window's slab. */
  #headerAt = 0;
  #isInitialized = false;
  #headerDigest = false;
  #dataDigest = false;
  /** What the C2HData PDU under way is for. */
  #command: HostCommand | null = null;
  #paddingLeft = 0;
  #isSuccess = false;
  /** What the controller has done wrong. */
  #failure: string | null = null;

  constructor(parts: ResponseReaderParts) {
    this.#slabs = parts.slabs;
    this.#window = parts.window;
    this.#commands = parts.commands;
    this.#sink = parts.sink;
    this.#digestsAsked = parts.digests;
    this.#transfersMax = parts.transfersMax;
  }

  get dataSegments(): SegmentList | null {
    return this.#step === Step.data ? (this.#command as HostCommand).segments : null;
  }

  get neededBytes(): number {
    return NEEDED_BYTES;
  }

  // hot path
  read(): string | null {
    while (this.#failure === null && this.#next());
    return this.#failure;
  }

  // hot path
  received(length: number): void {
    assert(length <= this.dataLeft, "a receive stays within the data");
    this.dataAt += length;
    this.dataLeft -= length;
    if (this.dataLeft === 0) {
      if (this.#dataDigest) this.#step = Step.dataDigest;
      else this.#endData();
    }
  }

  // hot path
  #next(): boolean {
    const step = this.#step;
    switch (step) {
      case Step.header:
        return this.#readHeader();
      case Step.padding:
        return this.#skipPadding();
      case Step.data:
        return this.#copyData();
      case Step.dataDigest:
        return this.#checkData();
      default:
        return unreachable(step);
    }
  }

  // hot path
  #readHeader(): boolean {
    const window = this.#window;
    if (window.unread < COMMON_HEADER_BYTES) return false;
    const { slab, offset } = window.buffer;
    const at = offset + window.start;
    const header = this.#header;
    this.#headerAt = at;
    decodeCommonHeader(slab.view, at, header);
    const { type } = header;
    if (!this.#isInitialized || type === PduType.c2hTermReq) return this.#readRare(at);
    if (type !== PduType.c2hData && type !== PduType.capsuleResp && type !== PduType.r2t) {
      return this.#fail(FatalError.sequence, 0, `a PDU of type ${type}`);
    }
    if (header.hlen !== SHORT_HEADER_BYTES) {
      return this.#fail(FatalError.invalidHeaderField, 2, `a header of ${header.hlen} bytes`);
    }
    const digestBytes = this.#headerDigest ? DIGEST_BYTES : 0;
    const bytes = SHORT_HEADER_BYTES + digestBytes;
    if (window.unread < bytes) return false;
    if (this.#headerDigest && !this.#isHeaderRight(slab.bytes, slab.view, at)) return false;
    window.start += bytes;
    if (type === PduType.c2hData) return this.#onData(slab.view, at, bytes);
    if (header.plen !== bytes) {
      return this.#fail(FatalError.invalidHeaderField, 4, `a PDU of ${header.plen} bytes`);
    }
    return type === PduType.r2t ? this.#onR2t(slab.view, at) : this.#onResponse(slab.view, at);
  }

  /** spec: NVMe/TCP 1.0 3.3.1.1: nothing of such a PDU can be trusted, not even its length. */
  #isHeaderRight(bytes: Uint8Array, view: DataView, at: number): boolean {
    const stated = view.getUint32(at + SHORT_HEADER_BYTES, true);
    const hasFlag = (this.#header.flags & PduFlag.headerDigest) !== 0;
    if (!hasFlag) {
      return this.#fail(FatalError.invalidHeaderField, 1, "a PDU without its header's digest");
    }
    if (stated === crc32c(bytes, at, SHORT_HEADER_BYTES)) return true;
    return this.#fail(FatalError.headerDigest, stated, "a header with a wrong digest");
  }

  #readRare(at: number): boolean {
    const { type, hlen, plen } = this.#header;
    const window = this.#window;
    const { view } = window.buffer.slab;
    if (type === PduType.c2hTermReq) {
      if (window.unread < SHORT_HEADER_BYTES) return false;
      const { fatalError } = decodeTermReq(view, at);
      this.#failure = `it has ended the connection itself: ${fatalErrorText(fatalError)}`;
      return false;
    }
    if (type !== PduType.icResp) {
      return this.#fail(FatalError.sequence, 0, "what should be an ICResp is none");
    }
    if (hlen !== IC_BYTES || plen !== IC_BYTES) {
      return this.#fail(FatalError.invalidHeaderField, 2, `an ICResp of ${plen} bytes`);
    }
    if (window.unread < IC_BYTES) return false;
    window.start += IC_BYTES;
    return this.#onIcResp(decodeIcResp(view, at));
  }

  #onIcResp(response: IcResp): boolean {
    const { version, alignment, digests, maxH2cDataBytes } = response;
    if (version !== PDU_FORMAT_VERSION) {
      return this.#fail(FatalError.unsupportedParameter, 8, `PDU format ${version}`);
    }
    if (alignment > DATA_ALIGNMENT_MAX || (digests & ~this.#digestsAsked) !== 0) {
      return this.#fail(FatalError.invalidHeaderField, 10, "an ICResp that was not asked for");
    }
    if (maxH2cDataBytes < H2C_DATA_BYTES_MIN) {
      const text = `data in PDUs of ${maxH2cDataBytes} bytes`;
      return this.#fail(FatalError.invalidHeaderField, 12, text);
    }
    this.#headerDigest = (digests & DigestFlag.header) !== 0;
    this.#dataDigest = (digests & DigestFlag.data) !== 0;
    this.#isInitialized = true;
    this.#sink.initialized(response);
    return true;
  }

  // hot path
  #onResponse(view: DataView, at: number): boolean {
    const cqe = this.#cqe;
    decodeCqe(view, at + ENTRY_OFFSET, cqe);
    const command = this.#commands.find(cqe.cid);
    if (command === null) return this.#unknown(ENTRY_OFFSET + 12);
    if (command.status === 0) command.status = cqe.status;
    command.dw0 = cqe.dw0;
    command.dw1 = cqe.dw1;
    return this.#answered(command);
  }

  // hot path
  #onR2t(view: DataView, at: number): boolean {
    const fields = this.#fields;
    decodeTransfer(view, at, fields);
    const command = this.#commands.find(fields.cid);
    if (command === null || command.direction !== Direction.toController) return this.#unknown(8);
    const { offset, lengthBytes } = fields;
    const end = offset + lengthBytes;
    if (lengthBytes === 0 || end > command.lengthBytes || !command.asked.add(offset, end)) {
      return this.#fail(FatalError.dataOutOfRange, 12, "an R2T for data that is not there");
    }
    if (command.transfers >= this.#transfersMax) {
      const text = `more than ${this.#transfersMax} R2Ts for a command`;
      return this.#fail(FatalError.limitExceeded, 0, text);
    }
    command.transfers++;
    this.#sink.requested(command, fields.ttag, offset, lengthBytes);
    return true;
  }

  // hot path
  #onData(view: DataView, at: number, headerBytes: number): boolean {
    const header = this.#header;
    const fields = this.#fields;
    decodeTransfer(view, at, fields);
    const command = this.#commands.find(fields.cid);
    if (command === null || command.direction !== Direction.toHost) return this.#unknown(8);
    const { offset, lengthBytes } = fields;
    const { pdo, flags } = header;
    const digestBytes = this.#dataDigest ? DIGEST_BYTES : 0;
    if (pdo < headerBytes || pdo + lengthBytes + digestBytes !== header.plen) {
      return this.#fail(FatalError.invalidHeaderField, 3, "data with lengths that do not add up");
    }
    if (this.#dataDigest !== ((flags & PduFlag.dataDigest) !== 0)) {
      return this.#fail(FatalError.invalidHeaderField, 1, "data with, or without, a digest");
    }
    const end = offset + lengthBytes;
    if (lengthBytes === 0 || end > command.lengthBytes || !command.coverage.add(offset, end)) {
      return this.#fail(FatalError.dataOutOfRange, 12, "data outside of the memory for it");
    }
    this.#isSuccess = (flags & PduFlag.success) !== 0;
    if (this.#isSuccess && (flags & PduFlag.last) === 0) {
      return this.#fail(FatalError.invalidHeaderField, 1, "success before the last data");
    }
    this.#command = command;
    this.dataAt = command.segmentStart + offset;
    this.dataLeft = lengthBytes;
    this.#paddingLeft = pdo - headerBytes;
    this.#step = this.#paddingLeft > 0 ? Step.padding : Step.data;
    return true;
  }

  #skipPadding(): boolean {
    const window = this.#window;
    const skipped = Math.min(window.unread, this.#paddingLeft);
    window.start += skipped;
    this.#paddingLeft -= skipped;
    if (this.#paddingLeft > 0) return false;
    this.#step = Step.data;
    return true;
  }

  // hot path
  #copyData(): boolean {
    const window = this.#window;
    const length = Math.min(window.unread, this.dataLeft);
    if (length === 0) return false;
    const { slab, offset } = window.buffer;
    const { segments } = this.#command as HostCommand; // data under way has its command
    assert(segments !== null, "a read has memory for its data");
    const from = offset + window.start;
    copyToSegments(this.#slabs, segments, this.dataAt, slab.bytes, from, length);
    window.start += length;
    this.received(length);
    return true;
  }

  // hot path
  #checkData(): boolean {
    const window = this.#window;
    if (window.unread < DIGEST_BYTES) return false;
    const { slab, offset } = window.buffer;
    const stated = slab.view.getUint32(offset + window.start, true);
    window.start += DIGEST_BYTES;
    const command = this.#command as HostCommand; // data under way has its command
    const { segments } = command;
    assert(segments !== null, "a read has memory for its data");
    const { lengthBytes } = this.#fields;
    const start = this.dataAt - lengthBytes;
    const digest = crc32cOfSegments(this.#slabs, segments, start, lengthBytes);
    // spec: NVMe/TCP 1.0 3.3.1.2: the command fails, the connection goes on.
    if (digest !== stated) command.status = NvmeStatus.transientTransportError;
    this.#endData();
    return true;
  }

  // hot path
  #endData(): void {
    const command = this.#command as HostCommand; // data under way has its command
    this.#step = Step.header;
    this.#command = null;
    if (this.#isSuccess) this.#answered(command);
  }

  // hot path
  #answered(command: HostCommand): boolean {
    if (
      command.status === 0 &&
      command.direction === Direction.toHost &&
      !command.mayBeShort &&
      !command.coverage.covers(0, command.lengthBytes)
    ) {
      return this.#fail(FatalError.sequence, 0, "the end of a read before all of its data");
    }
    command.isAnswered = true;
    this.#sink.answered(command);
    return true;
  }

  #unknown(field: number): false {
    return this.#fail(FatalError.invalidHeaderField, field, "an answer to no command of ours");
  }

  #fail(fatalError: FatalError, information: number, text: string): false {
    this.#failure = text;
    this.violation = { fatalError, information };
    const at = this.#headerAt;
    this.wrongHeader = this.#window.buffer.slab.bytes.slice(at, at + SHORT_HEADER_BYTES);
    return false;
  }
}
