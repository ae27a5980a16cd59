/**
 * H2CTermReq and C2HTermReq: one side ends the connection and says why. Never digested.
 *
 *   offset  little-endian
 *        0  common header: HLEN 24, PDO 0, PLEN 24 to 152
 *        8  u16 FES
 *       10  u32 FEI: offset of the wrong field, or the digest that was received
 *       14  reserved
 *       24  the header of the PDU that was wrong, up to 128 bytes
 *
 * spec: NVMe/TCP 1.0 3.6.2.4 and 3.6.2.5
 */

import {
  encodeCommonHeader,
  type PduType,
  SHORT_HEADER_BYTES,
  TERM_DATA_BYTES_MAX,
} from "./common.ts";

export interface TermReq {
  /** FES: `FatalError`, known or not. */
  readonly fatalError: number;
  /** FEI: for header fields and parameters an offset within the PDU, for digests the value. */
  readonly information: number;
}

/**
 * Writes the PDU at `at` with the first bytes of `wrong`, the PDU that was wrong; returns its
 * length.
 * @param type `PduType.h2cTermReq` or `PduType.c2hTermReq`
 */
export function encodeTermReq(
  view: DataView,
  at: number,
  type: PduType,
  fields: TermReq,
  wrong: Uint8Array,
): number {
  const data = wrong.subarray(0, TERM_DATA_BYTES_MAX);
  const lengthBytes = SHORT_HEADER_BYTES + data.length;
  encodeCommonHeader(view, at, type, 0, SHORT_HEADER_BYTES, 0, lengthBytes);
  view.setUint16(at + 8, fields.fatalError, true);
  view.setUint32(at + 10, fields.information, true);
  for (let offset = 14; offset < SHORT_HEADER_BYTES; offset++) view.setUint8(at + offset, 0);
  new Uint8Array(view.buffer, view.byteOffset + at + SHORT_HEADER_BYTES, data.length).set(data);
  return lengthBytes;
}

/** Of a PDU of 24 bytes or more whose common header says that it is one. */
export function decodeTermReq(view: DataView, at: number): TermReq {
  return {
    fatalError: view.getUint16(at + 8, true),
    information: view.getUint32(at + 10, true),
  };
}
