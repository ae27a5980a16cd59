/**
 * CapsuleBank: the PDUs of one send of an initiator: commands with or without their data, data that
 * was asked for, and the goodbye of one that found a fatal error.
 *
 * spec: NVMe/TCP 1.0 3.6.2.6 CapsuleCmd, 3.6.2.8 H2CData, 3.6.2.4 H2CTermReq, 3.3.1 digests
 */

import { crc32cOfSegments } from "../../block/segment-crc32c.ts";
import type { SegmentList } from "../../block/segments.ts";
import type { Io } from "../../reactor/io.ts";
import { crc32c } from "../../util/crc32c.ts";
import { SglType } from "../nvme/constants.ts";
import { encodeSqe } from "../nvme/sqe.ts";
import { InitiatorBank } from "../stream/initiator-bank.ts";
import {
  CAPSULE_CMD_BYTES,
  DIGEST_BYTES,
  IC_BYTES,
  PduFlag,
  PduType,
  SHORT_HEADER_BYTES,
  TERM_DATA_BYTES_MAX,
} from "./common.ts";
import { Direction, type HostCommand, type Transfer } from "./initiator-command.ts";
import { encodeCapsuleCmd, ENTRY_OFFSET } from "./pdu-capsule.ts";
import { encodeH2cData } from "./pdu-data.ts";
import { DigestFlag, encodeIcReq, type IcReq, type IcResp } from "./pdu-ic.ts";
import { encodeTermReq, type TermReq } from "./pdu-term-req.ts";

/** Headers of one PDU with the widest padding, and both digests. */
const PDU_HEADER_BYTES_MAX = 256;

export class CapsuleBank extends InitiatorBank<HostCommand> {
  readonly #slabs: Io["slabs"];
  /** `PduFlag` bits of the digests in use. */
  #digests = 0;
  #alignmentBytes = 4;
  #dataBytesMax = 0;

  constructor(io: Io) {
    super(io);
    this.#slabs = io.slabs;
  }

  /** From now on PDUs are as the controller wants them. */
  setForm({ digests, alignment, maxH2cDataBytes }: IcResp): void {
    const header = (digests & DigestFlag.header) === 0 ? 0 : PduFlag.headerDigest;
    this.#digests = header | ((digests & DigestFlag.data) === 0 ? 0 : PduFlag.dataDigest);
    this.#alignmentBytes = (alignment + 1) * 4;
    // Data is sent in whole dwords, but for its end.
    this.#dataBytesMax = maxH2cDataBytes - (maxH2cDataBytes % 4);
  }

  /** True while any one PDU, or a fused pair, still fits. Hot path. */
  get hasRoom(): boolean {
    return this.hasRoomFor(2 * PDU_HEADER_BYTES_MAX);
  }

  addIcReq(fields: IcReq): void {
    this.used += encodeIcReq(this.slab.view, this.used, fields);
  }

  /** Adds a command; its data too if it goes to the controller and is short enough. Hot path. */
  addCommand(command: HostCommand, inCapsuleBytesMax: number): void {
    const { sqe, segments, lengthBytes } = command;
    const isInCapsule =
      command.direction === Direction.toController && lengthBytes <= inCapsuleBytesMax;
    sqe.cid = command.cookie;
    sqe.sglOffset = 0;
    sqe.sglLength = lengthBytes;
    sqe.sglType = isInCapsule ? SglType.dataBlockOffset : SglType.transportDataBlock;
    const at = this.used;
    const { view } = this.slab;
    const alignment = this.#alignmentBytes;
    const inline = isInCapsule ? lengthBytes : 0;
    const end = encodeCapsuleCmd(view, at, this.#digests, alignment, inline);
    encodeSqe(view, at + ENTRY_OFFSET, sqe);
    this.#endHeader(at, CAPSULE_CMD_BYTES, end);
    if (!isInCapsule || segments === null) return;
    this.#addData(command, segments, command.segmentStart, lengthBytes);
  }

  /** Adds the next data of a transfer. @returns true when that was the last. Hot path. */
  addTransfer(transfer: Transfer): boolean {
    const command = transfer.command as HostCommand; // a transfer in use has one
    const { offset, tag } = transfer;
    const length = Math.min(transfer.leftBytes, this.#dataBytesMax);
    const isLast = length === transfer.leftBytes;
    const flags = this.#digests | (isLast ? PduFlag.last : 0);
    const at = this.used;
    const { view } = this.slab;
    const alignment = this.#alignmentBytes;
    const end = encodeH2cData(view, at, flags, alignment, command.cookie, tag, offset, length);
    this.#endHeader(at, SHORT_HEADER_BYTES, end);
    const segments = command.segments as SegmentList; // only data that is there was asked for
    this.#addData(command, segments, command.segmentStart + offset, length);
    transfer.offset += length;
    transfer.leftBytes -= length;
    return isLast;
  }

  /** Adds the last PDU of the connection. */
  addTermReq(fields: TermReq, wrong: Uint8Array): void {
    if (!this.hasRoomFor(SHORT_HEADER_BYTES + TERM_DATA_BYTES_MAX + IC_BYTES)) return;
    this.used += encodeTermReq(this.slab.view, this.used, PduType.h2cTermReq, fields, wrong);
  }

  /** Behind a header of `headerBytes` at `at`: its digest, and zeroes up to `end`. Hot path. */
  #endHeader(at: number, headerBytes: number, end: number): void {
    const { bytes, view } = this.slab;
    let from = at + headerBytes;
    if ((this.#digests & PduFlag.headerDigest) !== 0) {
      view.setUint32(from, crc32c(bytes, at, headerBytes), true);
      from += DIGEST_BYTES;
    }
    if (from < at + end) bytes.fill(0, from, at + end);
    this.used = at + end;
  }

  // hot path
  #addData(command: HostCommand, segments: SegmentList, start: number, length: number): void {
    this.pushData(command, segments, start, length);
    if ((this.#digests & PduFlag.dataDigest) === 0) return;
    const digest = crc32cOfSegments(this.#slabs, segments, start, length);
    this.slab.view.setUint32(this.used, digest, true);
    this.used += DIGEST_BYTES;
  }
}
