/**
 * The layout of a send stream: heads of records, the header's and the end's payload. Pure.
 *
 * Nothing of a stream is trusted: what is read is a record that makes sense, or a word that says
 * what is wrong with it.
 *
 * spec: docs/internals/send-format.md
 */

import { crc32c } from "../../util/crc32c.ts";
import { getName, getU64, getUuid, nameBytes, putName, putU64, putUuid } from "../fixed-record.ts";
import { BLOCK_BYTES, VOLUME_BLOCKS_MAX } from "../pool-layout.ts";
import { isVolumeSize } from "../volumes/object-record.ts";

export const STREAM_VERSION = 1;
export const HEAD_BYTES = 32;
/** "PSTR" */
const MAGIC = 0x5254_5350;
const HEADER_FIXED_BYTES = 80;
export const STREAM_NAME_BYTES_MAX = 256;
export const END_BYTES = 56;
export const STREAM_HASH_BYTES = 32;
/** Of one data record: 1 MiB. */
export const DATA_BLOCKS_MAX = 256;
/** Of one zero record: 1 TiB. */
export const ZERO_BLOCKS_MAX = 2 ** 28;
const HEADER_PAYLOAD_MAX = HEADER_FIXED_BYTES + STREAM_NAME_BYTES_MAX;
const CHECKSUM_CRC32C = 1;
const NO_UUID = "00000000-0000-0000-0000-000000000000";

export const RecordType = { header: 1, data: 2, zero: 3, end: 4 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Of a data record's payload. */
export const Packing = { none: 0, zstd: 1 } as const;
export type Packing = (typeof Packing)[keyof typeof Packing];

/** What a stream needs its reader to know. */
export const StreamFeature = { zstd: 1 } as const;
const KNOWN_FEATURES: number = StreamFeature.zstd;

export interface RecordHead {
  readonly type: RecordType;
  readonly packing: Packing;
  readonly sequence: number;
  /** Bytes of the payload that follows. */
  readonly payloadBytes: number;
  /** Of data and zeroes: where, and how many blocks. */
  readonly first: number;
  readonly count: number;
  readonly payloadCrc: number;
}

export interface StreamHeader {
  /** Features that the reader must know; unknown ones are refused before. */
  readonly features: number;
  /** The snapshot's lineage id: its own uuid, or where it was received from. */
  readonly uuid: string;
  /** That of the snapshot that this one differs from, or "": all of it is here. */
  readonly baseUuid: string;
  readonly sizeBytes: number;
  /** Of the snapshot, ms since 1970. */
  readonly createdMs: number;
  /** What lies before this block was sent by an earlier stream. */
  readonly startBlock: number;
  /** "volume@snapshot", where it was sent. */
  readonly name: string;
}

export interface StreamEnd {
  readonly dataBlocks: number;
  readonly zeroBlocks: number;
  /** Records before this one. */
  readonly records: number;
  /** SHA-256 of all bytes before this record. */
  readonly hash: Uint8Array;
}

/** @param chain CRC of the head before, 0 at the beginning @returns this head's */
export function writeHead(head: RecordHead, bytes: Uint8Array, at: number, chain: number): number {
  const view = viewOf(bytes, at);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, head.type);
  view.setUint8(5, head.packing);
  view.setUint16(6, 0, true);
  view.setUint32(8, head.sequence, true);
  view.setUint32(12, head.payloadBytes, true);
  view.setUint32(16, head.first, true);
  view.setUint32(20, head.count, true);
  view.setUint32(24, head.payloadCrc, true);
  const crc = crc32c(bytes, at, HEAD_BYTES - 4, chain);
  view.setUint32(28, crc, true);
  return crc;
}

/** The CRC that a head of HEAD_BYTES states. */
export function headCrc(bytes: Uint8Array, at: number): number {
  return viewOf(bytes, at).getUint32(28, true);
}

/** @param chain as in `writeHead` @returns what is wrong with it, if anything is */
export function readHead(bytes: Uint8Array, at: number, chain: number): RecordHead | string {
  const view = viewOf(bytes, at);
  if (view.getUint32(0, true) !== MAGIC) return "not a record of a stream";
  if (view.getUint32(28, true) !== crc32c(bytes, at, HEAD_BYTES - 4, chain)) {
    return "a record's head is damaged, or a record is missing before it";
  }
  const type = view.getUint8(4);
  const packing = view.getUint8(5);
  const head = {
    sequence: view.getUint32(8, true),
    payloadBytes: view.getUint32(12, true),
    first: view.getUint32(16, true),
    count: view.getUint32(20, true),
    payloadCrc: view.getUint32(24, true),
  };
  if (!isRecordType(type)) return `a record of the unknown type ${type}`;
  if (packing !== Packing.none && packing !== Packing.zstd) return `unknown packing ${packing}`;
  const known = { ...head, type, packing };
  return wrongLength(known) ?? known;
}

/** Bytes of the volume in the blocks [first, first + count): the last block may be cut. */
export function lengthOfBlocks(first: number, count: number, sizeBytes: number): number {
  return Math.min((first + count) * BLOCK_BYTES, sizeBytes) - first * BLOCK_BYTES;
}

export function encodeHeader(header: StreamHeader): Uint8Array {
  const nameLength = nameBytes(header.name);
  const bytes = new Uint8Array(HEADER_FIXED_BYTES + nameLength);
  const view = viewOf(bytes, 0);
  view.setUint16(0, STREAM_VERSION, true);
  view.setUint16(2, bytes.length, true);
  view.setUint32(8, header.features, true);
  view.setUint32(12, BLOCK_BYTES, true);
  putUuid(view, 16, header.uuid);
  putUuid(view, 32, header.baseUuid === "" ? NO_UUID : header.baseUuid);
  putU64(view, 48, header.sizeBytes);
  putU64(view, 56, header.createdMs);
  view.setUint32(64, header.startBlock, true);
  view.setUint8(68, CHECKSUM_CRC32C);
  view.setUint16(70, nameLength, true);
  putName(view, HEADER_FIXED_BYTES, nameLength, header.name);
  return bytes;
}

/** @returns what is wrong with it, if anything is; "newer: ..." when only we are too old for it */
export function decodeHeader(bytes: Uint8Array): StreamHeader | string {
  if (bytes.length < HEADER_FIXED_BYTES) return "its header is too short";
  const view = viewOf(bytes, 0);
  const version = view.getUint16(0, true);
  if (version > STREAM_VERSION) return `newer: version ${version}`;
  const features = view.getUint32(8, true);
  const unknown = (features & ~KNOWN_FEATURES) >>> 0;
  if (unknown !== 0) return `newer: features 0x${unknown.toString(16)}`;
  const nameLength = view.getUint16(70, true);
  const isWhole =
    version === STREAM_VERSION &&
    view.getUint16(2, true) === bytes.length &&
    nameLength === bytes.length - HEADER_FIXED_BYTES &&
    view.getUint32(12, true) === BLOCK_BYTES &&
    view.getUint8(68) === CHECKSUM_CRC32C;
  if (!isWhole) return "its header makes no sense";
  const name = getName(view, HEADER_FIXED_BYTES, nameLength);
  if (name === null || nameBytes(name) !== nameLength) return "its name is none";
  const base = getUuid(view, 32);
  const header = {
    features,
    uuid: getUuid(view, 16),
    baseUuid: base === NO_UUID ? "" : base,
    sizeBytes: getU64(view, 48),
    createdMs: getU64(view, 56),
    startBlock: view.getUint32(64, true),
    name,
  };
  if (!isVolumeSize(header.sizeBytes)) return `a volume cannot have ${header.sizeBytes} bytes`;
  if (!Number.isSafeInteger(header.createdMs)) return "its time is none";
  if (header.uuid === NO_UUID || header.uuid === header.baseUuid) return "its ids make no sense";
  if (header.startBlock > blocksOf(header.sizeBytes)) return "it begins behind its end";
  return header;
}

export function encodeEnd(end: StreamEnd): Uint8Array {
  const bytes = new Uint8Array(END_BYTES);
  const view = viewOf(bytes, 0);
  putU64(view, 0, end.dataBlocks);
  putU64(view, 8, end.zeroBlocks);
  view.setUint32(16, end.records, true);
  bytes.set(end.hash, END_BYTES - STREAM_HASH_BYTES);
  return bytes;
}

/** @param bytes END_BYTES of them: the head was checked */
export function decodeEnd(bytes: Uint8Array): StreamEnd {
  const view = viewOf(bytes, 0);
  return {
    dataBlocks: getU64(view, 0),
    zeroBlocks: getU64(view, 8),
    records: view.getUint32(16, true),
    hash: bytes.slice(END_BYTES - STREAM_HASH_BYTES, END_BYTES),
  };
}

export function blocksOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES);
}

function wrongLength({ type, packing, payloadBytes, first, count }: RecordHead): string | null {
  const isPlain = packing === Packing.none && first === 0 && count === 0;
  const end = first + count;
  switch (type) {
    case RecordType.header: {
      const fits = payloadBytes >= HEADER_FIXED_BYTES && payloadBytes <= HEADER_PAYLOAD_MAX;
      return isPlain && fits ? null : "its header has no length that makes sense";
    }
    case RecordType.data: {
      const fits = count > 0 && count <= DATA_BLOCKS_MAX && end <= VOLUME_BLOCKS_MAX;
      const isThere = payloadBytes > 0 && payloadBytes <= count * BLOCK_BYTES;
      return fits && isThere ? null : "a data record's length makes no sense";
    }
    case RecordType.zero: {
      const fits = count > 0 && count <= ZERO_BLOCKS_MAX && end <= VOLUME_BLOCKS_MAX;
      const isEmpty = packing === Packing.none && payloadBytes === 0;
      return fits && isEmpty ? null : "a zero record's length makes no sense";
    }
    case RecordType.end:
      return isPlain && payloadBytes === END_BYTES ? null : "the end's length makes no sense";
  }
}

function isRecordType(type: number): type is RecordType {
  return type >= RecordType.header && type <= RecordType.end;
}

function viewOf(bytes: Uint8Array, at: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
}
