/**
 * Checks of what callers of the library hand in. Pure. Each says what was found and what was
 * expected; the codes are those of the data path where it has one for the case.
 */

import { READ_BYTES_MAX } from "../block/promise-device.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";

const MIB = 2 ** 20;
const BUFFER_LIMIT_BYTES_MAX = 16 * 2 ** 30;

/** What of a device decides which ranges it has. */
export interface RangeRules {
  readonly text: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}

/** @throws PenstockError `invalid-argument`, `misaligned`, `out-of-range` */
export function checkRange(rules: RangeRules, offset: number, length: number): void {
  const { text, sizeBytes, blockSizeBytes } = rules;
  checkInteger("offset", offset, 0);
  checkInteger("length", length, 1);
  for (const [name, value] of [
    ["offset", offset],
    ["length", length],
  ] as const) {
    if (value % blockSizeBytes === 0) continue;
    throw refusal(
      "misaligned",
      `found the ${name} ${value}, expected a multiple of ${blockSizeBytes}, ` +
        `the block size of ${text}`,
    );
  }
  // Not offset + length, which may be beyond what a number holds exactly.
  if (offset > sizeBytes || length > sizeBytes - offset) {
    throw refusal(
      "out-of-range",
      `found ${length} bytes at offset ${offset}, expected them within the ${sizeBytes} bytes ` +
        `of ${text}`,
    );
  }
}

/** @throws PenstockError `invalid-argument` */
export function checkBytes(name: string, value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw refusal("invalid-argument", `found ${shown(value)} as ${name}, expected a Uint8Array`);
  }
  if (value.length === 0) {
    const message = `found a ${name} of 0 bytes, expected one that is neither empty nor detached`;
    throw refusal("invalid-argument", message);
  }
}

/** @throws PenstockError `invalid-argument`, `length-too-large` */
export function checkReadLength(length: number): void {
  checkInteger("length", length, 1);
  if (length <= READ_BYTES_MAX) return;
  const limit = `at most ${READ_BYTES_MAX} in one call`;
  const message = `found a length of ${length} bytes, expected ${limit}`;
  throw refusal("length-too-large", message);
}

/** @throws PenstockError `invalid-argument` */
export function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value === "string") return;
  throw refusal("invalid-argument", `found ${shown(value)} as ${name}, expected a text`);
}

/** @throws PenstockError `invalid-argument` */
export function checkBufferLimit(value: number | undefined): void {
  if (value === undefined) return;
  const isFit = Number.isSafeInteger(value) && value >= MIB && value <= BUFFER_LIMIT_BYTES_MAX;
  if (isFit && value % MIB === 0) return;
  throw refusal(
    "invalid-argument",
    `found a bufferLimitBytes of ${shown(value)}, expected a multiple of ${formatSize(MIB)} ` +
      `from ${formatSize(MIB)} to ${formatSize(BUFFER_LIMIT_BYTES_MAX)}`,
  );
}

function checkInteger(name: string, value: unknown, min: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= min) return;
  const range = `an integer from ${min} to ${Number.MAX_SAFE_INTEGER}`;
  throw refusal("invalid-argument", `found ${shown(value)} as ${name}, expected ${range}`);
}

function refusal(code: string, message: string): PenstockError {
  return new PenstockError({ code, message });
}

/** A value as a person would recognise it, in few characters. */
function shown(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return `the text "${value.slice(0, 40)}"`;
  return typeof value === "object" ? `a ${value.constructor?.name ?? "object"}` : typeof value;
}
