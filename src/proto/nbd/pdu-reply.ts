/**
 * Replies of the transmission phase: simple (16 bytes), structured chunk (20) and extended chunk
 * (32), and the fixed parts of their payloads. Writers here; readers in `pdu-reply-decode.ts`.
 *
 *   simple            structured chunk       extended chunk
 *    0 u32 magic       0 u32 magic            0 u32 magic
 *    4 u32 error       4 u16 flags            4 u16 flags
 *    8 u64 cookie      6 u16 type             6 u16 type
 *                      8 u64 cookie           8 u64 cookie
 *                     16 u32 payload bytes   16 u64 offset of the request
 *                                            24 u64 payload bytes
 *
 * Stateless; everything here is on the hot path. Each writer needs room for what it writes and
 * returns the bytes written. Cookies are two int32 words, as they came.
 *
 * spec: NBD proto.md "Simple reply message", "Structured reply chunk message", "Extended reply
 * chunk message", "Structured reply types"
 */

import { EXTENDED_REPLY_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from "./constants.ts";

export const SIMPLE_REPLY_BYTES = 16;
export const STRUCTURED_CHUNK_BYTES = 20;
export const EXTENDED_CHUNK_BYTES = 32;

// Fixed parts of payloads, in bytes.
/** u64 offset; the data follows. */
export const OFFSET_DATA_BYTES = 8;
/** u64 offset, u32 length. */
export const OFFSET_HOLE_BYTES = 12;
/** u32 error, u16 message length; the message follows. */
export const ERROR_BYTES = 6;
/** As ERROR_BYTES, and a u64 offset after the message. */
export const ERROR_OFFSET_BYTES = 14;
/** u32 context; extents follow. */
export const BLOCK_STATUS_BYTES = 4;
/** u32 length, u32 flags. */
export const EXTENT_BYTES = 8;
/** u32 context, u32 extent count; extents follow. */
export const BLOCK_STATUS_EXT_BYTES = 8;
/** u64 length, u64 flags. */
export const EXTENT_EXT_BYTES = 16;

const WORD = 4_294_967_296;
const NO_MESSAGE = new Uint8Array(0);

/** Bytes of a chunk header on a connection with or without extended headers. */
export function chunkHeaderBytes(extended: boolean): number {
  return extended ? EXTENDED_CHUNK_BYTES : STRUCTURED_CHUNK_BYTES;
}

/** @param error an `NbdError`; 0 for success, then a read's data follows. Hot path. */
export function encodeSimpleReply(
  view: DataView,
  at: number,
  error: number,
  cookieHigh: number,
  cookieLow: number,
): number {
  view.setInt32(at, SIMPLE_REPLY_MAGIC);
  view.setInt32(at + 4, error);
  view.setInt32(at + 8, cookieHigh);
  view.setInt32(at + 12, cookieLow);
  return SIMPLE_REPLY_BYTES;
}

/** A structured chunk's header. Hot path. */
export function encodeStructuredChunk(
  view: DataView,
  at: number,
  flags: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  payloadBytes: number,
): number {
  view.setInt32(at, STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setInt32(at + 8, cookieHigh);
  view.setInt32(at + 12, cookieLow);
  view.setInt32(at + 16, payloadBytes);
  return STRUCTURED_CHUNK_BYTES;
}

/**
 * An extended chunk's header. The offset is that of the request, word by word: it must come back
 * exactly, even from a request whose offset no number can hold. Hot path.
 */
export function encodeExtendedChunk(
  view: DataView,
  at: number,
  flags: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  offsetHigh: number,
  offsetLow: number,
  payloadBytes: number,
): number {
  view.setInt32(at, EXTENDED_REPLY_MAGIC);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setInt32(at + 8, cookieHigh);
  view.setInt32(at + 12, cookieLow);
  view.setInt32(at + 16, offsetHigh);
  view.setInt32(at + 20, offsetLow);
  // A payload never needs more than 32 bits.
  view.setInt32(at + 24, 0);
  view.setInt32(at + 28, payloadBytes);
  return EXTENDED_CHUNK_BYTES;
}

/** Payload of an offset-data chunk, before the data. Hot path. */
export function encodeOffsetData(view: DataView, at: number, offset: number): number {
  view.setInt32(at, (offset / WORD) | 0);
  view.setInt32(at + 4, offset | 0);
  return OFFSET_DATA_BYTES;
}

/** Payload of an offset-hole chunk; `holeBytes` is 1 to 2^32 - 1. Hot path. */
export function encodeOffsetHole(
  view: DataView,
  at: number,
  offset: number,
  holeBytes: number,
): number {
  view.setInt32(at, (offset / WORD) | 0);
  view.setInt32(at + 4, offset | 0);
  view.setInt32(at + 8, holeBytes | 0);
  return OFFSET_HOLE_BYTES;
}

/**
 * Payload of an error chunk; `error` is not 0. `message` is UTF-8 of at most 4096 bytes, prepared
 * once by the caller.
 */
export function encodeError(
  view: DataView,
  at: number,
  error: number,
  message: Uint8Array = NO_MESSAGE,
): number {
  view.setInt32(at, error);
  view.setUint16(at + 4, message.length);
  for (let index = 0; index < message.length; index++) {
    view.setUint8(at + ERROR_BYTES + index, message[index] as number);
  }
  return ERROR_BYTES + message.length;
}

/** Payload of an error-offset chunk: as `encodeError`, and where on the export it happened. */
export function encodeErrorOffset(
  view: DataView,
  at: number,
  error: number,
  offset: number,
  message: Uint8Array = NO_MESSAGE,
): number {
  const written = encodeError(view, at, error, message);
  view.setInt32(at + written, (offset / WORD) | 0);
  view.setInt32(at + written + 4, offset | 0);
  return written + 8;
}

/** Start of a block-status payload; extents follow. */
export function encodeBlockStatus(view: DataView, at: number, contextId: number): number {
  view.setInt32(at, contextId);
  return BLOCK_STATUS_BYTES;
}

/** One extent of a block-status payload; `lengthBytes` is 1 to 2^32 - 1. */
export function encodeExtent(
  view: DataView,
  at: number,
  lengthBytes: number,
  flags: number,
): number {
  view.setUint32(at, lengthBytes);
  view.setInt32(at + 4, flags);
  return EXTENT_BYTES;
}

/** Start of a block-status-ext payload; exactly `extentCount` extents follow. */
export function encodeBlockStatusExt(
  view: DataView,
  at: number,
  contextId: number,
  extentCount: number,
): number {
  view.setInt32(at, contextId);
  view.setInt32(at + 4, extentCount);
  return BLOCK_STATUS_EXT_BYTES;
}

/** One extent of a block-status-ext payload; `lengthBytes` is 1 to 2^53 - 1. */
export function encodeExtentExt(
  view: DataView,
  at: number,
  lengthBytes: number,
  flags: number,
): number {
  view.setInt32(at, (lengthBytes / WORD) | 0);
  view.setInt32(at + 4, lengthBytes | 0);
  // Flags have 64 bits here; none of ours needs the upper half.
  view.setInt32(at + 8, 0);
  view.setInt32(at + 12, flags);
  return EXTENT_EXT_BYTES;
}
