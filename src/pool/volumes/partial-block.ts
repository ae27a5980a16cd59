/**
 * EdgeBlocks: the first and the last block of a change that covers only a part of them: read as
 * they are, then changed in a buffer, to be written as whole blocks. Under the range table.
 *
 *   start --buffer--> head read --> tail read --> patched --> owner; release when written
 */

import { copyFromSegments } from "../../block/segment-copy.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { BlockRead, type BlockReadOwner } from "./block-read.ts";
import type { BufferTaker } from "./buffer-queue.ts";
import type { DataPath } from "./data-path.ts";
import type { VolumeState } from "./volume-state.ts";

export interface EdgeOwner {
  /** Once, perhaps before `start` returns: `status`, `errorOffset`. */
  edgesReady(edges: EdgeBlocks): void;
}

/** The change: bytes of the volume. */
export interface EdgeRange {
  readonly offset: number;
  readonly length: number;
  /** What is written there: the list's bytes from `dataStart` on; null: zeroes. */
  readonly data: SegmentList | null;
  readonly dataStart: number;
  readonly flags: number;
  readonly stream: number;
}

export class EdgeBlocks implements BlockReadOwner, BufferTaker {
  nextTaker: BufferTaker | null = null;
  readonly bufferBytes = 2 * BLOCK_BYTES;
  status: Status = Status.ok;
  errorOffset = -1;
  /** The blocks of the volume, and where their new content is. */
  readonly blocks: number[] = [];
  readonly segments = new SegmentList();
  /** Of each: the volume maps it. */
  readonly isMapped: boolean[] = [];
  readonly #path: DataPath;
  readonly #owner: EdgeOwner;
  readonly #read: BlockRead;
  #volume: VolumeState | null = null;
  #range: EdgeRange | null = null;
  #buffer: PoolBuffer | null = null;
  #done = 0;

  constructor(path: DataPath, owner: EdgeOwner) {
    this.#path = path;
    this.#owner = owner;
    this.#read = new BlockRead(path.reader);
  }

  /** True: the range has a block of which it covers a part. Hot path. */
  static has(offset: number, length: number): boolean {
    return offset % BLOCK_BYTES !== 0 || (offset + length) % BLOCK_BYTES !== 0;
  }

  start(volume: VolumeState, range: EdgeRange): void {
    assert(this.#buffer === null, "edges are used once at a time");
    const { offset, length } = range;
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    this.#volume = volume;
    this.#range = range;
    this.status = Status.ok;
    this.errorOffset = -1;
    this.blocks.length = 0;
    this.isMapped.length = 0;
    this.#done = 0;
    if (offset % BLOCK_BYTES !== 0 || first === last) this.blocks.push(first);
    if (last > first && (offset + length) % BLOCK_BYTES !== 0) this.blocks.push(last);
    const buffer = this.#path.buffers.acquire(this);
    if (buffer !== null) this.bufferTaken(buffer);
  }

  bufferTaken(buffer: PoolBuffer): void {
    this.#buffer = buffer;
    this.segments.clear();
    this.segments.push(buffer.slab.id, buffer.offset, 2 * BLOCK_BYTES);
    this.#next();
  }

  blocksRead(read: BlockRead): void {
    if (read.status !== Status.ok) {
      this.status = read.status;
      this.errorOffset = Math.max(read.errorOffset, this.#live.offset);
      this.#owner.edgesReady(this);
      return;
    }
    this.isMapped.push(read.mapped > 0);
    this.#patch(this.#done);
    this.#done++;
    this.#next();
  }

  /** Their content is not needed any more. */
  release(): void {
    const buffer = this.#buffer;
    assert(buffer !== null, "edges have their buffer until it is released");
    this.#buffer = null;
    this.#range = null;
    buffer.release();
  }

  get #live(): EdgeRange {
    assert(this.#range !== null, "edges under way have their range");
    return this.#range;
  }

  #next(): void {
    const block = this.blocks[this.#done];
    if (block === undefined) {
      this.#owner.edgesReady(this);
      return;
    }
    const volume = this.#volume as VolumeState; // since `start`
    const start = this.#done * BLOCK_BYTES;
    this.#read.flags = this.#live.flags;
    this.#read.stream = this.#live.stream;
    this.#read.fill(this, volume, block * BLOCK_BYTES, BLOCK_BYTES, this.segments, start);
    this.#path.reader.start(this.#read);
  }

  /** What the range covers of the block becomes what it says. */
  #patch(index: number): void {
    const { offset, length, data, dataStart } = this.#live;
    const begin = (this.blocks[index] as number) * BLOCK_BYTES;
    const from = Math.max(begin, offset);
    const end = Math.min(begin + BLOCK_BYTES, offset + length);
    const { slab, offset: bufferOffset } = this.#buffer as PoolBuffer; // while it reads
    const at = bufferOffset + index * BLOCK_BYTES + from - begin;
    if (data === null) {
      slab.bytes.fill(0, at, at + end - from);
      return;
    }
    const { slabs } = this.#path.reactor.io;
    copyFromSegments(slabs, data, dataStart + from - offset, slab.bytes, at, end - from);
  }
}
