/**
 * Checks of what a stored pipe's JSON holds, before anything relies on it: its checksum tells that
 * it is as it was written, not by whom. A leg that is recorded as out and cannot be understood
 * must not come back as one in sync. Pure.
 */

import type { StoredPipe } from "./pipe-store.ts";

/** The last millisecond of the year 9999: what a Timestamp can say. */
const TIME_MS_MAX = 253_402_300_799_999;
const PORT_MAX = 65_535;

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isObject: Check = (value) => typeof value === "object" && value !== null;
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const upTo =
  (max: number): Check =>
  (value) =>
    isCount(value) && Number(value) <= max;
const orAbsent =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const FIELDS: Readonly<Record<keyof StoredPipe, Check>> = {
  name: isText,
  text: isText,
  createdMs: upTo(TIME_MS_MAX),
  generation: isCount,
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

/** @returns the first field that is not what it must be, or null */
export function wrongFieldOf(value: unknown): string | null {
  return isObject(value) ? wrongField(value, FIELDS) : "the whole";
}

function isOutLeg(value: unknown): boolean {
  const fields = { leg: isText, operations: isObject, fault: isFault, info: isInfo };
  return isObject(value) && wrongField(value, fields) === null;
}

function isFault(value: unknown): boolean {
  return isObject(value) && wrongField(value, FAULT_FIELDS) === null;
}

function isInfo(value: unknown): boolean {
  return isObject(value) && wrongField(value, INFO_FIELDS) === null;
}

function wrongField(value: unknown, checks: Readonly<Record<string, Check>>): string | null {
  const fields = value as Readonly<Record<string, unknown>>;
  const wrong = Object.entries(checks).find(([name, check]) => !check(fields[name]));
  return wrong?.[0] ?? null;
}
