/**
 * What a host says in NVMe/TCP, as bytes, and what a controller has said, taken apart. For tests:
 * small, not fast; every PDU that comes is checked for its lengths, its flags and its digests.
 */

import assert from "node:assert/strict";
import { CONNECT_DATA_BYTES, encodeConnect, encodeConnectData } from "../proto/nvme/connect.ts";
import { AdminOpcode, FabricsType, Psdt, SglType } from "../proto/nvme/constants.ts";
import { Cqe, decodeCqe } from "../proto/nvme/cqe.ts";
import { encodeSqe, Sqe } from "../proto/nvme/sqe.ts";
import {
  CAPSULE_CMD_BYTES,
  DIGEST_BYTES,
  dataOffset,
  decodeCommonHeader,
  decodeTransfer,
  PduFlag,
  PduHeader,
  PduType,
  SHORT_HEADER_BYTES,
  TransferFields,
} from "../proto/nvme-tcp/common.ts";
import { encodeCapsuleCmd } from "../proto/nvme-tcp/pdu-capsule.ts";
import { encodeH2cData } from "../proto/nvme-tcp/pdu-data.ts";
import { decodeIcResp, encodeIcReq, type IcReq, type IcResp } from "../proto/nvme-tcp/pdu-ic.ts";
import { decodeTermReq, type TermReq } from "../proto/nvme-tcp/pdu-term-req.ts";
import { crc32c } from "../util/crc32c.ts";

export interface PduForm {
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
}

export interface CommandParts {
  readonly opcode: number;
  readonly cid: number;
  readonly nsid?: number;
  readonly fuse?: number;
  readonly psdt?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  /** Data in the capsule. */
  readonly data?: Uint8Array;
  /** Without data in the capsule: bytes to be transferred. */
  readonly transferBytes?: number;
  /** Instead of what follows from the above. */
  readonly sglType?: number;
  readonly sglOffset?: number;
}

/** One PDU from the controller. */
export type Incoming =
  | { readonly kind: "ic"; readonly fields: IcResp }
  | { readonly kind: "response"; readonly cqe: Cqe }
  | {
      readonly kind: "data";
      readonly fields: TransferFields;
      readonly flags: number;
      readonly data: Buffer;
    }
  | { readonly kind: "r2t"; readonly fields: TransferFields }
  | { readonly kind: "term"; readonly fields: TermReq; readonly wrong: Buffer };

export function icReq(fields: Partial<IcReq> = {}): Buffer {
  const bytes = Buffer.alloc(128);
  encodeIcReq(viewOf(bytes), 0, { version: 0, alignment: 0, digests: 0, maxR2t: 0, ...fields });
  return bytes;
}

export function capsule(parts: CommandParts, form: PduForm = {}): Buffer {
  const sqe = new Sqe();
  sqe.opcode = parts.opcode;
  sqe.cid = parts.cid;
  sqe.nsid = parts.nsid ?? 0;
  sqe.fuse = parts.fuse ?? 0;
  sqe.psdt = parts.psdt ?? Psdt.sgl;
  sqe.cdw10 = parts.cdw10 ?? 0;
  sqe.cdw11 = parts.cdw11 ?? 0;
  sqe.cdw12 = parts.cdw12 ?? 0;
  const isInCapsule = parts.data !== undefined;
  sqe.sglType =
    parts.sglType ?? (isInCapsule ? SglType.dataBlockOffset : SglType.transportDataBlock);
  sqe.sglOffset = parts.sglOffset ?? 0;
  sqe.sglLength = parts.transferBytes ?? parts.data?.length ?? 0;
  return capsuleOf(sqe, parts.data, form);
}

/** The Connect command with its data. */
export function connectCapsule(fields: {
  readonly cid?: number;
  readonly qid: number;
  readonly queueSize?: number;
  readonly attributes?: number;
  readonly keepAliveMs?: number;
  readonly cntlid?: number;
  readonly subsystemNqn: string;
  readonly hostNqn?: string;
  readonly hostId?: string;
  readonly form?: PduForm;
}): Buffer {
  const sqe = new Sqe();
  const { qid, queueSize = 32, attributes = 0, keepAliveMs = 0 } = fields;
  encodeConnect({ recordFormat: 0, qid, queueSize, attributes, keepAliveMs }, sqe);
  sqe.cid = fields.cid ?? 1;
  const data = encodeConnectData({
    hostId: fields.hostId ?? "01234567-89ab-cdef-0123-456789abcdef",
    cntlid: fields.cntlid ?? 0xffff,
    subsystemNqn: fields.subsystemNqn,
    hostNqn: fields.hostNqn ?? "nqn.2026-11.io.penstock:test-host",
  });
  assert.equal(data.length, CONNECT_DATA_BYTES);
  return capsuleOf(sqe, data, fields.form ?? {});
}

export function h2cData(
  fields: { readonly cid: number; readonly ttag: number; readonly offset: number },
  data: Uint8Array,
  {
    headerDigest = false,
    dataDigest = false,
    flags = PduFlag.last,
  }: PduForm & {
    readonly flags?: number;
  } = {},
): Buffer {
  const all =
    flags | (headerDigest ? PduFlag.headerDigest : 0) | (dataDigest ? PduFlag.dataDigest : 0);
  const header = Buffer.alloc(128);
  const { cid, ttag, offset } = fields;
  const start = encodeH2cData(viewOf(header), 0, all, 4, cid, ttag, offset, data.length);
  if (headerDigest) header.writeUInt32LE(crc32c(header, 0, SHORT_HEADER_BYTES), SHORT_HEADER_BYTES);
  return Buffer.concat([header.subarray(0, start), data, dataDigest ? digestOf(data) : NOTHING]);
}

/** Takes whole PDUs off the front of `bytes`; returns them and how many bytes they were. */
export function takePdus(
  bytes: Buffer,
  form: PduForm & { readonly alignmentBytes?: number } = {},
): { readonly pdus: Incoming[]; readonly taken: number } {
  const pdus: Incoming[] = [];
  const header = new PduHeader();
  let at = 0;
  while (bytes.length - at >= 8) {
    decodeCommonHeader(viewOf(bytes), at, header);
    assert.ok(header.plen >= 24 && header.plen < 2 ** 21, `a PDU of ${header.plen} bytes`);
    if (bytes.length - at < header.plen) break;
    pdus.push(incoming(bytes.subarray(at, at + header.plen), header, form));
    at += header.plen;
  }
  return { pdus, taken: at };
}

function incoming(
  pdu: Buffer,
  header: PduHeader,
  {
    headerDigest = false,
    dataDigest = false,
    alignmentBytes = 4,
  }: PduForm & {
    readonly alignmentBytes?: number;
  },
): Incoming {
  const view = viewOf(pdu);
  const isPlain = header.type === PduType.icResp || header.type === PduType.c2hTermReq;
  const digests = headerDigest && !isPlain ? DIGEST_BYTES : 0;
  if (!isPlain) {
    assert.equal(header.hlen, 24);
    assert.equal(header.flags & PduFlag.headerDigest, headerDigest ? 1 : 0);
    if (headerDigest) assert.equal(pdu.readUInt32LE(24), crc32c(pdu, 0, 24), "header digest");
  }
  const fields = new TransferFields();
  switch (header.type) {
    case PduType.icResp:
      assert.equal(header.plen, 128);
      return { kind: "ic", fields: decodeIcResp(view, 0) };
    case PduType.c2hTermReq:
      return { kind: "term", fields: decodeTermReq(view, 0), wrong: pdu.subarray(24) };
    case PduType.capsuleResp: {
      assert.equal(header.plen, 24 + digests);
      const cqe = new Cqe();
      decodeCqe(view, 8, cqe);
      return { kind: "response", cqe };
    }
    case PduType.r2t:
      assert.equal(header.plen, 24 + digests);
      decodeTransfer(view, 0, fields);
      return { kind: "r2t", fields };
    case PduType.c2hData: {
      decodeTransfer(view, 0, fields);
      assert.equal(header.pdo, dataOffset(24, headerDigest, alignmentBytes));
      const end = header.pdo + fields.lengthBytes;
      const data = Buffer.from(pdu.subarray(header.pdo, end));
      assert.equal(header.plen, end + (dataDigest ? DIGEST_BYTES : 0));
      if (dataDigest) assert.equal(pdu.readUInt32LE(end), crc32c(data, 0, data.length), "digest");
      return { kind: "data", fields, flags: header.flags, data };
    }
    default:
      assert.fail(`a PDU of type ${header.type} from a controller`);
  }
}

function capsuleOf(sqe: Sqe, data: Uint8Array | undefined, form: PduForm): Buffer {
  const { headerDigest = false, dataDigest = false } = form;
  const flags = (headerDigest ? PduFlag.headerDigest : 0) | (dataDigest ? PduFlag.dataDigest : 0);
  const header = Buffer.alloc(CAPSULE_CMD_BYTES + DIGEST_BYTES);
  const start = encodeCapsuleCmd(viewOf(header), 0, flags, 4, data?.length ?? 0);
  encodeSqe(viewOf(header), 8, sqe);
  if (headerDigest) header.writeUInt32LE(crc32c(header, 0, CAPSULE_CMD_BYTES), CAPSULE_CMD_BYTES);
  const head = header.subarray(0, start);
  if (data === undefined) return Buffer.from(head);
  return Buffer.concat([head, data, dataDigest ? digestOf(data) : NOTHING]);
}

const NOTHING = Buffer.alloc(0);

function digestOf(data: Uint8Array): Buffer {
  const digest = Buffer.alloc(DIGEST_BYTES);
  digest.writeUInt32LE(crc32c(data, 0, data.length));
  return digest;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Property Set of 4 bytes. */
export function propertySet(
  cid: number,
  offset: number,
  value: number,
  form: PduForm = {},
): Buffer {
  const sqe = new Sqe();
  sqe.opcode = AdminOpcode.fabrics;
  sqe.psdt = Psdt.sgl;
  sqe.cid = cid;
  sqe.nsid = FabricsType.propertySet;
  sqe.cdw11 = offset;
  sqe.cdw12 = value;
  return capsuleOf(sqe, undefined, form);
}
