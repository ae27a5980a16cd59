// Tests of the checksums of blocks: published vectors of 4 KiB, and blocks in pieces.

import { notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { copyToSegments } from "../../block/segment-copy.ts";
import { SegmentList } from "../../block/segments.ts";
import { HeapSlabSpace } from "../../reactor/slab-space-heap.ts";
import { Prng } from "../../util/prng.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import {
  blockChecksum,
  CHECKSUM_KIND_DEFAULT,
  CHECKSUM_KINDS,
  type ChecksumKind,
} from "./block-checksum.ts";

const ZEROES = new Uint8Array(BLOCK_BYTES);
const RANDOM = randomBytes(3 * BLOCK_BYTES);
const TESTED = CHECKSUM_KINDS.filter((kind) => kind !== "none");

function randomBytes(length: number): Uint8Array {
  const prng = new Prng(5);
  return Uint8Array.from({ length }, () => prng.nextUint32() & 0xff);
}

/** spec: xxHash 0.8.2, XSUM_fillTestBuffer */
function xxhashBuffer(): Uint8Array {
  let generator = 2654435761n;
  return Uint8Array.from({ length: BLOCK_BYTES }, () => {
    const byte = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * 11400714785074694797n);
    return byte;
  });
}

const VECTORS: readonly (readonly [ChecksumKind, string, Uint8Array, number])[] = [
  ["none", "anything", RANDOM, 0],
  // What btrfs reports of a block of zeroes.
  ["crc32c", "zeroes", ZEROES, 0x98f94189],
  // What is known of 4 KiB of zeroes in zip and gzip.
  ["crc32", "zeroes", ZEROES, 0xc71c0011],
  // spec: xxHash 0.8.2, tests/sanity_test_vectors.h, 0xab77f4af85f4e70b at 4096
  ["xxh64", "the published buffer", xxhashBuffer(), 0x85f4e70b],
];

test("blockChecksum gives the published result when it is given a published block", () => {
  for (const [kind, name, bytes, expected] of VECTORS) {
    const found = blockChecksum(kind).ofBytes(bytes, 0);
    strictEqual(found.toString(16), expected.toString(16), `${kind} of ${name}`);
  }
});

test("blockChecksum has the number of the format when a label names a kind", () => {
  for (const [code, kind] of CHECKSUM_KINDS.entries()) {
    strictEqual(blockChecksum(kind).code, code);
    strictEqual(blockChecksum(kind).kind, kind);
    strictEqual(blockChecksum(kind), blockChecksum(kind), "one per thread");
  }
  strictEqual(CHECKSUM_KINDS.join(), "none,crc32c,crc32,xxh64");
  strictEqual(blockChecksum(CHECKSUM_KIND_DEFAULT).kind, "xxh64");
});

test("blockChecksum is that of the bytes in a row when a block lies in pieces", () => {
  const slabs = new HeapSlabSpace();
  const slab = slabs.allocate(4 * BLOCK_BYTES);
  for (const pieces of [[4096, 4096, 4096], [12_288], [1, 4095, 511, 7681], [4095, 4097, 4096]]) {
    const segments = new SegmentList();
    let end = slab.lengthBytes - 5;
    for (const length of pieces) {
      end -= length;
      segments.push(slab.id, end, length);
    }
    copyToSegments(slabs, segments, 0, RANDOM, 0, segments.lengthBytes);
    for (const kind of CHECKSUM_KINDS) {
      const { ofSegments, ofBytes } = blockChecksum(kind);
      for (const start of [0, 1, 512, 4095, 4096, 5000, segments.lengthBytes - BLOCK_BYTES]) {
        strictEqual(ofSegments(slabs, segments, start), ofBytes(RANDOM, start), `${kind} ${start}`);
      }
    }
  }
});

test("blockChecksum is another one when any byte of the block has changed", () => {
  const block = RANDOM.slice(0, BLOCK_BYTES);
  for (const kind of TESTED) {
    const { ofBytes } = blockChecksum(kind);
    const before = ofBytes(block, 0);
    for (let at = 0; at < BLOCK_BYTES; at++) {
      const byte = block[at] as number;
      block[at] = byte ^ (1 << (at & 7));
      notStrictEqual(ofBytes(block, 0), before, `${kind}, byte ${at}`);
      block[at] = byte;
    }
    strictEqual(ofBytes(block, 0), before, kind);
  }
});

test("blockChecksum refuses when the block does not lie within its memory", () => {
  const slabs = new HeapSlabSpace();
  const segments = new SegmentList();
  segments.push(slabs.allocate(BLOCK_BYTES).id, 0, BLOCK_BYTES);
  for (const kind of TESTED) {
    const checksum = blockChecksum(kind);
    throws(() => checksum.ofSegments(slabs, segments, 1), { code: "assertion-failed" }, kind);
    throws(() => checksum.ofBytes(ZEROES, 1), { code: "assertion-failed" }, kind);
  }
});
