/**
 * Reservation commands: their dwords and data, the report, and the notification log page.
 *
 * Keys are any 64 bits, hence BigInt; off the hot path. Stateless.
 *
 *   offset  of the report (extended)         offset  of a registrant       of an extended one
 *        0  u32 generation                        0  u16 CNTLID            u16 CNTLID
 *        4  u8  type                              2  u8  bit 0: holder     u8  bit 0: holder
 *        5  u16 registrants                       8  8 B host identifier   u64 key
 *        9  u8  persists through power loss      16  u64 key               16 B host identifier
 *       24 (64) registrants                      24                        64 (32 reserved)
 *
 * spec: Base 2.0 7.2, 7.3, 7.4, 7.5, 5.16.1.24
 */

import type { Sqe } from "./sqe.ts";
import { getHex, getUint64, getUuid, setHex, setUint64, setUuid, viewOf } from "./wire.ts";

/** Bytes of the data of Register and of Acquire. */
export const RESERVATION_KEYS_BYTES = 16;
/** Bytes of the data of Release. */
export const RESERVATION_KEY_BYTES = 8;

/** Reservation Register. */
export interface RegisterCommand {
  /** RREGA: 0 register, 1 unregister, 2 replace. */
  readonly action: number;
  /** IEKEY. */
  readonly ignoreExistingKey: boolean;
  /** CPTPL: 0 as it is, 2 does not persist, 3 persists. */
  readonly changePersistence: number;
  /** CRKEY. */
  readonly currentKey: bigint;
  /** NRKEY. */
  readonly newKey: bigint;
}

/** Reservation Acquire. */
export interface AcquireCommand {
  /** RACQA: 0 acquire, 1 preempt, 2 preempt and abort. */
  readonly action: number;
  readonly ignoreExistingKey: boolean;
  /** RTYPE. */
  readonly type: number;
  readonly currentKey: bigint;
  /** PRKEY. */
  readonly preemptKey: bigint;
}

/** Reservation Release. */
export interface ReleaseCommand {
  /** RRELA: 0 release, 1 clear. */
  readonly action: number;
  readonly ignoreExistingKey: boolean;
  readonly type: number;
  readonly currentKey: bigint;
}

/** Null when there are fewer than 16 bytes. spec: figures 408, 409 */
export function decodeRegister(sqe: Sqe, data: Uint8Array): RegisterCommand | null {
  if (data.length < RESERVATION_KEYS_BYTES) return null;
  const view = viewOf(data);
  return {
    action: sqe.cdw10 & 7,
    ignoreExistingKey: (sqe.cdw10 & 8) !== 0,
    changePersistence: sqe.cdw10 >>> 30,
    currentKey: view.getBigUint64(0, true),
    newKey: view.getBigUint64(8, true),
  };
}

/** Sets CDW10 of `sqe` and returns the data. */
export function encodeRegister(command: RegisterCommand, sqe: Sqe): Uint8Array {
  const { action, ignoreExistingKey, changePersistence, currentKey, newKey } = command;
  sqe.cdw10 = (action | (ignoreExistingKey ? 8 : 0) | (changePersistence << 30)) >>> 0;
  return encodeKeys(currentKey, newKey);
}

/** Null when there are fewer than 16 bytes. spec: figures 405, 406 */
export function decodeAcquire(sqe: Sqe, data: Uint8Array): AcquireCommand | null {
  if (data.length < RESERVATION_KEYS_BYTES) return null;
  const view = viewOf(data);
  return {
    action: sqe.cdw10 & 7,
    ignoreExistingKey: (sqe.cdw10 & 8) !== 0,
    type: (sqe.cdw10 >>> 8) & 0xff,
    currentKey: view.getBigUint64(0, true),
    preemptKey: view.getBigUint64(8, true),
  };
}

/** Sets CDW10 of `sqe` and returns the data. */
export function encodeAcquire(command: AcquireCommand, sqe: Sqe): Uint8Array {
  const { action, ignoreExistingKey, type, currentKey, preemptKey } = command;
  sqe.cdw10 = action | (ignoreExistingKey ? 8 : 0) | (type << 8);
  return encodeKeys(currentKey, preemptKey);
}

/** Null when there are fewer than 8 bytes. spec: figures 411, 412 */
export function decodeRelease(sqe: Sqe, data: Uint8Array): ReleaseCommand | null {
  if (data.length < RESERVATION_KEY_BYTES) return null;
  return {
    action: sqe.cdw10 & 7,
    ignoreExistingKey: (sqe.cdw10 & 8) !== 0,
    type: (sqe.cdw10 >>> 8) & 0xff,
    currentKey: viewOf(data).getBigUint64(0, true),
  };
}

/** Sets CDW10 of `sqe` and returns the data. */
export function encodeRelease(command: ReleaseCommand, sqe: Sqe): Uint8Array {
  const { action, ignoreExistingKey, type, currentKey } = command;
  sqe.cdw10 = action | (ignoreExistingKey ? 8 : 0) | (type << 8);
  const data = new Uint8Array(RESERVATION_KEY_BYTES);
  viewOf(data).setBigUint64(0, currentKey, true);
  return data;
}

function encodeKeys(first: bigint, second: bigint): Uint8Array {
  const data = new Uint8Array(RESERVATION_KEYS_BYTES);
  viewOf(data).setBigUint64(0, first, true);
  viewOf(data).setBigUint64(8, second, true);
  return data;
}

/** EDS: CDW11 bit 0 of Reservation Report; hosts with identifiers of 128 bits must set it. */
export function wantsExtendedReport(sqe: Sqe): boolean {
  return (sqe.cdw11 & 1) !== 0;
}

/** NUMD of Reservation Report, in bytes: at most so many are returned. */
export function reportBytesOf(sqe: Sqe): number {
  return 4 * (sqe.cdw10 + 1);
}

/** One controller of a registered host. */
export interface Registrant {
  /** 0xFFFF: the host has no controller here now. */
  readonly cntlid: number;
  readonly isHolder: boolean;
  /** UUID text, or its 32 digits; 16 digits in a report that is not extended. */
  readonly hostId: string;
  readonly key: bigint;
}

export interface ReservationReport {
  readonly generation: number;
  /** RTYPE, 0: not reserved. */
  readonly type: number;
  /** PTPLS: persists through power loss. */
  readonly persists: boolean;
  readonly registrants: readonly Registrant[];
}

/** spec: figures 414 (not extended), 415 (extended) */
export function encodeReport(report: ReservationReport, extended: boolean): Uint8Array {
  const entryBytes = extended ? 64 : 24;
  const bytes = new Uint8Array(entryBytes * (1 + report.registrants.length));
  const view = viewOf(bytes);
  view.setUint32(0, report.generation, true);
  view.setUint8(4, report.type);
  view.setUint16(5, report.registrants.length, true);
  view.setUint8(9, report.persists ? 1 : 0);
  let at = entryBytes;
  for (const { cntlid, isHolder, hostId, key } of report.registrants) {
    view.setUint16(at, cntlid, true);
    view.setUint8(at + 2, isHolder ? 1 : 0);
    view.setBigUint64(at + (extended ? 8 : 16), key, true);
    if (extended) setUuid(bytes, at + 16, hostId);
    else setHex(bytes, at + 8, 8, hostId);
    at += entryBytes;
  }
  return bytes;
}

/** Null when there is no whole header; registrants beyond the bytes are left out. */
export function decodeReport(bytes: Uint8Array, extended: boolean): ReservationReport | null {
  const entryBytes = extended ? 64 : 24;
  if (bytes.length < entryBytes) return null;
  const view = viewOf(bytes);
  const registrants: Registrant[] = [];
  let at = entryBytes;
  for (let left = view.getUint16(5, true); left > 0; left--) {
    if (at + entryBytes > bytes.length) break;
    registrants.push({
      cntlid: view.getUint16(at, true),
      isHolder: (view.getUint8(at + 2) & 1) !== 0,
      hostId: extended ? getUuid(bytes, at + 16) : getHex(bytes, at + 8, 8),
      key: view.getBigUint64(at + (extended ? 8 : 16), true),
    });
    at += entryBytes;
  }
  return {
    generation: view.getUint32(0, true),
    type: view.getUint8(4),
    persists: view.getUint8(9) === 1,
    registrants,
  };
}

/** LID 80h: one notification; reading it takes it off the queue. spec: figure 267 */
export interface ReservationNotification {
  /** Counts notifications; 0: there was none. */
  readonly count: number;
  /** 0 empty, 1 registration preempted, 2 reservation released, 3 reservation preempted. */
  readonly type: number;
  /** Further ones waiting, up to 255. */
  readonly available: number;
  readonly nsid: number;
}

export const RESERVATION_NOTIFICATION_BYTES = 64;

export function encodeReservationNotification(notification: ReservationNotification): Uint8Array {
  const bytes = new Uint8Array(RESERVATION_NOTIFICATION_BYTES);
  const view = viewOf(bytes);
  setUint64(view, 0, notification.count);
  view.setUint8(8, notification.type);
  view.setUint8(9, Math.min(notification.available, 255));
  view.setUint32(12, notification.nsid, true);
  return bytes;
}

/** Null when there are fewer than 64 bytes. */
export function decodeReservationNotification(bytes: Uint8Array): ReservationNotification | null {
  if (bytes.length < RESERVATION_NOTIFICATION_BYTES) return null;
  const view = viewOf(bytes);
  return {
    count: getUint64(view, 0),
    type: view.getUint8(8),
    available: view.getUint8(9),
    nsid: view.getUint32(12, true),
  };
}
