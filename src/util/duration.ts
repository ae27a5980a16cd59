/**
 * Durations as people write them: `5ms`, `2s`, `500us`, `1.5h`. A unit is required, because a bare
 * number was seconds in one place and milliseconds in the next in every system we learnt from.
 *
 * Pure. Values inside the program are milliseconds in a number, fractions allowed.
 */

import { PenstockError } from "./errors.ts";

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 60e3,
  min: 60e3,
  h: 3600e3,
  d: 86_400e3,
};

const UNIT_NAMES = "ns, us, ms, s, m, h, d";

/** About 285 years: beyond it a number of milliseconds loses whole milliseconds. */
const DURATION_MS_MAX = Number.MAX_SAFE_INTEGER / 1000;

export interface ParseDurationOptions {
  /** Shortest and longest duration accepted, in milliseconds. Defaults: 0 and about 285 years. */
  readonly minMs?: number;
  readonly maxMs?: number;
}

/**
 * Duration of `text` in milliseconds (a fraction for `us` and `ns`). Throws a PenstockError with
 * code `duration-invalid` or `duration-out-of-range`.
 */
export function parseDuration(text: string, options: ParseDurationOptions = {}): number {
  const match = /^(\d{1,16}(?:\.\d{1,9})?)\s?([a-zµ]*)$/.exec(text.trim());
  if (match === null) {
    throw invalid(text, `expected a number and one of ${UNIT_NAMES}`);
  }
  const [, amount = "", unit = ""] = match;
  if (unit === "") {
    throw invalid(text, `a unit is required, one of ${UNIT_NAMES}`);
  }
  const factor = MS_PER_UNIT[unit];
  if (factor === undefined) {
    throw invalid(text, `unknown unit "${unit}", expected one of ${UNIT_NAMES}`);
  }
  const durationMs = roundToNanosecond(Number(amount) * factor);
  const minMs = options.minMs ?? 0;
  const maxMs = options.maxMs ?? DURATION_MS_MAX;
  if (durationMs < minMs || durationMs > maxMs) {
    throw new PenstockError({
      code: "duration-out-of-range",
      message: `duration "${text}" is outside ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
      details: { text, minMs, maxMs },
    });
  }
  return durationMs;
}

/** A short text with one unit and at most two decimals, such as `1.5s` or `250us`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) {
    return "0ms";
  }
  for (const unit of ["d", "h", "m", "s", "ms", "us"]) {
    const factor = MS_PER_UNIT[unit] ?? 1;
    if (durationMs >= factor) {
      return `${Number((durationMs / factor).toFixed(2))}${unit}`;
    }
  }
  return `${Number((durationMs * 1e6).toFixed(2))}ns`;
}

/** Removes the dust of binary fractions, so that `0.1us` is 0.0001 ms and compares as such. */
function roundToNanosecond(durationMs: number): number {
  return durationMs >= 1e6 ? durationMs : Math.round(durationMs * 1e6) / 1e6;
}

function invalid(text: string, reason: string): PenstockError {
  return new PenstockError({
    code: "duration-invalid",
    message: `invalid duration "${text}": ${reason}`,
    details: { text },
  });
}
