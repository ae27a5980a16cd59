/**
 * The Connect command: its dwords, its 1,024 bytes of data and its two answers.
 *
 *   offset  of the command                  offset  of the data
 *       40  u16 record format, zero              0  16 B host identifier
 *       42  u16 queue identifier                16  u16 controller identifier
 *       44  u16 queue size, 0-based            256  256 B subsystem NQN, NUL-terminated
 *       46  u8  attributes                     512  256 B host NQN, NUL-terminated
 *       48  u32 keep-alive time-out, ms        768  reserved
 *
 * Stateless; off the hot path. Values are taken as they come and judged by the subsystem.
 *
 * spec: Base 2.0 6.3, figures 378 to 381
 */

import { AdminOpcode, FabricsType, Psdt, SglType } from "./constants.ts";
import type { Sqe } from "./sqe.ts";
import { getTerminated, getUuid, setTerminated, setUuid, viewOf } from "./wire.ts";

export const CONNECT_DATA_BYTES = 1024;
/** Bytes of an NQN field, its NUL included. */
export const NQN_FIELD_BYTES = 256;

/** CATTR bits. spec: Base 2.0 figure 378 */
export const ConnectAttribute = {
  priorityMask: 3,
  /** The host does without SQ flow control: SQHD of completions is reserved. */
  disableSqFlowControl: 4,
  /** The host can delete I/O queues (Disconnect). */
  individualQueueDeletion: 8,
} as const;

/** What the dwords of a Connect command say. */
export interface ConnectCommand {
  /** RECFMT: 0, or the format is unknown. */
  readonly recordFormat: number;
  /** 0 for the admin queue. */
  readonly qid: number;
  /** Entries, 1-based here: 1 to 65,536. */
  readonly queueSize: number;
  /** `ConnectAttribute` bits. */
  readonly attributes: number;
  /** KATO in milliseconds; 0 is off. Admin queue only. */
  readonly keepAliveMs: number;
}

/** What the data of a Connect command says. */
export interface ConnectData {
  /** UUID text in lower case: the 16 bytes in their order. */
  readonly hostId: string;
  /** 0xFFFF: any, on the admin queue. */
  readonly cntlid: number;
  readonly subsystemNqn: string;
  readonly hostNqn: string;
}

/** Byte offsets that an answer of invalid parameters points at. */
export const ConnectOffset = {
  recordFormat: 40,
  qid: 42,
  queueSize: 44,
  attributes: 46,
  keepAlive: 48,
  hostId: 0,
  cntlid: 16,
  subsystemNqn: 256,
  hostNqn: 512,
} as const;

export function decodeConnect(sqe: Sqe): ConnectCommand {
  return {
    recordFormat: sqe.cdw10 & 0xffff,
    qid: sqe.cdw10 >>> 16,
    queueSize: (sqe.cdw11 & 0xffff) + 1,
    attributes: (sqe.cdw11 >>> 16) & 0xff,
    keepAliveMs: sqe.cdw12,
  };
}

/** Fills `sqe` but for its cid: the 1,024 bytes of data go in the capsule. */
export function encodeConnect(command: ConnectCommand, sqe: Sqe): void {
  sqe.clear();
  sqe.opcode = AdminOpcode.fabrics;
  sqe.psdt = Psdt.sgl;
  sqe.nsid = FabricsType.connect;
  sqe.sglType = SglType.dataBlockOffset;
  sqe.sglLength = CONNECT_DATA_BYTES;
  sqe.cdw10 = ((command.qid << 16) | command.recordFormat) >>> 0;
  sqe.cdw11 = ((command.attributes << 16) | (command.queueSize - 1)) >>> 0;
  sqe.cdw12 = command.keepAliveMs;
}

/** Null when there are fewer than 1,024 bytes. */
export function decodeConnectData(bytes: Uint8Array): ConnectData | null {
  if (bytes.length < CONNECT_DATA_BYTES) return null;
  return {
    hostId: getUuid(bytes, ConnectOffset.hostId),
    cntlid: viewOf(bytes).getUint16(ConnectOffset.cntlid, true),
    subsystemNqn: getTerminated(bytes, ConnectOffset.subsystemNqn, NQN_FIELD_BYTES),
    hostNqn: getTerminated(bytes, ConnectOffset.hostNqn, NQN_FIELD_BYTES),
  };
}

/** @param data NQNs of at most 255 bytes */
export function encodeConnectData(data: ConnectData): Uint8Array {
  const bytes = new Uint8Array(CONNECT_DATA_BYTES);
  setUuid(bytes, ConnectOffset.hostId, data.hostId);
  viewOf(bytes).setUint16(ConnectOffset.cntlid, data.cntlid, true);
  setTerminated(bytes, ConnectOffset.subsystemNqn, NQN_FIELD_BYTES, data.subsystemNqn);
  setTerminated(bytes, ConnectOffset.hostNqn, NQN_FIELD_BYTES, data.hostNqn);
  return bytes;
}

/**
 * DW0 of an answer of invalid parameters: IPO in bits 0-15, IATTR bit 0 (the offset is in the
 * data, not in the command) in bit 16. spec: Base 2.0 figure 381
 */
export function invalidParameter(offset: number, inData: boolean): number {
  return offset | (inData ? 1 << 16 : 0);
}

/** DW0 of a successful answer: CNTLID in bits 0-15, AUTHREQ in bits 16-31. */
export function connectResult(cntlid: number, authentication = 0): number {
  return ((authentication << 16) | cntlid) >>> 0;
}

/** CNTLID of a successful answer's DW0. */
export function connectCntlid(dw0: number): number {
  return dw0 & 0xffff;
}

/** AUTHREQ of a successful answer's DW0: not 0 when the host must authenticate first. */
export function connectAuthentication(dw0: number): number {
  return dw0 >>> 16;
}
