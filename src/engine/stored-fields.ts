/**
 * Checks of what a stored record's JSON holds, before anything relies on it: its checksum tells
 * that it is as it was written, not by whom. A leg that is recorded as out and cannot be understood
 * must not come back as one in sync. Pure.
 */

import type { StoredPipe } from "./pipe-store.ts";
import type { StoredRecord } from "./record-store.ts";

/** The last millisecond of the year 9999: what a Timestamp can say. */
const TIME_MS_MAX = 253_402_300_799_999;
const PORT_MAX = 65_535;

type Check = (value: unknown) => boolean;

export const isText: Check = (value) => typeof value === "string";
const isObject: Check = (value) => typeof value === "object" && value !== null;
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const upTo =
  (max: number): Check =>
  (value) =>
    isCount(value) && Number(value) <= max;
export const orAbsent =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

/** Of every record. */
export const RECORD_FIELDS: Readonly<Record<keyof StoredRecord, Check>> = {
  name: isText,
  createdMs: upTo(TIME_MS_MAX),
  generation: isCount,
};

const FIELDS: Readonly<Record<keyof StoredPipe, Check>> = {
  ...RECORD_FIELDS,
  text: isText,
  port: orAbsent(upTo(PORT_MAX)),
  outLegs: orAbsent((value) => Array.isArray(value) && value.every(isOutLeg)),
  hostSeed: orAbsent(isText),
};

const FAULT_FIELDS: Readonly<Record<string, Check>> = {
  kind: isText,
  reason: isText,
  time: isText,
  operation: isText,
  offset: isCount,
};

const INFO_FIELDS: Readonly<Record<string, Check>> = {
  sizeBytes: isCount,
  blockSizeBytes: isCount,
  maxTransferBytes: isCount,
};

/** Of a pipe. @returns the first field that is not what it must be, or null */
export function wrongFieldOf(value: unknown): string | null {
  return wrongField(value, FIELDS);
}

function isOutLeg(value: unknown): boolean {
  const fields = { leg: isText, operations: isObject, fault: isFault, info: isInfo };
  return wrongField(value, fields) === null;
}

function isFault(value: unknown): boolean {
  return wrongField(value, FAULT_FIELDS) === null;
}

function isInfo(value: unknown): boolean {
  return wrongField(value, INFO_FIELDS) === null;
}

/** @returns the first field that is not what it must be, "the whole", or null */
export function wrongField(value: unknown, checks: Readonly<Record<string, Check>>): string | null {
  if (!isObject(value)) return "the whole";
  const fields = value as Readonly<Record<string, unknown>>;
  const wrong = Object.entries(checks).find(([name, check]) => !check(fields[name]));
  return wrong?.[0] ?? null;
}
