/**
 * R2T: the controller asks for a piece of a command's data.
 *
 *   offset  little-endian
 *        0  common header: HLEN 24, PDO 0
 *        8  u16 CCCID
 *       10  u16 TTAG: repeated in the H2CData PDUs that answer
 *       12  u32 R2TO
 *       16  u32 R2TL
 *       20  reserved
 *       24  [HDGST]
 *
 * Fields are decoded by `decodeTransfer` of `common.ts`.
 *
 * spec: NVMe/TCP 1.0 3.6.2.10
 */

import {
  DIGEST_BYTES,
  encodeCommonHeader,
  encodeTransfer,
  PduFlag,
  PduType,
  SHORT_HEADER_BYTES,
} from "./common.ts";

/** Writes the PDU at `at` but for its digest; returns its length, the digest counted. Hot path. */
export function encodeR2t(
  view: DataView,
  at: number,
  headerDigest: boolean,
  cid: number,
  ttag: number,
  offset: number,
  lengthBytes: number,
): number {
  const plen = headerDigest ? SHORT_HEADER_BYTES + DIGEST_BYTES : SHORT_HEADER_BYTES;
  const flags = headerDigest ? PduFlag.headerDigest : 0;
  encodeCommonHeader(view, at, PduType.r2t, flags, SHORT_HEADER_BYTES, 0, plen);
  encodeTransfer(view, at, cid, ttag, offset, lengthBytes);
  return plen;
}
