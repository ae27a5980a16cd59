/**
 * H2CData and C2HData: a piece of a command's data on the wire.
 *
 *   offset  little-endian
 *        0  common header: HLEN 24; flags: digests, LAST_PDU, SUCCESS (C2HData only)
 *        8  u16 CCCID
 *       10  u16 TTAG of the R2T (H2CData); reserved (C2HData)
 *       12  u32 DATAO
 *       16  u32 DATAL
 *       20  reserved
 *       24  [HDGST] [padding] data [DDGST]
 *
 * Fields are decoded by `decodeTransfer` of `common.ts`. Hot path.
 *
 * spec: NVMe/TCP 1.0 3.6.2.8 and 3.6.2.9
 */

import {
  DIGEST_BYTES,
  encodeCommonHeader,
  encodeTransfer,
  PduFlag,
  PduType,
  SHORT_HEADER_BYTES,
} from "./common.ts";

/**
 * Writes the header of an H2CData PDU at `at`; its digest and the data are the caller's. Returns
 * where the data begins, from `at`.
 * @param flags `PduFlag`s: digests, last
 * @param alignmentBytes (CPDA + 1) * 4
 */
export function encodeH2cData(
  view: DataView,
  at: number,
  flags: number,
  alignmentBytes: number,
  cid: number,
  ttag: number,
  offset: number,
  lengthBytes: number,
): number {
  const pdo = encodeData(view, at, PduType.h2cData, flags, alignmentBytes, lengthBytes);
  encodeTransfer(view, at, cid, ttag, offset, lengthBytes);
  return pdo;
}

/**
 * Writes the header of a C2HData PDU at `at`; its digest and the data are the caller's. Returns
 * where the data begins, from `at`.
 * @param flags `PduFlag`s: digests, last, success
 * @param alignmentBytes (HPDA + 1) * 4
 */
export function encodeC2hData(
  view: DataView,
  at: number,
  flags: number,
  alignmentBytes: number,
  cid: number,
  offset: number,
  lengthBytes: number,
): number {
  const pdo = encodeData(view, at, PduType.c2hData, flags, alignmentBytes, lengthBytes);
  encodeTransfer(view, at, cid, 0, offset, lengthBytes);
  return pdo;
}

// hot path
function encodeData(
  view: DataView,
  at: number,
  type: number,
  flags: number,
  alignmentBytes: number,
  lengthBytes: number,
): number {
  let pdo = SHORT_HEADER_BYTES + ((flags & PduFlag.headerDigest) === 0 ? 0 : DIGEST_BYTES);
  if (alignmentBytes > 4) pdo = Math.ceil(pdo / alignmentBytes) * alignmentBytes;
  const digest = (flags & PduFlag.dataDigest) === 0 ? 0 : DIGEST_BYTES;
  const plen = pdo + lengthBytes + digest;
  encodeCommonHeader(view, at, type, flags, SHORT_HEADER_BYTES, pdo, plen);
  return pdo;
}
