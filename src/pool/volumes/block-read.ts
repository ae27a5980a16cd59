/**
 * BlockRead: a read of a range of a volume into memory, whatever became of its blocks, with what
 * was looked up of each. Pooled by its users; the BlockReader drives it.
 */

import type { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { BufferTaker } from "./buffer-queue.ts";
import type { BlockReader } from "./block-reader.ts";
import type { VolumeState } from "./volume-state.ts";

export interface BlockReadOwner {
  /** Once, perhaps before `start` returns: `read.status`, `read.errorOffset`. */
  blocksRead(read: BlockRead): void;
}

export class BlockRead implements PageWaiter, BufferTaker {
  nextWaiter: PageWaiter | null = null;
  nextTaker: BufferTaker | null = null;
  readonly bufferBytes = 2 * BLOCK_BYTES;
  owner: BlockReadOwner | null = null;
  volume: VolumeState | null = null;
  /** Bytes of the volume, multiples of 512. */
  offset = 0;
  length = 0;
  /** Gets the content: the list's bytes from `start` on. */
  segments: SegmentList | null = null;
  start = 0;
  flags = 0;
  stream = 0;
  status: Status = Status.ok;
  /** Byte of the volume of the first error, or -1. */
  errorOffset = -1;
  /** Blocks that the volume maps: the rest are zeroes. */
  mapped = 0;

  /** Block of the volume that the range begins in. */
  first = 0;
  count = 0;
  /** Of each block, as looked up. */
  addresses = new Float64Array(1);
  checksums = new Uint32Array(1);
  entryFlags = new Uint32Array(1);
  /** For blocks of which only a part is wanted: the first and the last. */
  buffer: PoolBuffer | null = null;
  /** Requests to disks that have not ended. */
  pending = 0;
  /** Of the reuse pipeline. */
  token = 0;
  attempts = 0;
  /** Lowest block that did not match its checksum, or -1. */
  mismatch = -1;
  readonly #reader: BlockReader;

  constructor(reader: BlockReader) {
    this.#reader = reader;
  }

  /** Hot path. */
  fill(
    owner: BlockReadOwner,
    volume: VolumeState,
    offset: number,
    length: number,
    segments: SegmentList,
    start: number,
  ): void {
    assert(length > 0 && this.pending === 0, "a read has bytes and is used once at a time");
    this.owner = owner;
    this.volume = volume;
    this.offset = offset;
    this.length = length;
    this.segments = segments;
    this.start = start;
    this.first = Math.floor(offset / BLOCK_BYTES);
    this.count = Math.ceil((offset + length) / BLOCK_BYTES) - this.first;
    this.attempts = 0;
    if (this.addresses.length < this.count) this.#grow();
  }

  /** True: only a part of this block is wanted. Hot path. */
  isPartial(index: number): boolean {
    const begin = (this.first + index) * BLOCK_BYTES;
    return begin < this.offset || begin + BLOCK_BYTES > this.offset + this.length;
  }

  /** Where the block's part that is wanted begins, bytes from the range's start. Hot path. */
  startOf(index: number): number {
    return Math.max((this.first + index) * BLOCK_BYTES - this.offset, 0);
  }

  /** The first error in the volume's order counts. */
  fail(status: Status, errorOffset: number): void {
    if (this.status !== Status.ok && this.errorOffset <= errorOffset) return;
    this.status = status;
    this.errorOffset = errorOffset;
  }

  /** Names the block: its first byte that was asked for. */
  failAt(status: Status, index: number): void {
    this.fail(status, Math.max((this.first + index) * BLOCK_BYTES, this.offset));
  }

  bufferTaken(buffer: PoolBuffer): void {
    this.buffer = buffer;
    this.#reader.goOn(this);
  }

  pageReady(): void {
    this.#reader.goOn(this);
  }

  #grow(): void {
    const capacity = Math.max(this.count, 2 * this.addresses.length);
    this.addresses = new Float64Array(capacity);
    this.checksums = new Uint32Array(capacity);
    this.entryFlags = new Uint32Array(capacity);
  }
}
