/**
 * Sizes in bytes as people write them: `64MiB`, `1GiB`, `512B`, `10GB`.
 *
 * Pure. Exact: the text must come to a whole number of bytes within 2^53 - 1, else it is refused;
 * nothing is rounded on the way in.
 */

import { PenstockError } from "./errors.ts";

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  pb: 1e15,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  pib: 2 ** 50,
};

const UNIT_NAMES = "B, KiB, MiB, GiB, TiB, PiB, KB, MB, GB, TB, PB";

/** What a number without a unit means; `refuse` asks for a unit. */
export type BareNumber = "bytes" | "mebibytes" | "refuse";

export interface ParseSizeOptions {
  /** Default `bytes`. `--size` of the command line takes mebibytes. */
  readonly bareNumber?: BareNumber;
  /** Smallest and largest size accepted, in bytes. Defaults: 0 and 2^53 - 1. */
  readonly minBytes?: number;
  readonly maxBytes?: number;
}

/**
 * Size of `text` in bytes: an integer from `minBytes` to `maxBytes`. Throws a PenstockError with
 * code `size-invalid` (not a size, or not whole bytes) or `size-out-of-range`.
 */
export function parseSize(text: string, options: ParseSizeOptions = {}): number {
  const match = /^(\d{1,16})(?:\.(\d{1,15}))?\s?([a-z]*)$/i.exec(text.trim());
  if (match === null) {
    throw invalid(text, `expected a number and one of ${UNIT_NAMES}`);
  }
  const [, whole = "", fraction = "", unit = ""] = match;
  const sizeBytes = scaleExactly({ whole, fraction, factor: factorOf(text, unit, options) });
  if (sizeBytes === undefined) {
    throw invalid(text, "it is not a whole number of bytes");
  }
  const minBytes = options.minBytes ?? 0;
  const maxBytes = options.maxBytes ?? Number.MAX_SAFE_INTEGER;
  if (sizeBytes < BigInt(minBytes) || sizeBytes > BigInt(maxBytes)) {
    throw new PenstockError({
      code: "size-out-of-range",
      message:
        `size "${text}" is ${sizeBytes} bytes, ` +
        `outside ${minBytes} (${formatSize(minBytes)}) to ${maxBytes} (${formatSize(maxBytes)})`,
      details: { text, minBytes, maxBytes },
    });
  }
  return Number(sizeBytes);
}

/**
 * The shortest text that `parseSize` reads back as the same number where a binary unit divides it
 * exactly or to two decimals (`1.5GiB`), else an approximation to two decimals for people.
 */
export function formatSize(sizeBytes: number): string {
  const units = ["PiB", "TiB", "GiB", "MiB", "KiB"];
  for (const [index, unit] of units.entries()) {
    const factor = 2 ** (10 * (units.length - index));
    if (sizeBytes >= factor) {
      return `${Number((sizeBytes / factor).toFixed(2))}${unit}`;
    }
  }
  return `${sizeBytes}B`;
}

function factorOf(text: string, unit: string, options: ParseSizeOptions): number {
  if (unit !== "") {
    const factor = BYTES_PER_UNIT[unit.toLowerCase()];
    if (factor === undefined) {
      throw invalid(text, `unknown unit "${unit}", expected one of ${UNIT_NAMES}`);
    }
    return factor;
  }
  const bareNumber = options.bareNumber ?? "bytes";
  if (bareNumber === "refuse") {
    throw invalid(text, `a unit is required, one of ${UNIT_NAMES}`);
  }
  return bareNumber === "bytes" ? 1 : 2 ** 20;
}

/** Whole bytes of `whole.fraction * factor`, or undefined when that is not an integer. */
function scaleExactly(parts: {
  readonly whole: string;
  readonly fraction: string;
  readonly factor: number;
}): bigint | undefined {
  const scale = 10n ** BigInt(parts.fraction.length);
  const scaled = BigInt(parts.whole + parts.fraction) * BigInt(parts.factor);
  return scaled % scale === 0n ? scaled / scale : undefined;
}

function invalid(text: string, reason: string): PenstockError {
  return new PenstockError({
    code: "size-invalid",
    message: `invalid size "${text}": ${reason}`,
    details: { text },
  });
}
