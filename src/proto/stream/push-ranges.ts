/**
 * pushRanges: a part of a request's memory for a system call, where it lies.
 */

import type { SegmentList } from "../../block/segments.ts";
import type { Io, IoVector } from "../../reactor/io.ts";

/** Appends `segments`' bytes [start, start + length) to `vector`, where they lie. Hot path. */
export function pushRanges(
  io: Io,
  vector: IoVector,
  segments: SegmentList,
  start: number,
  length: number,
): void {
  const { slabs } = io;
  let skip = start;
  let left = length;
  for (let index = 0; left > 0; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, left);
    vector.push(slabs.get(segments.slabId(index)), segments.offset(index) + skip, taken);
    skip = 0;
    left -= taken;
  }
}
