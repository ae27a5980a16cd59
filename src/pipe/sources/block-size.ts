/**
 * The option that all sources have: `blocksize=512|4096`.
 */

import type { StageOptions } from "../stage-options.ts";

const BLOCK_SIZES = ["512", "4096"] as const;

/** Bytes, or undefined when the source is to decide. */
export function readBlockSize(options: StageOptions): number | undefined {
  const text = options.oneOf("blocksize", BLOCK_SIZES, { fallback: undefined });
  return text === undefined ? undefined : Number(text);
}
