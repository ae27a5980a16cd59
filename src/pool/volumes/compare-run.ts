/**
 * CompareRun: compares a range of a volume with memory, piece by piece, from its start on: the
 * first difference is what is asked for.
 */

import { compareSegments } from "../../block/segment-copy.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Request } from "../../block/request.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { BlockRead, type BlockReadOwner } from "./block-read.ts";
import type { BufferTaker } from "./buffer-queue.ts";
import type { DataPath } from "./data-path.ts";
import type { VolumeState } from "./volume-state.ts";

const PIECE_BYTES = 64 * 1024;

export interface CompareOwner {
  /** Once, perhaps before `start` returns: `status`, `errorOffset`. */
  compared(run: CompareRun): void;
}

export class CompareRun implements BlockReadOwner, BufferTaker {
  nextTaker: BufferTaker | null = null;
  readonly bufferBytes = PIECE_BYTES;
  status: Status = Status.ok;
  errorOffset = -1;
  readonly #path: DataPath;
  readonly #owner: CompareOwner;
  readonly #read: BlockRead;
  readonly #segments = new SegmentList();
  #volume: VolumeState | null = null;
  #request: Request | null = null;
  #buffer: PoolBuffer | null = null;
  /** Bytes of the request that are equal. */
  #done = 0;

  constructor(path: DataPath, owner: CompareOwner) {
    this.#path = path;
    this.#owner = owner;
    this.#read = new BlockRead(path.reader);
  }

  /** The first `request.length` bytes of the request's memory, with what is at its offset. */
  start(volume: VolumeState, request: Request): void {
    assert(this.#buffer === null, "a comparison is used once at a time");
    this.#volume = volume;
    this.#request = request;
    this.#done = 0;
    this.status = Status.ok;
    this.errorOffset = -1;
    const buffer = this.#path.buffers.acquire(this);
    if (buffer !== null) this.bufferTaken(buffer);
  }

  bufferTaken(buffer: PoolBuffer): void {
    this.#buffer = buffer;
    this.#next();
  }

  blocksRead(read: BlockRead): void {
    if (read.status !== Status.ok) {
      this.#end(read.status, Math.max(read.errorOffset, this.#live.offset));
      return;
    }
    const { offset, length, segments } = this.#live;
    const { slab, offset: at } = this.#buffer as PoolBuffer; // while it reads
    const begin = offset + this.#done;
    const bytes = Math.min(read.offset + read.length, offset + length) - begin;
    const { slabs } = this.#path.reactor.io;
    const from = at + begin - read.offset;
    const equal = compareSegments(slabs, segments, this.#done, slab.bytes, from, bytes);
    this.#done += equal;
    if (equal < bytes) this.#end(Status.compareFailed, offset + this.#done);
    else this.#next();
  }

  get #live(): Request {
    assert(this.#request !== null, "a comparison under way has its request");
    return this.#request;
  }

  /** Whole blocks are read, so that none needs a buffer of its own. */
  #next(): void {
    const { offset, length, flags, stream } = this.#live;
    if (this.#done === length) {
      this.#end(Status.ok, -1);
      return;
    }
    const buffer = this.#buffer as PoolBuffer; // since it was taken
    const begin = Math.floor((offset + this.#done) / BLOCK_BYTES) * BLOCK_BYTES;
    const rest = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES - begin;
    const bytes = Math.min(rest, buffer.lengthBytes);
    this.#segments.clear();
    this.#segments.push(buffer.slab.id, buffer.offset, bytes);
    this.#read.flags = flags;
    this.#read.stream = stream;
    const volume = this.#volume as VolumeState; // since `start`
    this.#read.fill(this, volume, begin, bytes, this.#segments, 0);
    this.#path.reader.start(this.#read);
  }

  #end(status: Status, errorOffset: number): void {
    const buffer = this.#buffer;
    assert(buffer !== null, "a comparison ends once");
    this.#buffer = null;
    this.#request = null;
    this.status = status;
    this.errorOffset = errorOffset;
    buffer.release();
    this.#owner.compared(this);
  }
}
