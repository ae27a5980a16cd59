/**
 * One range of Dataset Management; a command carries 1 to 256 of 16 bytes each.
 *
 *   offset  field                           little-endian
 *        0  u32 context attributes           advice, ignored
 *        4  u32 length in blocks
 *        8  u64 first block
 *
 * Stateless; hot path (a trim may have 256 of them).
 *
 * spec: NVM Command Set 1.0 3.2.3, figures 37 to 39
 */

import { DATASET_RANGE_BYTES } from "./constants.ts";
import { getUint64, setUint64 } from "./wire.ts";

/** NR of the command's CDW10: 1 to 256. Hot path. */
export function rangeCountOf(cdw10: number): number {
  return (cdw10 & 0xff) + 1;
}

/** Blocks of the range at `at`; 0 does nothing. Hot path. */
export function rangeBlocks(view: DataView, at: number): number {
  return view.getUint32(at + 4, true);
}

/** First block of the range at `at`; 2^53 or more when it is beyond what a double holds. */
export function rangeStart(view: DataView, at: number): number {
  return getUint64(view, at + 8);
}

/** Writes a range of 1 to 2^32 - 1 blocks at `at` and returns its 16 bytes. Hot path. */
export function encodeRange(view: DataView, at: number, start: number, blocks: number): number {
  view.setUint32(at, 0, true);
  view.setUint32(at + 4, blocks, true);
  setUint64(view, at + 8, start);
  return DATASET_RANGE_BYTES;
}
