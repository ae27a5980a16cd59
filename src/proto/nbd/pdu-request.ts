/**
 * The request header of the transmission phase: compact (28 bytes) and extended (32 bytes).
 *
 *   offset  compact and extended            both big-endian
 *        0  u32 magic
 *        4  u16 command flags
 *        6  u16 command
 *        8  u64 cookie                      kept as two int32 words, never interpreted
 *       16  u64 offset
 *       24  u32 length (compact) or u64 length (extended)
 *
 * Stateless; everything here is on the hot path. Peers may send anything: the decoder judges the
 * magic and what a number can hold, the session judges the rest.
 *
 * spec: NBD proto.md "Request message"
 */

import { EXTENDED_REQUEST_MAGIC, REQUEST_MAGIC } from "./constants.ts";

export const REQUEST_BYTES = 28;
export const EXTENDED_REQUEST_BYTES = 32;

const WORD = 4_294_967_296;
/** High words above this make a number beyond 2^53 - 1. */
const SAFE_HIGH_MAX = 0x1f_ffff;

/** One decoded header; made once per connection and filled again for each request. */
export class RequestHeader {
  /** `CommandFlag` bits, known or not. */
  flags = 0;
  /** `Command`, known or not. */
  command = 0;
  /** The cookie's words as int32, to be sent back as they are. */
  cookieHigh = 0;
  cookieLow = 0;
  /** The offset's words as int32: extended replies send back the exact offset, however large. */
  offsetHigh = 0;
  offsetLow = 0;
  /** Bytes. Rounded, but 2^53 or more, when `tooBig`. */
  offset = 0;
  /** Bytes: of payload or of effect, as the command and its flags say. Rounded when `tooBig`. */
  length = 0;
  /** True when offset or length is beyond 2^53 - 1: no export is that large. */
  tooBig = false;
}

/** Bytes of a request header on a connection with or without extended headers. */
export function requestHeaderBytes(extended: boolean): number {
  return extended ? EXTENDED_REQUEST_BYTES : REQUEST_BYTES;
}

/**
 * Fills `into` from the header at `at`; all of its bytes must be there. False when the magic is
 * wrong (then `into` is untouched): the stream is out of step and the connection must end.
 * Hot path.
 */
export function decodeRequest(
  view: DataView,
  at: number,
  extended: boolean,
  into: RequestHeader,
): boolean {
  const magic = extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC;
  if (view.getInt32(at) !== magic) return false;
  into.flags = view.getUint16(at + 4);
  into.command = view.getUint16(at + 6);
  into.cookieHigh = view.getInt32(at + 8);
  into.cookieLow = view.getInt32(at + 12);
  const offsetHigh = view.getInt32(at + 16);
  const offsetLow = view.getInt32(at + 20);
  into.offsetHigh = offsetHigh;
  into.offsetLow = offsetLow;
  into.offset = (offsetHigh >>> 0) * WORD + (offsetLow >>> 0);
  let tooBig = offsetHigh >>> 0 > SAFE_HIGH_MAX;
  if (extended) {
    const lengthHigh = view.getUint32(at + 24);
    into.length = lengthHigh * WORD + view.getUint32(at + 28);
    tooBig = tooBig || lengthHigh > SAFE_HIGH_MAX;
  } else {
    into.length = view.getUint32(at + 24);
  }
  into.tooBig = tooBig;
  return true;
}

/**
 * Writes `header` at `at` and returns the bytes written. The offset comes from `offsetHigh` and
 * `offsetLow` (see `setOffset`), so that any 64-bit value can be sent. Hot path.
 */
export function encodeRequest(
  view: DataView,
  at: number,
  extended: boolean,
  header: RequestHeader,
): number {
  view.setInt32(at, extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC);
  view.setUint16(at + 4, header.flags);
  view.setUint16(at + 6, header.command);
  view.setInt32(at + 8, header.cookieHigh);
  view.setInt32(at + 12, header.cookieLow);
  view.setInt32(at + 16, header.offsetHigh);
  view.setInt32(at + 20, header.offsetLow);
  if (!extended) {
    view.setUint32(at + 24, header.length);
    return REQUEST_BYTES;
  }
  view.setUint32(at + 24, header.length / WORD);
  view.setUint32(at + 28, header.length);
  return EXTENDED_REQUEST_BYTES;
}

/** Sets the offset (0 to 2^53 - 1) and its words. Hot path. */
export function setOffset(header: RequestHeader, offset: number): void {
  header.offset = offset;
  // ToInt32 takes the value modulo 2^32, which is the low word.
  header.offsetHigh = (offset / WORD) | 0;
  header.offsetLow = offset | 0;
}
