/**
 * Frames of the log: header and checksums. Pure.
 *
 * | word | | word | |
 * |---|---|---|---|
 * | 0 | magic "PLOG" | 10, 11 | label generation that was durable |
 * | 1 | crc of the frame, words 1 and 15 as zero | 12 | bytes of this copy |
 * | 2, 3 | first half of the pool's uuid | 13 | bytes of records |
 * | 4, 5 | session | 14 | crc of the frame before |
 * | 6, 7 | sequence | 15 | crc of words 0..14, word 1 as zero |
 * | 8, 9 | durable | 16.. | records |
 *
 * spec: docs/internals/pool-format.md, The log
 */

import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import { putHex64, putUuid } from "../fixed-record.ts";
import { FRAME_BYTES_MAX } from "../pool-layout.ts";

export const FRAME_HEADER_WORDS = 16;
export const FRAME_HEADER_BYTES = 64;

const MAGIC = 0x474f_4c50; // "PLOG"
const UINT32_RANGE = 2 ** 32;
const CRC_AT = 4;
const HEADER_CRC_AT = 60;

const WORD = {
  magic: 0,
  crc: 1,
  pool: 2,
  session: 4,
  sequence: 6,
  durable: 8,
  generation: 10,
  lengthBytes: 12,
  recordBytes: 13,
  prevCrc: 14,
  headerCrc: 15,
} as const;

/** Whose frames: pool and session, as words. */
export interface FrameOwner {
  readonly pool: readonly [number, number];
  readonly session: readonly [number, number];
}

export interface FrameHeader {
  /** True: of the owner's session, not only of his pool. */
  isOfSession: boolean;
  sequence: number;
  durable: number;
  generation: number;
  lengthBytes: number;
  recordBytes: number;
  prevCrc: number;
  crc: number;
}

export function emptyHeader(): FrameHeader {
  return {
    isOfSession: false,
    sequence: 0,
    durable: 0,
    generation: 0,
    lengthBytes: 0,
    recordBytes: 0,
    prevCrc: 0,
    crc: 0,
  };
}

/** @param session 16 hex digits */
export function frameOwner(poolUuid: string, session: string): FrameOwner {
  const view = new DataView(new ArrayBuffer(24));
  putUuid(view, 0, poolUuid);
  putHex64(view, 16, session);
  return {
    pool: [view.getUint32(0, true), view.getUint32(4, true)],
    session: [view.getUint32(16, true), view.getUint32(20, true)],
  };
}

/** What is written into a frame's header; the rest follows from the frame. */
export interface FrameSeal {
  owner: FrameOwner;
  sequence: number;
  durable: number;
  generation: number;
  prevCrc: number;
}

/**
 * Completes the frame at the start of `words` and `bytes`, which are the same memory.
 * @param recordBytes behind the header
 * @param lengthBytes of the copy, zeroes behind the records included
 * @returns its crc, which the next frame carries
 */
// hot path
export function sealFrame(
  words: Uint32Array,
  bytes: Uint8Array,
  seal: FrameSeal,
  recordBytes: number,
  lengthBytes: number,
): number {
  assert(FRAME_HEADER_BYTES + recordBytes <= lengthBytes, "records lie within their frame");
  assert(lengthBytes <= FRAME_BYTES_MAX, "a frame has 256 KiB at most");
  const { owner, sequence, durable, generation } = seal;
  words[WORD.magic] = MAGIC;
  words[WORD.crc] = 0;
  words[WORD.pool] = owner.pool[0];
  words[WORD.pool + 1] = owner.pool[1];
  words[WORD.session] = owner.session[0];
  words[WORD.session + 1] = owner.session[1];
  words[WORD.sequence] = sequence % UINT32_RANGE;
  words[WORD.sequence + 1] = Math.floor(sequence / UINT32_RANGE);
  words[WORD.durable] = durable % UINT32_RANGE;
  words[WORD.durable + 1] = Math.floor(durable / UINT32_RANGE);
  words[WORD.generation] = generation % UINT32_RANGE;
  words[WORD.generation + 1] = Math.floor(generation / UINT32_RANGE);
  words[WORD.lengthBytes] = lengthBytes;
  words[WORD.recordBytes] = recordBytes;
  words[WORD.prevCrc] = seal.prevCrc;
  words[WORD.headerCrc] = 0;
  bytes.fill(0, FRAME_HEADER_BYTES + recordBytes, lengthBytes);
  const crc = crc32c(bytes, 0, lengthBytes);
  words[WORD.headerCrc] = crc32c(bytes, 0, HEADER_CRC_AT);
  words[WORD.crc] = crc;
  return crc;
}

/**
 * Reads the header at `at`; `header` is only good when it says so.
 * @returns true: it is a header of this pool, and right
 */
export function readFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  owner: FrameOwner,
  unitBytes: number,
  header: FrameHeader,
): boolean {
  if (at + FRAME_HEADER_BYTES > bytes.length || word(view, at, WORD.magic) !== MAGIC) return false;
  if (word(view, at, WORD.pool) !== owner.pool[0]) return false;
  if (word(view, at, WORD.pool + 1) !== owner.pool[1]) return false;
  if (headerCrc(bytes, at) !== word(view, at, WORD.headerCrc)) return false;
  header.isOfSession =
    word(view, at, WORD.session) === owner.session[0] &&
    word(view, at, WORD.session + 1) === owner.session[1];
  header.sequence = double(view, at, WORD.sequence);
  header.durable = double(view, at, WORD.durable);
  header.generation = double(view, at, WORD.generation);
  header.lengthBytes = word(view, at, WORD.lengthBytes);
  header.recordBytes = word(view, at, WORD.recordBytes);
  header.prevCrc = word(view, at, WORD.prevCrc);
  header.crc = word(view, at, WORD.crc);
  return isSound(header, unitBytes);
}

/** The whole copy, whose header is right, is as it was written. */
export function isFrameWhole(bytes: Uint8Array, at: number, header: FrameHeader): boolean {
  const { lengthBytes, crc } = header;
  if (at + lengthBytes > bytes.length) return false;
  const before = headerCrc(bytes, at);
  const zeroes = crc32c(ZEROES, 0, ZEROES.length, before);
  const rest = lengthBytes - FRAME_HEADER_BYTES;
  return crc32c(bytes, at + FRAME_HEADER_BYTES, rest, zeroes) === crc;
}

function isSound({ lengthBytes, recordBytes, sequence, ...rest }: FrameHeader, unit: number) {
  if (lengthBytes < unit || lengthBytes % unit !== 0 || lengthBytes > FRAME_BYTES_MAX) return false;
  if (FRAME_HEADER_BYTES + recordBytes > lengthBytes || recordBytes % 4 !== 0) return false;
  return [sequence, rest.durable, rest.generation].every(Number.isSafeInteger);
}

const ZEROES = new Uint8Array(4);

/** Of the header up to its own crc, the frame's taken as zero. */
function headerCrc(bytes: Uint8Array, at: number): number {
  const magic = crc32c(bytes, at, CRC_AT);
  const crc = crc32c(ZEROES, 0, ZEROES.length, magic);
  return crc32c(bytes, at + CRC_AT + 4, HEADER_CRC_AT - CRC_AT - 4, crc);
}

function word(view: DataView, at: number, index: number): number {
  return view.getUint32(at + index * 4, true);
}

function double(view: DataView, at: number, index: number): number {
  return word(view, at, index) + word(view, at, index + 1) * UINT32_RANGE;
}
