/** CRC32C over a request's segments: what a data digest covers, wherever the data lies. */

import type { SlabSpace } from "../reactor/slab.ts";
import { assert } from "../util/assert.ts";
import { crc32c } from "../util/crc32c.ts";
import type { SegmentList } from "./segments.ts";

/**
 * The CRC32C of the list's bytes [start, start + length). `seed` is the result for what came
 * before, 0 at the beginning. Allocates nothing.
 */
// hot path
export function crc32cOfSegments(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  length: number,
  seed = 0,
): number {
  assert(start + length <= segments.lengthBytes, "the checksum covers bytes of the segments");
  let crc = seed;
  let skip = start;
  let left = length;
  for (let index = 0; left > 0; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, left);
    const { bytes } = slabs.get(segments.slabId(index));
    crc = crc32c(bytes, segments.offset(index) + skip, taken, crc);
    left -= taken;
    skip = 0;
  }
  return crc;
}
