/**
 * Checksums of the blocks of volumes: the kinds that a pool may have, one function each, chosen
 * when the pool is opened. The programs' memories belong to the thread; nothing is in flight.
 *
 * Only `crc32` makes objects on the hot path: Node's function takes a view, so each piece of memory
 * costs one `subarray`. All others read slabs in place or copy into a memory of their own; what is
 * left is the engine's box around a result above 2^31 (8 bytes a call on average).
 *
 * spec: docs/internals/pool-format.md, Labels (checksum kind) and Decisions (which one, measured)
 */

import { crc32 } from "node:zlib";
import { copyBytes, copyFromSegments } from "../../block/segment-copy.ts";
import { crc32cOfSegments } from "../../block/segment-crc32c.ts";
import type { SegmentList } from "../../block/segments.ts";
import type { SlabSpace } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { crc32c } from "../../util/crc32c.ts";
import { makeXxh64 } from "../../util/xxh64.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";

export type ChecksumKind = "none" | "crc32c" | "crc32" | "xxh64";

/** The place of a kind in this list is its number on disks. */
export const CHECKSUM_KINDS: readonly ChecksumKind[] = ["none", "crc32c", "crc32", "xxh64"];

/** For new pools. */
export const CHECKSUM_KIND_DEFAULT: ChecksumKind = "xxh64";

/** All results are unsigned, below 2^32. */
export interface BlockChecksum {
  readonly kind: ChecksumKind;
  /** In labels. */
  readonly code: number;
  /** Of the list's 4096 bytes from `start` on. Hot path. */
  ofSegments(slabs: SlabSpace, segments: SegmentList, start: number): number;
  /** Of 4096 bytes from `start` on. Hot path. */
  ofBytes(bytes: Uint8Array, start: number): number;
}

/** One per kind and thread. Where the kind needs a program, that is made here, not by a request. */
export function blockChecksum(kind: ChecksumKind): BlockChecksum {
  if (kind !== "xxh64") return SIMPLE_KINDS[kind];
  xxh64Checksum ??= makeXxh64Checksum();
  return xxh64Checksum;
}

const SIMPLE_KINDS: Readonly<Record<Exclude<ChecksumKind, "xxh64">, BlockChecksum>> = {
  none: { kind: "none", code: 0, ofSegments: () => 0, ofBytes: () => 0 },
  crc32c: {
    kind: "crc32c",
    code: 1,
    ofSegments: (slabs, segments, start) => crc32cOfSegments(slabs, segments, start, BLOCK_BYTES),
    ofBytes: (bytes, start) => crc32c(bytes, start, BLOCK_BYTES),
  },
  crc32: { kind: "crc32", code: 2, ofSegments: crc32OfSegments, ofBytes: crc32OfBytes },
};

let xxh64Checksum: BlockChecksum | undefined;

function makeXxh64Checksum(): BlockChecksum {
  const { message, result, run } = makeXxh64(BLOCK_BYTES);
  return {
    kind: "xxh64",
    code: 3,
    // hot path
    ofSegments(slabs, segments, start) {
      copyFromSegments(slabs, segments, start, message, 0, BLOCK_BYTES);
      run();
      return (result[0] as number) >>> 0;
    },
    // hot path
    ofBytes(bytes, start) {
      copyBytes(bytes, start, message, 0, BLOCK_BYTES);
      run();
      return (result[0] as number) >>> 0;
    },
  };
}

// hot path
function crc32OfSegments(slabs: SlabSpace, segments: SegmentList, start: number): number {
  assert(start + BLOCK_BYTES <= segments.lengthBytes, "the block lies within the segments");
  let crc = 0;
  let skip = start;
  let left = BLOCK_BYTES;
  for (let index = 0; left > 0; index++) {
    const available = segments.length(index) - skip;
    if (available <= 0) {
      skip = -available;
      continue;
    }
    const taken = Math.min(available, left);
    const at = segments.offset(index) + skip;
    const { bytes } = slabs.get(segments.slabId(index));
    crc = crc32(bytes.subarray(at, at + taken), crc);
    left -= taken;
    skip = 0;
  }
  return crc;
}

// hot path
function crc32OfBytes(bytes: Uint8Array, start: number): number {
  assert(start >= 0 && start + BLOCK_BYTES <= bytes.length, "the block lies within its memory");
  return crc32(bytes.subarray(start, start + BLOCK_BYTES));
}
