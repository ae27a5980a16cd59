/**
 * Error information (LID 01h): entries of 64 bytes, the newest first. Stateless.
 *
 * spec: Base 2.0 5.16.1.2, figure 206
 */

import { decodeFields, encodeFields, type Field, viewOf } from "./wire.ts";

export const ERROR_ENTRY_BYTES = 64;
export interface ErrorEntry {
  /** Counts errors over the controller's life, from 1; 0: an empty entry. */
  readonly errorCount: number;
  /** 0xFFFF, as `cid`: no command in particular. */
  readonly sqId: number;
  readonly cid: number;
  /** The 15-bit status. */
  readonly status: number;
  /** Byte (bits 0-7) and bit (8-10) of the command that is wrong; 0xFFFF: none in particular. */
  readonly parameterLocation: number;
  /** The first block concerned. */
  readonly lba: number;
  readonly nsid: number;
  /** TRTYPE: 3 is TCP. */
  readonly transportType: number;
}

const FIELDS: Readonly<Record<Exclude<keyof ErrorEntry, "status"> | "statusField", Field>> = {
  errorCount: [0, 8],
  sqId: [8, 2],
  cid: [10, 2],
  // Bit 0 stands for the phase tag.
  statusField: [12, 2],
  parameterLocation: [14, 2],
  lba: [16, 8],
  nsid: [24, 4],
  transportType: [29, 1],
};

/** @param entries newest first @param count entries of the page: empty ones follow */
export function encodeErrorLog(entries: readonly ErrorEntry[], count: number): Uint8Array {
  const bytes = new Uint8Array(ERROR_ENTRY_BYTES * count);
  for (const [index, entry] of entries.slice(0, count).entries()) {
    const view = new DataView(bytes.buffer, ERROR_ENTRY_BYTES * index, ERROR_ENTRY_BYTES);
    encodeFields(view, FIELDS, { ...entry, statusField: entry.status << 1 });
  }
  return bytes;
}

/** Ends at the first empty entry, or with the bytes. */
export function decodeErrorLog(bytes: Uint8Array): ErrorEntry[] {
  const entries: ErrorEntry[] = [];
  for (let at = 0; at + ERROR_ENTRY_BYTES <= bytes.length; at += ERROR_ENTRY_BYTES) {
    const { statusField, ...rest } = decodeFields(viewOf(bytes.subarray(at)), FIELDS);
    if (rest.errorCount === 0) break;
    entries.push({ ...rest, status: statusField >>> 1 });
  }
  return entries;
}
