/**
 * The dwords of the admin commands: Identify, Get Log Page, Set and Get Features, Abort.
 *
 * Encoders fill an `Sqe` but for its cid; data comes by a transport SGL. Stateless; off the hot
 * path.
 *
 * spec: Base 2.0 5.1 (Abort), 5.16 (Get Log Page), 5.15 (Get Features), 5.17 (Identify), 5.27
 */

import { AdminOpcode, IDENTIFY_BYTES, Psdt, SglType } from "./constants.ts";
import { dwordPair, type Sqe } from "./sqe.ts";

const WORD = 4_294_967_296;

/** An admin command with `dataBytes` of data, either way, or 0. */
export function beginAdmin(opcode: number, nsid: number, dataBytes: number, sqe: Sqe): void {
  sqe.clear();
  sqe.opcode = opcode;
  sqe.psdt = Psdt.sgl;
  sqe.nsid = nsid;
  sqe.sglType = SglType.transportDataBlock;
  sqe.sglLength = dataBytes;
}

export interface IdentifyCommand {
  /** `Cns`, known or not. */
  readonly cns: number;
  readonly cntlid: number;
  /** `CommandSet`. */
  readonly csi: number;
}

export function decodeIdentify(sqe: Sqe): IdentifyCommand {
  return { cns: sqe.cdw10 & 0xff, cntlid: sqe.cdw10 >>> 16, csi: sqe.cdw11 >>> 24 };
}

export function encodeIdentify(cns: number, nsid: number, csi: number, sqe: Sqe): void {
  beginAdmin(AdminOpcode.identify, nsid, IDENTIFY_BYTES, sqe);
  sqe.cdw10 = cns;
  sqe.cdw11 = (csi << 24) >>> 0;
}

export interface GetLogPageCommand {
  /** LID: `LogPage`, known or not. */
  readonly logPage: number;
  /** LSP, 7 bits. */
  readonly specific: number;
  /** RAE: the event that told of this page stays set. */
  readonly retainEvent: boolean;
  /** NUMD as bytes: 4 to 2^34. */
  readonly lengthBytes: number;
  /** LPO in bytes, or an index where `isIndex`. Rounded above 2^53 - 1. */
  readonly offset: number;
  /** OT. */
  readonly isIndex: boolean;
  /** `CommandSet`. */
  readonly csi: number;
}

export function decodeGetLogPage(sqe: Sqe): GetLogPageCommand {
  const dwords = (sqe.cdw10 >>> 16) + (sqe.cdw11 & 0xffff) * 0x1_0000;
  return {
    logPage: sqe.cdw10 & 0xff,
    specific: (sqe.cdw10 >>> 8) & 0x7f,
    retainEvent: (sqe.cdw10 & 0x8000) !== 0,
    lengthBytes: 4 * (dwords + 1),
    offset: dwordPair(sqe.cdw12, sqe.cdw13),
    isIndex: (sqe.cdw14 & (1 << 23)) !== 0,
    csi: sqe.cdw14 >>> 24,
  };
}

export interface LogPageRequest {
  readonly logPage: number;
  readonly nsid: number;
  /** A multiple of 4, not 0. */
  readonly lengthBytes: number;
  /** Bytes, a multiple of 4. */
  readonly offset: number;
  readonly specific: number;
  readonly retainEvent: boolean;
}

export function encodeGetLogPage(request: LogPageRequest, sqe: Sqe): void {
  beginAdmin(AdminOpcode.getLogPage, request.nsid, request.lengthBytes, sqe);
  const dwords = request.lengthBytes / 4 - 1;
  const low = request.logPage | (request.specific << 8) | (request.retainEvent ? 0x8000 : 0);
  sqe.cdw10 = (low | ((dwords & 0xffff) << 16)) >>> 0;
  sqe.cdw11 = Math.floor(dwords / 0x1_0000);
  sqe.cdw12 = request.offset % WORD;
  sqe.cdw13 = Math.floor(request.offset / WORD);
}

export interface FeaturesCommand {
  /** FID: `Feature`, known or not. */
  readonly feature: number;
  /** SEL of Get Features: `FeatureSelect`. */
  readonly select: number;
  /** SV of Set Features: keep it over resets. */
  readonly save: boolean;
  /** CDW11: the feature's value, or its argument. */
  readonly value: number;
}

export function decodeFeatures(sqe: Sqe): FeaturesCommand {
  return {
    feature: sqe.cdw10 & 0xff,
    select: (sqe.cdw10 >>> 8) & 7,
    save: sqe.cdw10 >>> 31 === 1,
    value: sqe.cdw11,
  };
}

export function encodeSetFeatures(feature: number, nsid: number, value: number, sqe: Sqe): void {
  beginAdmin(AdminOpcode.setFeatures, nsid, 0, sqe);
  sqe.cdw10 = feature;
  sqe.cdw11 = value;
}

export function encodeGetFeatures(feature: number, nsid: number, value: number, sqe: Sqe): void {
  beginAdmin(AdminOpcode.getFeatures, nsid, 0, sqe);
  sqe.cdw10 = feature;
  sqe.cdw11 = value;
}

/**
 * Number of Queues (feature 07h): CDW11 of Set Features and DW0 of its answer, counts of I/O
 * queues. On the wire they are 0-based.
 */
export function queueCounts(submission: number, completion: number): number {
  return ((submission - 1) | ((completion - 1) << 16)) >>> 0;
}

/** Of the two counts of `queueCounts` the smaller, 1 to 65,536: fabrics queues come in pairs. */
export function queuePairs(value: number): number {
  return Math.min(value & 0xffff, value >>> 16) + 1;
}

export interface AbortCommand {
  readonly sqId: number;
  readonly cid: number;
}

export function decodeAbort(sqe: Sqe): AbortCommand {
  return { sqId: sqe.cdw10 & 0xffff, cid: sqe.cdw10 >>> 16 };
}

/** The answer's DW0 has bit 0 set when the command was not aborted. */
export function encodeAbort(sqId: number, cid: number, sqe: Sqe): void {
  beginAdmin(AdminOpcode.abort, 0, 0, sqe);
  sqe.cdw10 = ((cid << 16) | sqId) >>> 0;
}
