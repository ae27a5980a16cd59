/**
 * Moving bytes between a request's segments and other memory: pure loops over the segment list.
 *
 * `start` counts bytes from the beginning of the list, so that a caller can go through a list
 * piece by piece. All of it is hot path: nothing is allocated but by `compareSegments`.
 */

import type { SlabSpace } from "../reactor/slab.ts";
import { assert } from "../util/assert.ts";
import type { SegmentList } from "./segments.ts";

/** Copies `length` bytes; unlike `set(subarray())` it makes no view. */
export function copyBytes(
  source: Uint8Array,
  sourceStart: number,
  target: Uint8Array,
  targetStart: number,
  length: number,
): void {
  // Buffer's own copy takes any Uint8Array as its source.
  const copied = Buffer.prototype.copy.call(
    source as Buffer,
    target,
    targetStart,
    sourceStart,
    sourceStart + length,
  );
  assert(copied === length, "a copy lies within both memories");
}

/** The list's bytes [start, start + length) become `target`'s from `targetStart` on. */
export function copyFromSegments(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  target: Uint8Array,
  targetStart: number,
  length: number,
): void {
  copyPieces(slabs, segments, start, target, targetStart, length, true);
}

/** `source`'s bytes from `sourceStart` on become the list's bytes [start, start + length). */
export function copyToSegments(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  source: Uint8Array,
  sourceStart: number,
  length: number,
): void {
  copyPieces(slabs, segments, start, source, sourceStart, length, false);
}

/** Zeroes all memory of the list. */
export function zeroSegments(slabs: SlabSpace, segments: SegmentList): void {
  for (let index = 0; index < segments.count; index++) {
    const start = segments.offset(index);
    slabs.get(segments.slabId(index)).bytes.fill(0, start, start + segments.length(index));
  }
}

/** Zeroes the list's bytes [start, start + length). */
export function zeroRange(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  length: number,
): void {
  assert(start + length <= segments.lengthBytes, "the range lies within the segments");
  let skip = start;
  let left = length;
  for (let index = 0; left > 0; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, left);
    const at = segments.offset(index) + skip;
    slabs.get(segments.slabId(index)).bytes.fill(0, at, at + taken);
    left -= taken;
    skip = 0;
  }
}

/**
 * Compares the list's bytes [start, start + length) with `other`'s from `otherStart` on.
 * @returns how many leading bytes are equal: `length` when all are
 */
export function compareSegments(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  other: Uint8Array,
  otherStart: number,
  length: number,
): number {
  assert(start + length <= segments.lengthBytes, "the comparison lies within the segments");
  let skip = start;
  let done = 0;
  for (let index = 0; done < length; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, length - done);
    const from = segments.offset(index) + skip;
    const mine = slabs.get(segments.slabId(index)).bytes.subarray(from, from + taken);
    const theirs = other.subarray(otherStart + done, otherStart + done + taken);
    const equal = equalPrefix(mine, theirs);
    done += equal;
    if (equal < taken) break;
    skip = 0;
  }
  return done;
}

/** Length of the common beginning of two memories of the same length. */
function equalPrefix(a: Uint8Array, b: Uint8Array): number {
  assert(a.length === b.length, "both sides have the same length");
  if (Buffer.compare(a, b) === 0) return a.length;
  let index = 0;
  while (a[index] === b[index]) index++;
  return index;
}

/** Copies between the list's bytes [start, start + length) and `other`'s from `otherStart` on. */
function copyPieces(
  slabs: SlabSpace,
  segments: SegmentList,
  start: number,
  other: Uint8Array,
  otherStart: number,
  length: number,
  fromSegments: boolean,
): void {
  assert(start + length <= segments.lengthBytes, "the copy lies within the segments");
  let skip = start;
  let done = 0;
  for (let index = 0; done < length; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, length - done);
    const piece = slabs.get(segments.slabId(index)).bytes;
    const pieceStart = segments.offset(index) + skip;
    const otherPosition = otherStart + done;
    if (fromSegments) copyBytes(piece, pieceStart, other, otherPosition, taken);
    else copyBytes(other, otherPosition, piece, pieceStart, taken);
    done += taken;
    skip = 0;
  }
}
