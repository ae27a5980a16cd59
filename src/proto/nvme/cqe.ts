/**
 * The completion queue entry: the 16 bytes that answer a command.
 *
 *   offset  field                           little-endian
 *        0  u32 DW0, command specific
 *        4  u32 DW1, command specific
 *        8  u16 SQ head pointer
 *       10  u16 SQ identifier               reserved, zero, over fabrics
 *       12  u16 command identifier
 *       14  u16 phase tag (bit 0, zero over fabrics), status (bits 1-15)
 *
 * Stateless; the codecs are on the hot path.
 *
 * spec: Base 2.0 3.3.3.2, figures 89 to 93
 */

import { CQE_BYTES } from "./constants.ts";

/** One decoded completion; made once and filled again. */
export class Cqe {
  dw0 = 0;
  dw1 = 0;
  /** SQHD: where the target's head is. 0xFFFF: flow control is off. */
  sqHead = 0;
  sqId = 0;
  cid = 0;
  /** The 15-bit status: `NvmeStatus`, CRD, MORE and DNR. */
  status = 0;
}

/**
 * Writes a completion of 16 bytes at `at` and returns them. Hot path.
 *
 * @param dw0 0 to 2^32 - 1, as `dw1`
 * @param status the 15 bits of `status.ts`, without the phase tag
 */
export function encodeCqe(
  view: DataView,
  at: number,
  dw0: number,
  dw1: number,
  sqHead: number,
  sqId: number,
  cid: number,
  status: number,
): number {
  view.setUint32(at, dw0, true);
  view.setUint32(at + 4, dw1, true);
  view.setUint32(at + 8, sqHead | (sqId << 16), true);
  view.setUint32(at + 12, cid | (status << 17), true);
  return CQE_BYTES;
}

/** Fills `into` from the 16 bytes at `at`; all of them must be there. Hot path. */
export function decodeCqe(view: DataView, at: number, into: Cqe): void {
  into.dw0 = view.getUint32(at, true);
  into.dw1 = view.getUint32(at + 4, true);
  into.sqHead = view.getUint16(at + 8, true);
  into.sqId = view.getUint16(at + 10, true);
  into.cid = view.getUint16(at + 12, true);
  into.status = view.getUint16(at + 14, true) >>> 1;
}
