/**
 * CapsuleCmd and CapsuleResp: a submission or completion queue entry on the wire.
 *
 *   CapsuleCmd   0 common header: HLEN 72   8 SQE (64 bytes)   [HDGST] [padding] [data] [DDGST]
 *   CapsuleResp  0 common header: HLEN 24   8 CQE (16 bytes)   [HDGST]
 *
 * The entries are `sqe.ts` and `cqe.ts` of `proto/nvme`. Hot path.
 *
 * spec: NVMe/TCP 1.0 3.6.2.6 and 3.6.2.7
 */

import {
  CAPSULE_CMD_BYTES,
  DIGEST_BYTES,
  encodeCommonHeader,
  PduFlag,
  PduType,
  SHORT_HEADER_BYTES,
} from "./common.ts";

/** Where the queue entry lies, from the PDU's start. */
export const ENTRY_OFFSET = 8;

/**
 * Writes the common header of a command with `dataBytes` in its capsule, of which `flags` says what
 * is digested (`PduFlag`; the data digest only if there is data). The SQE and the header's digest
 * are the caller's. Returns where the data begins, from `at`; without data, where the PDU ends.
 * @param alignmentBytes (CPDA + 1) * 4
 */
export function encodeCapsuleCmd(
  view: DataView,
  at: number,
  flags: number,
  alignmentBytes: number,
  dataBytes: number,
): number {
  const end = CAPSULE_CMD_BYTES + ((flags & PduFlag.headerDigest) === 0 ? 0 : DIGEST_BYTES);
  if (dataBytes === 0) {
    const headerOnly = flags & PduFlag.headerDigest;
    encodeCommonHeader(view, at, PduType.capsuleCmd, headerOnly, CAPSULE_CMD_BYTES, 0, end);
    return end;
  }
  const pdo = Math.ceil(end / alignmentBytes) * alignmentBytes;
  const digest = (flags & PduFlag.dataDigest) === 0 ? 0 : DIGEST_BYTES;
  const plen = pdo + dataBytes + digest;
  encodeCommonHeader(view, at, PduType.capsuleCmd, flags, CAPSULE_CMD_BYTES, pdo, plen);
  return pdo;
}

/**
 * Writes the common header of a response; the CQE and the digest are the caller's. Returns the
 * PDU's length.
 */
export function encodeCapsuleResp(view: DataView, at: number, headerDigest: boolean): number {
  const plen = headerDigest ? SHORT_HEADER_BYTES + DIGEST_BYTES : SHORT_HEADER_BYTES;
  const flags = headerDigest ? PduFlag.headerDigest : 0;
  encodeCommonHeader(view, at, PduType.capsuleResp, flags, SHORT_HEADER_BYTES, 0, plen);
  return plen;
}
