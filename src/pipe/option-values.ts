/**
 * Converts the text of an option to the plain types that no other module has a parser for.
 *
 * Pure. Errors are PenstockErrors without a position; StageOptions adds the key and the place.
 */

import { PenstockError } from "../util/errors.ts";
import { quote } from "./grammar-error.ts";
import { suggestName } from "./nearest-name.ts";

export interface IntegerRange {
  /** Both inclusive, safe integers. Defaults: 0 and 2^53 - 1. */
  readonly min?: number;
  readonly max?: number;
}

export interface LengthRange {
  /** Both inclusive, in UTF-16 code units. Defaults: 1 and 4096. */
  readonly lengthMin?: number;
  readonly lengthMax?: number;
}

const STRING_LENGTH_MAX = 4096;

/** Longer than any number with a unit; bounds what the messages of other modules repeat. */
const SCALAR_LENGTH_MAX = 40;

const BOOLEAN_WORDS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["yes", true],
  ["on", true],
  ["1", true],
  ["false", false],
  ["no", false],
  ["off", false],
  ["0", false],
]);

/** `value` itself. Throws `string-out-of-range`. */
export function checkLength(value: string, range: LengthRange): string {
  const { lengthMin = 1, lengthMax = STRING_LENGTH_MAX } = range;
  if (value.length < lengthMin || value.length > lengthMax) {
    const found = value === "" ? "an empty value" : `${value.length} characters`;
    throw new PenstockError({
      code: "string-out-of-range",
      message: `found ${found}, expected ${lengthMin} to ${lengthMax} characters`,
    });
  }
  return value;
}

/** `value` itself, when it is short enough for a number with a unit. Throws `value-too-long`. */
export function checkScalar(value: string): string {
  if (value.length > SCALAR_LENGTH_MAX) {
    throw new PenstockError({
      code: "value-too-long",
      message: `found ${value.length} characters, expected at most ${SCALAR_LENGTH_MAX}`,
    });
  }
  return value;
}

/** Throws `integer-invalid` or `integer-out-of-range`. */
export function parseInteger(value: string, range: IntegerRange): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = range;
  if (!/^-?\d+$/.test(value)) {
    throw new PenstockError({
      code: "integer-invalid",
      message: `found ${quote(value)}, expected an integer from ${min} to ${max}`,
    });
  }
  const integer = Number(value);
  // Beyond 2^53 a number is not what was written, but it is beyond every range as well.
  if (integer < min || integer > max) {
    throw new PenstockError({
      code: "integer-out-of-range",
      message: `found ${quote(value)}, expected an integer from ${min} to ${max}`,
    });
  }
  return integer === 0 ? 0 : integer;
}

/** `true`, `yes`, `on`, `1` and their opposites. Throws `boolean-invalid`. */
export function parseBoolean(value: string): boolean {
  const parsed = BOOLEAN_WORDS.get(value.toLowerCase());
  if (parsed === undefined) {
    throw new PenstockError({
      code: "boolean-invalid",
      message: `found ${quote(value)}, expected true or false`,
    });
  }
  return parsed;
}

/** The one of `values` that `value` spells exactly. Throws `choice-invalid`. */
export function findChoice<V extends string>(value: string, values: readonly V[]): V {
  const choice = values.find((candidate) => candidate === value);
  if (choice === undefined) {
    throw new PenstockError({
      code: "choice-invalid",
      message:
        `found ${quote(value)}, expected one of ${values.join(", ")}` +
        `${suggestName(value, values)}`,
    });
  }
  return choice;
}
