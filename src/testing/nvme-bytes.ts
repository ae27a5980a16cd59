/**
 * Builds the host's half of NVMe/TCP as bytes, right or wrong: tests send what no host would.
 *
 * Written from the specification, not with the codecs of src/proto, so that a mistake there is
 * found. Stateless. spec: NVMe/TCP 1.0 3.6; NVMe over Fabrics 1.1 3.3 (Connect, properties)
 */

import { crc32c } from "../util/crc32c.ts";

export interface Digests {
  readonly header: boolean;
  readonly data: boolean;
}

export const NO_DIGESTS: Digests = { header: false, data: false };

export interface PduFields {
  readonly type: number;
  /** The header from byte 8 on. */
  readonly header: Uint8Array;
  readonly data?: Uint8Array;
  /** Further flags; those of digests come by themselves. */
  readonly flags?: number;
  /** Where data must begin: a multiple of this; default 4. */
  readonly alignmentBytes?: number;
  /** Instead of the right ones. */
  readonly wrong?: {
    readonly flags?: number;
    readonly hlen?: number;
    readonly pdo?: number;
    readonly plen?: number;
    /** XORed to the digest. */
    readonly headerDigest?: number;
    readonly dataDigest?: number;
  };
}

/** A whole PDU: common header, header, its digest, padding, data, their digest. */
export function pdu(fields: PduFields, digests: Digests = NO_DIGESTS): Buffer {
  const { type, header, data = new Uint8Array(0), wrong = {} } = fields;
  const hlen = 8 + header.length;
  const headerEnd = hlen + (digests.header ? 4 : 0);
  const alignment = fields.alignmentBytes ?? 4;
  const pdo = data.length === 0 ? 0 : Math.ceil(headerEnd / alignment) * alignment;
  const hasDataDigest = digests.data && data.length > 0;
  const plen = data.length === 0 ? headerEnd : pdo + data.length + (hasDataDigest ? 4 : 0);
  const flags = (fields.flags ?? 0) | (digests.header ? 1 : 0) | (hasDataDigest ? 2 : 0);
  const bytes = Buffer.alloc(plen);
  bytes.set([type, wrong.flags ?? flags, wrong.hlen ?? hlen, wrong.pdo ?? pdo]);
  bytes.writeUInt32LE(wrong.plen ?? plen, 4);
  bytes.set(header, 8);
  if (digests.header) {
    bytes.writeUInt32LE((crc32c(bytes, 0, hlen) ^ (wrong.headerDigest ?? 0)) >>> 0, hlen);
  }
  bytes.set(data, pdo === 0 ? plen : pdo);
  if (hasDataDigest) {
    const digest = (crc32c(bytes, pdo, data.length) ^ (wrong.dataDigest ?? 0)) >>> 0;
    bytes.writeUInt32LE(digest, pdo + data.length);
  }
  return bytes;
}

export interface IcReqFields {
  readonly version?: number;
  readonly alignment?: number;
  readonly digests?: Digests;
  readonly maxR2t?: number;
  readonly wrong?: PduFields["wrong"];
}

export function icReq(fields: IcReqFields = {}): Buffer {
  const { version = 0, alignment = 0, digests = NO_DIGESTS, maxR2t = 0 } = fields;
  const header = Buffer.alloc(120);
  header.writeUInt16LE(version, 0);
  header[2] = alignment;
  header[3] = (digests.header ? 1 : 0) | (digests.data ? 2 : 0);
  header.writeUInt32LE(maxR2t, 4);
  return pdu({ type: 0, header, ...(fields.wrong === undefined ? {} : { wrong: fields.wrong }) });
}

export interface SqeFields {
  readonly opcode: number;
  readonly cid: number;
  /** Default 0x40: SGLs. */
  readonly flags?: number;
  readonly nsid?: number;
  /** Of all data, either way. */
  readonly lengthBytes?: number;
  /** Default: in the capsule (0x01) or, for what comes from or goes to the host, 0x5a. */
  readonly sglType?: number;
  readonly sglOffset?: number;
  /** CDW10 to CDW15. */
  readonly words?: readonly number[];
}

/** A submission queue entry of 64 bytes. */
export function sqe(fields: SqeFields, inCapsule = false): Buffer {
  const bytes = Buffer.alloc(64);
  bytes[0] = fields.opcode;
  bytes[1] = fields.flags ?? 0x40;
  bytes.writeUInt16LE(fields.cid & 0xffff, 2);
  bytes.writeUInt32LE(fields.nsid ?? 0, 4);
  bytes.writeBigUInt64LE(BigInt(fields.sglOffset ?? 0), 24);
  bytes.writeUInt32LE(fields.lengthBytes ?? 0, 32);
  bytes[39] = fields.sglType ?? (inCapsule ? 0x01 : 0x5a);
  for (const [index, word] of (fields.words ?? []).entries()) {
    bytes.writeUInt32LE(word >>> 0, 40 + index * 4);
  }
  return bytes;
}

/** CapsuleCmd; `data` goes in the capsule. */
export function capsule(
  fields: SqeFields,
  digests: Digests = NO_DIGESTS,
  data?: Uint8Array,
  wrong?: PduFields["wrong"],
): Buffer {
  const length = data === undefined ? {} : { lengthBytes: data.length };
  const header = sqe({ ...length, ...fields }, data !== undefined);
  return pdu({ type: 4, header, ...(data && { data }), ...(wrong && { wrong }) }, digests);
}

export interface H2cDataFields {
  readonly cid: number;
  readonly ttag: number;
  readonly offset: number;
  readonly data: Uint8Array;
  /** Default: what `data` has. */
  readonly length?: number;
  /** Default true. */
  readonly last?: boolean;
  readonly type?: number;
  readonly wrong?: PduFields["wrong"];
}

export function h2cData(fields: H2cDataFields, digests: Digests = NO_DIGESTS): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt16LE(fields.cid, 0);
  header.writeUInt16LE(fields.ttag, 2);
  header.writeUInt32LE(fields.offset >>> 0, 4);
  header.writeUInt32LE((fields.length ?? fields.data.length) >>> 0, 8);
  const flags = fields.last === false ? 0 : 4;
  const { type = 6, data, wrong } = fields;
  return pdu({ type, header, data, flags, ...(wrong && { wrong }) }, digests);
}

/** H2CTermReq: the host gives up. `about` is the header that it could not bear. */
export function h2cTermReq(fatalError: number, about: Uint8Array = new Uint8Array(24)): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt16LE(fatalError, 0);
  return pdu({ type: 2, header, data: about });
}

export interface ConnectFields {
  readonly qid: number;
  /** 0-based. */
  readonly sqsize?: number;
  readonly cntlid?: number;
  readonly katoMs?: number;
  readonly subsystem: string;
  readonly host?: string;
  readonly hostId?: Uint8Array;
  readonly cid?: number;
  readonly recfmt?: number;
  readonly attributes?: number;
}

export const RAW_HOST_NQN = "nqn.2026-11.test:raw";

/** The Connect command's 64 bytes as fields, and its data. */
export function connectCommand(fields: ConnectFields): { sqe: SqeFields; data: Buffer } {
  const { qid, sqsize = 31, katoMs = 0, recfmt = 0, attributes = 0 } = fields;
  const data = Buffer.alloc(1024);
  data.set(fields.hostId ?? Buffer.alloc(16, 0x77), 0);
  data.writeUInt16LE(fields.cntlid ?? 0xffff, 16);
  data.write(fields.subsystem, 256, 256, "latin1");
  data.write(fields.host ?? RAW_HOST_NQN, 512, 256, "latin1");
  const words = [recfmt | (qid << 16), sqsize | (attributes << 16), katoMs];
  return { sqe: { opcode: 0x7f, cid: fields.cid ?? 0, nsid: 1, words }, data };
}

/** fctype 0: sets a property of 4 bytes, or of 8. */
export function propertySet(cid: number, offset: number, value: number, bytes = 4): SqeFields {
  const high = Math.floor(value / 2 ** 32);
  const words = [bytes === 8 ? 1 : 0, offset, value, high];
  return { opcode: 0x7f, cid, nsid: 0, words };
}

/** fctype 4. */
export function propertyGet(cid: number, offset: number, bytes = 4): SqeFields {
  return { opcode: 0x7f, cid, nsid: 4, words: [bytes === 8 ? 1 : 0, offset] };
}
