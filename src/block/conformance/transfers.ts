/**
 * Conformance: reads and writes: places, segments, memory, overlaps.
 */

import { ok, strictEqual } from "node:assert/strict";
import { Operation } from "../operation.ts";
import { SEGMENT_COUNT_MAX } from "../segments.ts";
import { Status } from "../status.ts";
import { expectBytes, type Kit, WINDOW_BYTES } from "./kit.ts";

/** As behind an NBD request header: no multiple of anything. */
/** What a medium writes as a whole. */
const SECTOR_BYTES = 512;
const ODD_MEMORY_OFFSET = 28;

export async function neverWrittenReadsAsZeroes(kit: Kit): Promise<void> {
  const { sizeBytes, maxTransferBytes } = kit.device.info;
  await kit.verify();
  const zeroes = new Uint8Array(kit.blockSize);
  for (const offset of [sizeBytes - kit.blockSize, sizeBytes - maxTransferBytes, WINDOW_BYTES]) {
    expectBytes(await kit.read(offset, kit.blockSize), zeroes, offset);
  }
}

export async function writesAreReadBackAnywhere(kit: Kit): Promise<void> {
  const { sizeBytes, maxTransferBytes, blockSizeBytes: block } = kit.device.info;
  const places: readonly [offset: number, length: number][] = [
    [0, block],
    [block, 3 * block],
    [64 * 1024 - block, 2 * block],
    [1024 * 1024 - block, 2 * block],
    [block, maxTransferBytes],
    [sizeBytes - block, block],
    [sizeBytes - maxTransferBytes, maxTransferBytes],
  ];
  for (const [offset, length] of places) {
    const data = kit.noise(length);
    await kit.write(offset, data);
    expectBytes(await kit.read(offset, length), kit.kept(data), offset);
  }
  await kit.verify();
}

export async function segmentsOfAnyNumberWork(kit: Kit): Promise<void> {
  const { maxTransferBytes } = kit.device.info;
  const wanted = [1, 2, 3, 7, 64, SEGMENT_COUNT_MAX];
  for (const segmentCount of wanted.filter((count) => count * kit.blockSize <= maxTransferBytes)) {
    for (const memoryOffset of [0, 512, ODD_MEMORY_OFFSET]) {
      const blocks = Math.min(3 * segmentCount, maxTransferBytes / kit.blockSize);
      const offset = kit.prng.below(64) * kit.blockSize;
      const data = kit.noise(blocks * kit.blockSize);
      await kit.write(offset, data, { segmentCount, memoryOffset });
      const how = { segmentCount: Math.ceil(segmentCount / 2), memoryOffset };
      expectBytes(await kit.read(offset, data.length, how), kit.kept(data), offset);
    }
  }
  await kit.verify();
}

/** A read must fill exactly its segments, a write must not change its memory. */
export async function memoryAroundSegmentsIsLeftAlone(kit: Kit): Promise<void> {
  await kit.fillWithNoise(0, 64 * 1024);
  const ask = { length: 4 * kit.blockSize, segmentCount: 3, memoryOffset: ODD_MEMORY_OFFSET };
  const { slabs } = kit.reactor.io;
  const request = kit.request({ operation: Operation.read, ...ask });
  const { segments } = request;
  const slab = slabs.get(segments.slabId(0));
  const first = segments.offset(0);
  const last = segments.count - 1;
  const end = segments.offset(last) + segments.length(last);
  slab.bytes.fill(0xee, first - ODD_MEMORY_OFFSET, end + ODD_MEMORY_OFFSET);
  await request.run();
  strictEqual(request.status, Status.ok);
  const isInside = (at: number) =>
    Array.from({ length: segments.count }, (_, index) => index).some(
      (index) =>
        at >= segments.offset(index) && at < segments.offset(index) + segments.length(index),
    );
  for (let at = first - ODD_MEMORY_OFFSET; at < end + ODD_MEMORY_OFFSET; at++) {
    if (!isInside(at)) strictEqual(slab.bytes[at], 0xee, `byte ${at} beside the segments`);
  }
  const data = kit.noise(4 * kit.blockSize);
  const write = await kit.expect({ operation: Operation.write, ...ask, data }, Status.ok);
  expectBytes(kit.bytesOf(write), data, 0);
}

/**
 * Overlapping writes at once: in the end each sector is whole, and one of those written. Sectors,
 * not blocks: what lies below a device of 4096-byte blocks may mix the sectors of one block.
 */
export async function overlappingWritesLeaveWholeSectors(kit: Kit): Promise<void> {
  const blocks = 64;
  const block = kit.blockSize;
  await kit.fillWithNoise(0, blocks * block);
  const before = kit.model.slice(0, blocks * block);
  const rounds = 4;
  for (let round = 0; round < rounds; round++) {
    const writers: { readonly offset: number; readonly data: Uint8Array }[] = [];
    const running: Promise<unknown>[] = [];
    for (let index = 0; index < 48; index++) {
      const first = kit.prng.below(blocks);
      const count = 1 + kit.prng.below(Math.min(blocks - first, 16));
      const data = new Uint8Array(count * block).fill(1 + round * 48 + index);
      const ask = { operation: Operation.write, offset: first * block, data };
      const segmentCount = 1 + kit.prng.below(Math.min(count, 3));
      writers.push({ offset: first * block, data });
      running.push(kit.expect({ ...ask, segmentCount }, Status.ok));
      const reader = { operation: Operation.read, offset: first * block, length: count * block };
      if (index % 4 === 0) running.push(kit.expect(reader, Status.ok));
    }
    await Promise.all(running);
    const after = await kit.read(0, blocks * block);
    for (let at = 0; at < blocks * block; at += SECTOR_BYTES) {
      const now = after.subarray(at, at + SECTOR_BYTES);
      const candidates = writers
        .filter(({ offset, data }) => at >= offset && at < offset + data.length)
        .map(({ data }) => kit.kept(data.subarray(0, SECTOR_BYTES)));
      if (candidates.length === 0) candidates.push(before.subarray(at, at + SECTOR_BYTES));
      const isOne = candidates.some((candidate) => Buffer.compare(candidate, now) === 0);
      ok(isOne, `sector at ${at} is none of the ${candidates.length} that it may be`);
    }
    before.set(after);
  }
}
