/**
 * What all NVMe/TCP PDUs share: the common header, types, flags, lengths, and fatal error codes.
 *
 *   offset  common header, little-endian
 *        0  u8  PDU type
 *        1  u8  flags
 *        2  u8  HLEN: bytes of the header, its digest not counted
 *        3  u8  PDO: where the data begins, from the PDU's start; 0 without data
 *        4  u32 PLEN: bytes of the PDU in all, digests and padding too
 *
 * Stateless; decoding and encoding is on the hot path. Peers may send anything: decoders give what
 * is there, the connection judges it.
 *
 * spec: NVMe/TCP 1.0 3.6.1 "Common header", 3.6.2 "PDU definitions"
 */

export const PduType = {
  icReq: 0x00,
  icResp: 0x01,
  h2cTermReq: 0x02,
  c2hTermReq: 0x03,
  capsuleCmd: 0x04,
  capsuleResp: 0x05,
  h2cData: 0x06,
  c2hData: 0x07,
  r2t: 0x09,
} as const;
export type PduType = (typeof PduType)[keyof typeof PduType];

export const PduFlag = {
  headerDigest: 1,
  dataDigest: 2,
  /** Of H2CData and C2HData: the last PDU of its R2T, or of its command. */
  last: 4,
  /** Of C2HData: the command has succeeded, no CapsuleResp follows. */
  success: 8,
} as const;

export const COMMON_HEADER_BYTES = 8;
export const IC_BYTES = 128;
export const CAPSULE_CMD_BYTES = 72;
/** Header length of CapsuleResp, H2CData, C2HData, R2T and both kinds of TermReq. */
export const SHORT_HEADER_BYTES = 24;
/** Of a header or of data: CRC32C, little-endian. */
export const DIGEST_BYTES = 4;
/** A TermReq repeats at most this much of the header that was wrong. */
export const TERM_DATA_BYTES_MAX = 128;

/** HPDA and CPDA count dwords, 0-based: data begins at a multiple of (value + 1) * 4. */
export const DATA_ALIGNMENT_MAX = 31;
/** The least that a controller may allow in one H2CData PDU, in bytes. */
export const H2C_DATA_BYTES_MIN = 4096;

/** FES of a TermReq. spec: NVMe/TCP 1.0 3.6.2.4 and 3.6.2.5 */
export const FatalError = {
  invalidHeaderField: 1,
  sequence: 2,
  headerDigest: 3,
  dataOutOfRange: 4,
  /** R2TLimitExceeded from a host, DataTransferLimitExceeded from a controller. */
  limitExceeded: 5,
  unsupportedParameter: 6,
} as const;
export type FatalError = (typeof FatalError)[keyof typeof FatalError];

const FATAL_ERROR_TEXTS: Readonly<Record<number, string>> = {
  [FatalError.invalidHeaderField]: "invalid PDU header field",
  [FatalError.sequence]: "PDU sequence error",
  [FatalError.headerDigest]: "header digest error",
  [FatalError.dataOutOfRange]: "data transfer out of range",
  [FatalError.limitExceeded]: "limit exceeded",
  [FatalError.unsupportedParameter]: "unsupported parameter",
};

export function fatalErrorText(fatalError: number): string {
  return FATAL_ERROR_TEXTS[fatalError] ?? `fatal error status ${fatalError}`;
}

/** One decoded common header; made once per connection and filled again for each PDU. */
export class PduHeader {
  /** `PduType`, known or not. */
  type = 0;
  /** `PduFlag` bits, known or not. */
  flags = 0;
  hlen = 0;
  pdo = 0;
  plen = 0;
}

/** Fills `into` from the 8 bytes at `at`. Hot path. */
export function decodeCommonHeader(view: DataView, at: number, into: PduHeader): void {
  const word = view.getInt32(at, true);
  into.type = word & 0xff;
  into.flags = (word >>> 8) & 0xff;
  into.hlen = (word >>> 16) & 0xff;
  into.pdo = word >>> 24;
  into.plen = view.getUint32(at + 4, true);
}

/** Writes the 8 bytes at `at`. Hot path. */
export function encodeCommonHeader(
  view: DataView,
  at: number,
  type: number,
  flags: number,
  hlen: number,
  pdo: number,
  plen: number,
): void {
  view.setInt32(at, type | (flags << 8) | (hlen << 16) | (pdo << 24), true);
  view.setUint32(at + 4, plen, true);
}

/**
 * What PDUs with a data pointer say: H2CData and C2HData (DATAO, DATAL), R2T (R2TO, R2TL). Made
 * once per connection and filled again for each PDU.
 */
export class TransferFields {
  /** CCCID: the command's id. */
  cid = 0;
  /** TTAG; C2HData has none. */
  ttag = 0;
  /** Of the first byte, within the command's data. */
  offset = 0;
  lengthBytes = 0;
}

/** Fills `into` from a PDU (H2CData, C2HData, R2T) that begins at `at`. Hot path. */
export function decodeTransfer(view: DataView, at: number, into: TransferFields): void {
  const ids = view.getInt32(at + 8, true);
  into.cid = ids & 0xffff;
  into.ttag = ids >>> 16;
  into.offset = view.getUint32(at + 12, true);
  into.lengthBytes = view.getUint32(at + 16, true);
}

/** Writes what follows the common header of H2CData, C2HData and R2T. Hot path. */
export function encodeTransfer(
  view: DataView,
  at: number,
  cid: number,
  ttag: number,
  offset: number,
  lengthBytes: number,
): void {
  view.setInt32(at + 8, cid | (ttag << 16), true);
  view.setUint32(at + 12, offset, true);
  view.setUint32(at + 16, lengthBytes, true);
  view.setInt32(at + 20, 0, true);
}

/**
 * Where data begins behind a header of `hlen` bytes: behind its digest, if there is one, at a
 * multiple of the other side's alignment (`(HPDA or CPDA + 1) * 4` bytes).
 */
export function dataOffset(hlen: number, headerDigest: boolean, alignmentBytes: number): number {
  const end = hlen + (headerDigest ? DIGEST_BYTES : 0);
  return Math.ceil(end / alignmentBytes) * alignmentBytes;
}
