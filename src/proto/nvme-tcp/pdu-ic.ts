/**
 * ICReq and ICResp: how a connection is initialized. 128 bytes each, never digested.
 *
 *   offset  ICReq                            ICResp, little-endian
 *        0  common header: HLEN and PLEN 128, PDO 0
 *        8  u16 PFV, 0                       u16 PFV, 0
 *       10  u8  HPDA, in dwords, 0-based     u8  CPDA
 *       11  u8  DGST: bit 0 header, 1 data   u8  DGST: what is used
 *       12  u32 MAXR2T, 0-based              u32 MAXH2CDATA, in bytes
 *       16  reserved
 *
 * spec: NVMe/TCP 1.0 3.6.2.2 and 3.6.2.3
 */

import { encodeCommonHeader, IC_BYTES, PduType } from "./common.ts";

/** The one PDU format version there is. */
export const PDU_FORMAT_VERSION = 0;

export const DigestFlag = { header: 1, data: 2 } as const;

export interface IcReq {
  /** PFV. */
  readonly version: number;
  /** HPDA: C2HData begins at a multiple of (this + 1) * 4 bytes. */
  readonly alignment: number;
  /** `DigestFlag` bits that the host wants. */
  readonly digests: number;
  /** MAXR2T, 0-based: R2Ts that one command may have outstanding, less one. */
  readonly maxR2t: number;
}

export interface IcResp {
  readonly version: number;
  /** CPDA: H2CData begins at a multiple of (this + 1) * 4 bytes. */
  readonly alignment: number;
  /** `DigestFlag` bits that are used from now on. */
  readonly digests: number;
  /** MAXH2CDATA: bytes of data in one H2CData PDU at most. */
  readonly maxH2cDataBytes: number;
}

/** Writes 128 bytes at `at`; returns their number. */
export function encodeIcReq(view: DataView, at: number, fields: IcReq): number {
  const { version, alignment, digests, maxR2t } = fields;
  return encodeIc(view, at, PduType.icReq, version, alignment, digests, maxR2t);
}

/** Of a PDU whose common header says that it is one. */
export function decodeIcReq(view: DataView, at: number): IcReq {
  return {
    version: view.getUint16(at + 8, true),
    alignment: view.getUint8(at + 10),
    digests: view.getUint8(at + 11),
    maxR2t: view.getUint32(at + 12, true),
  };
}

/** Writes 128 bytes at `at`; returns their number. */
export function encodeIcResp(view: DataView, at: number, fields: IcResp): number {
  const { version, alignment, digests, maxH2cDataBytes } = fields;
  return encodeIc(view, at, PduType.icResp, version, alignment, digests, maxH2cDataBytes);
}

/** Of a PDU whose common header says that it is one. */
export function decodeIcResp(view: DataView, at: number): IcResp {
  return {
    version: view.getUint16(at + 8, true),
    alignment: view.getUint8(at + 10),
    digests: view.getUint8(at + 11),
    maxH2cDataBytes: view.getUint32(at + 12, true),
  };
}

function encodeIc(
  view: DataView,
  at: number,
  type: number,
  version: number,
  alignment: number,
  digests: number,
  last: number,
): number {
  encodeCommonHeader(view, at, type, 0, IC_BYTES, 0, IC_BYTES);
  view.setUint16(at + 8, version, true);
  view.setUint8(at + 10, alignment);
  view.setUint8(at + 11, digests);
  view.setUint32(at + 12, last, true);
  for (let offset = 16; offset < IC_BYTES; offset += 4) view.setInt32(at + offset, 0);
  return IC_BYTES;
}
