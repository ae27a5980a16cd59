/**
 * The submission queue entry: the 64 bytes of every command.
 *
 *   offset  field                           little-endian
 *        0  u8  opcode
 *        1  u8  FUSE (bits 0-1), PSDT (bits 6-7)
 *        2  u16 command identifier
 *        4  u32 NSID; its lowest byte is FCTYPE in a Fabrics command
 *        8  u32 CDW2, CDW3
 *       16  u64 MPTR                        not kept: no metadata
 *       24  SGL1: u64 address or offset, u32 length, 3 reserved, u8 type
 *       40  u32 CDW10 to CDW15
 *
 * Stateless; the codecs are on the hot path. Peers may send anything: nothing is judged here.
 *
 * spec: Base 2.0 figures 86 to 88; NVMe/TCP 3.3.2
 */

import { SQE_BYTES } from "./constants.ts";
import { setUint64 } from "./wire.ts";

const WORD = 4_294_967_296;
/** High words above this make a number beyond 2^53 - 1. */
const SAFE_HIGH_MAX = 0x1f_ffff;

/** One decoded command; made once and filled again for each command. All numbers unsigned. */
export class Sqe {
  /** `AdminOpcode` or `IoOpcode`, known or not. */
  opcode = 0;
  /** `Fuse`; 3 is reserved. */
  fuse = 0;
  /** `Psdt`; fabrics commands use 1 only. */
  psdt = 0;
  /** Command identifier, chosen by the host. */
  cid = 0;
  nsid = 0;
  /** Bytes behind the SQE for in-capsule data, else an address. Rounded above 2^53 - 1. */
  sglOffset = 0;
  /** Bytes of the whole data transfer. */
  sglLength = 0;
  /** `SglType`, known or not. */
  sglType = 0;
  cdw2 = 0;
  cdw3 = 0;
  cdw10 = 0;
  cdw11 = 0;
  cdw12 = 0;
  cdw13 = 0;
  cdw14 = 0;
  cdw15 = 0;

  /** FCTYPE of a Fabrics command. */
  get fabricsType(): number {
    return this.nsid & 0xff;
  }

  /** Back to all zeroes, for the side that encodes. Hot path. */
  clear(): void {
    this.opcode = 0;
    this.fuse = 0;
    this.psdt = 0;
    this.cid = 0;
    this.nsid = 0;
    this.sglOffset = 0;
    this.sglLength = 0;
    this.sglType = 0;
    this.cdw2 = 0;
    this.cdw3 = 0;
    this.cdw10 = 0;
    this.cdw11 = 0;
    this.cdw12 = 0;
    this.cdw13 = 0;
    this.cdw14 = 0;
    this.cdw15 = 0;
  }

  /** Takes all fields of `other`: a command that outlives the receive buffer's turn. */
  copyFrom(other: Sqe): void {
    this.opcode = other.opcode;
    this.fuse = other.fuse;
    this.psdt = other.psdt;
    this.cid = other.cid;
    this.nsid = other.nsid;
    this.sglOffset = other.sglOffset;
    this.sglLength = other.sglLength;
    this.sglType = other.sglType;
    this.cdw2 = other.cdw2;
    this.cdw3 = other.cdw3;
    this.cdw10 = other.cdw10;
    this.cdw11 = other.cdw11;
    this.cdw12 = other.cdw12;
    this.cdw13 = other.cdw13;
    this.cdw14 = other.cdw14;
    this.cdw15 = other.cdw15;
  }
}

/** Fills `into` from the 64 bytes at `at`; all of them must be there. Hot path. */
export function decodeSqe(view: DataView, at: number, into: Sqe): void {
  const head = view.getUint32(at, true);
  into.opcode = head & 0xff;
  into.fuse = (head >>> 8) & 3;
  into.psdt = (head >>> 14) & 3;
  into.cid = head >>> 16;
  into.nsid = view.getUint32(at + 4, true);
  into.cdw2 = view.getUint32(at + 8, true);
  into.cdw3 = view.getUint32(at + 12, true);
  into.sglOffset = view.getUint32(at + 28, true) * WORD + view.getUint32(at + 24, true);
  into.sglLength = view.getUint32(at + 32, true);
  into.sglType = view.getUint8(at + 39);
  into.cdw10 = view.getUint32(at + 40, true);
  into.cdw11 = view.getUint32(at + 44, true);
  into.cdw12 = view.getUint32(at + 48, true);
  into.cdw13 = view.getUint32(at + 52, true);
  into.cdw14 = view.getUint32(at + 56, true);
  into.cdw15 = view.getUint32(at + 60, true);
}

/** Writes `sqe` as 64 bytes at `at` and returns them. Reserved fields are zero. Hot path. */
export function encodeSqe(view: DataView, at: number, sqe: Sqe): number {
  const flags = sqe.fuse | (sqe.psdt << 6);
  view.setUint32(at, sqe.opcode | (flags << 8) | (sqe.cid << 16), true);
  view.setUint32(at + 4, sqe.nsid, true);
  view.setUint32(at + 8, sqe.cdw2, true);
  view.setUint32(at + 12, sqe.cdw3, true);
  view.setUint32(at + 16, 0, true);
  view.setUint32(at + 20, 0, true);
  setUint64(view, at + 24, sqe.sglOffset);
  view.setUint32(at + 32, sqe.sglLength, true);
  view.setUint32(at + 36, sqe.sglType << 24, true);
  view.setUint32(at + 40, sqe.cdw10, true);
  view.setUint32(at + 44, sqe.cdw11, true);
  view.setUint32(at + 48, sqe.cdw12, true);
  view.setUint32(at + 52, sqe.cdw13, true);
  view.setUint32(at + 56, sqe.cdw14, true);
  view.setUint32(at + 60, sqe.cdw15, true);
  return SQE_BYTES;
}

/** SLBA (CDW10 and CDW11) in blocks; -1 when it is beyond 2^53 - 1. Hot path. */
export function slbaOf(sqe: Sqe): number {
  return sqe.cdw11 > SAFE_HIGH_MAX ? -1 : sqe.cdw11 * WORD + sqe.cdw10;
}

/** Sets SLBA to 0 to 2^53 - 1. Hot path. */
export function setSlba(sqe: Sqe, slba: number): void {
  sqe.cdw11 = Math.floor(slba / WORD);
  sqe.cdw10 = slba - sqe.cdw11 * WORD;
}

/** NLB of Read, Write, Compare, Write Zeroes and Verify, in blocks: 1 to 65,536. Hot path. */
export function blocksOf(sqe: Sqe): number {
  return (sqe.cdw12 & 0xffff) + 1;
}

/** NVMe's 64-bit fields in a pair of command dwords. Rounded above 2^53 - 1. */
export function dwordPair(low: number, high: number): number {
  return high * WORD + low;
}

/** Only the command identifier: for a completion to a command that is not decoded. Hot path. */
export function cidOf(view: DataView, at: number): number {
  return view.getUint16(at + 2, true);
}
