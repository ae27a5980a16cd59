/**
 * Readers of the transmission phase's replies, for the initiator and the tests. The layouts are
 * drawn in `pdu-reply.ts`.
 *
 * Stateless; results go into objects that the caller reuses. A server is not trusted: whatever
 * does not add up makes the reader say so, and the connection must end.
 *
 * spec: NBD proto.md "Structured reply types" (unknown types, inconsistent lengths)
 */

import {
  EXTENDED_REPLY_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRING_BYTES_MAX,
  STRUCTURED_REPLY_MAGIC,
} from "./constants.ts";
import {
  BLOCK_STATUS_BYTES,
  BLOCK_STATUS_EXT_BYTES,
  ERROR_BYTES,
  EXTENDED_CHUNK_BYTES,
  EXTENT_BYTES,
  EXTENT_EXT_BYTES,
  SIMPLE_REPLY_BYTES,
  STRUCTURED_CHUNK_BYTES,
} from "./pdu-reply.ts";

const WORD = 4_294_967_296;

/** One decoded reply header; made once per connection and filled again for each reply. */
export class ReplyHeader {
  /** A simple reply: only `error` and the cookie say something. */
  simple = false;
  /** `NbdError` of a simple reply. */
  error = 0;
  /** `ChunkFlag` bits. */
  flags = 0;
  /** `ChunkType`, known or not. */
  type = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Offset of the request, in an extended chunk; else 0. */
  offsetHigh = 0;
  offsetLow = 0;
  /** Bytes of payload after a chunk's header. */
  payloadBytes = 0;
}

/**
 * Bytes of the reply header that starts with the u32 at `at`, 0 when no reply starts so on such a
 * connection. Hot path.
 */
export function replyHeaderBytes(view: DataView, at: number, extended: boolean): number {
  const magic = view.getInt32(at);
  if (extended) return magic === EXTENDED_REPLY_MAGIC ? EXTENDED_CHUNK_BYTES : 0;
  if (magic === SIMPLE_REPLY_MAGIC) return SIMPLE_REPLY_BYTES;
  return magic === STRUCTURED_REPLY_MAGIC ? STRUCTURED_CHUNK_BYTES : 0;
}

/**
 * Fills `into` from the header at `at`, all of whose `replyHeaderBytes` must be there, and returns
 * these bytes; 0 when it is no header. Hot path.
 */
export function decodeReply(
  view: DataView,
  at: number,
  extended: boolean,
  into: ReplyHeader,
): number {
  const headerBytes = replyHeaderBytes(view, at, extended);
  if (headerBytes === 0) return 0;
  const simple = headerBytes === SIMPLE_REPLY_BYTES;
  into.simple = simple;
  into.error = simple ? view.getInt32(at + 4) : 0;
  into.flags = simple ? 0 : view.getUint16(at + 4);
  into.type = simple ? 0 : view.getUint16(at + 6);
  into.cookieHigh = view.getInt32(at + 8);
  into.cookieLow = view.getInt32(at + 12);
  into.offsetHigh = extended ? view.getInt32(at + 16) : 0;
  into.offsetLow = extended ? view.getInt32(at + 20) : 0;
  if (simple) into.payloadBytes = 0;
  else into.payloadBytes = extended ? decodeUint64(view, at + 24) : view.getUint32(at + 16);
  return headerBytes;
}

/** The u64 at `at` as a number; rounded, but 2^53 or more, when it does not fit. Hot path. */
export function decodeUint64(view: DataView, at: number): number {
  return view.getUint32(at) * WORD + view.getUint32(at + 4);
}

/** What an error chunk says. */
export class ReplyError {
  /** `NbdError`, known or not. */
  error = 0;
  /** Where the message's bytes lie in the view. */
  messageAt = 0;
  messageBytes = 0;
  /** Offset on the export of an error-offset chunk, else -1. */
  offset = -1;
}

/**
 * Reads the payload of an error chunk (`withOffset`: of an error-offset chunk). False when its
 * lengths do not add up or the error is 0.
 */
export function decodeError(
  view: DataView,
  at: number,
  payloadBytes: number,
  withOffset: boolean,
  into: ReplyError,
): boolean {
  const fixedBytes = withOffset ? ERROR_BYTES + 8 : ERROR_BYTES;
  if (payloadBytes < fixedBytes) return false;
  const messageBytes = view.getUint16(at + 4);
  if (messageBytes > STRING_BYTES_MAX || messageBytes > payloadBytes - fixedBytes) return false;
  into.error = view.getInt32(at);
  into.messageAt = at + ERROR_BYTES;
  into.messageBytes = messageBytes;
  into.offset = withOffset ? decodeUint64(view, into.messageAt + messageBytes) : -1;
  return into.error !== 0;
}

/**
 * Number of extents in a block-status payload (`ext`: block-status-ext), -1 when its length, or
 * the count it states, is impossible. `at` is the payload's start; the context id is its first u32.
 */
export function extentCount(
  view: DataView,
  at: number,
  payloadBytes: number,
  ext: boolean,
): number {
  const fixedBytes = ext ? BLOCK_STATUS_EXT_BYTES : BLOCK_STATUS_BYTES;
  const count = (payloadBytes - fixedBytes) / (ext ? EXTENT_EXT_BYTES : EXTENT_BYTES);
  if (!Number.isInteger(count) || count < 1) return -1;
  if (!ext) return count;
  // Zero leaves the count to the length.
  const stated = view.getUint32(at + 4);
  return stated === 0 || stated === count ? count : -1;
}

/** Length in bytes of extent `index` of a block-status payload at `at`. */
export function extentLength(view: DataView, at: number, index: number, ext: boolean): number {
  return ext
    ? decodeUint64(view, at + BLOCK_STATUS_EXT_BYTES + index * EXTENT_EXT_BYTES)
    : view.getUint32(at + BLOCK_STATUS_BYTES + index * EXTENT_BYTES);
}

/** Low 32 flag bits of extent `index` of a block-status payload at `at`. */
export function extentFlags(view: DataView, at: number, index: number, ext: boolean): number {
  return ext
    ? view.getUint32(at + BLOCK_STATUS_EXT_BYTES + index * EXTENT_EXT_BYTES + 12)
    : view.getUint32(at + BLOCK_STATUS_BYTES + index * EXTENT_BYTES + 4);
}
