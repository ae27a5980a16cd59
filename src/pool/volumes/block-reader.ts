/**
 * BlockReader: reads ranges of volumes: looks up all blocks, reads runs of them from the disks
 * straight into the reader's memory, and compares each block with its checksum.
 *
 *   start --buffer for partial blocks--> all blocks looked up in one go --> disk reads --> verified
 *                                         +--a page is missing--> waits, looks up all again
 *
 * A whole look-up runs without a pause, so a read never sees half of a change. From it until the
 * disks have answered, the blocks are kept from reuse. A block that does not match is looked up
 * again: where it lies elsewhere by now all is read again, else it is damaged.
 */

import { Operation } from "../../block/operation.ts";
import { copyToSegments, zeroRange } from "../../block/segment-copy.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import { FAILED, MISSING } from "../pages/page-tree.ts";
import { BLOCK_BYTES, NO_ADDRESS } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { BlockRead } from "./block-read.ts";
import type { BufferQueue } from "./buffer-queue.ts";
import { DamagedBlocks } from "./damaged-blocks.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import { MappingFlag, MappingWord } from "./volume-state.ts";

/** A read whose blocks have moved meanwhile is done anew so many times. */
const ATTEMPTS_MAX = 3;

export class BlockReader implements DiskRequestOwner {
  /** Reads started and not ended. */
  inFlight = 0;
  /** Of one request to a disk. */
  blocksMax: number;
  readonly #parts: PoolParts;
  readonly #buffers: BufferQueue;
  readonly #damaged: DamagedBlocks;

  constructor(parts: PoolParts, buffers: BufferQueue, blocksMax: number) {
    this.#parts = parts;
    this.#buffers = buffers;
    this.blocksMax = blocksMax;
    this.#damaged = new DamagedBlocks(parts);
  }

  /** Starts a filled read. Hot path. */
  start(read: BlockRead): void {
    this.inFlight++;
    const last = read.count - 1;
    if (read.isPartial(0) || read.isPartial(last)) {
      read.buffer = this.#buffers.acquire(read);
      if (read.buffer === null) return;
    }
    this.goOn(read);
  }

  /** Looks up all blocks, then reads. By `BlockRead` when a page has come. Hot path. */
  goOn(read: BlockRead): void {
    read.status = Status.ok;
    read.errorOffset = -1;
    read.mismatch = -1;
    if (!this.#lookUp(read)) return;
    read.token = this.#parts.reuse.beginRead();
    // One for this call: the disks may answer only after it.
    read.pending = 1;
    for (let index = 0; index < read.count; ) index += this.#readRun(read, index);
    this.#answered(read);
  }

  // hot path
  diskRequestEnded(request: DiskRequest): void {
    const read = request.item as BlockRead; // the only ones that read here
    const index = request.tag;
    if (request.status === Status.ok) this.#verify(read, request, index);
    else this.#failed(read, request, index);
    this.#parts.disks.give(request);
    this.#answered(read);
  }

  /** False: a page is missing and asked for. Hot path. */
  #lookUp(read: BlockRead): boolean {
    const volume = read.volume as NonNullable<BlockRead["volume"]>; // filled
    const { tree } = volume;
    const { words } = this.#parts.cache;
    read.mapped = 0;
    for (let index = 0; index < read.count; index++) {
      const at = tree.find(read.first + index);
      if (at === MISSING) {
        tree.load(read.first + index, read);
        return false;
      }
      if (at === FAILED) read.failAt(Status.mediaError, index);
      read.addresses[index] = NO_ADDRESS;
      if (at < 0) continue;
      read.mapped++;
      const flags = words[at + MappingWord.addressHigh] as number;
      if ((flags & MappingFlag.damaged) !== 0) read.failAt(Status.mediaError, index);
      read.addresses[index] = addressOfEntry(words, at);
      read.checksums[index] = words[at + MappingWord.checksum] as number;
      read.entryFlags[index] = flags;
    }
    return true;
  }

  /** Reads blocks from `index` on that lie one behind the other. @returns how many. Hot path. */
  #readRun(read: BlockRead, index: number): number {
    const address = read.addresses[index] as number;
    if (read.status !== Status.ok) return read.count;
    if (address === NO_ADDRESS) {
      this.#zero(read, index);
      return 1;
    }
    if (!this.#parts.disks.holds(address, 1)) {
      read.failAt(Status.mediaError, index);
      return 1;
    }
    let count = 1;
    const isPartial = read.isPartial(index);
    const most = isPartial ? 1 : Math.min(read.count - index, this.blocksMax);
    while (count < most && read.addresses[index + count] === address + count) {
      if (read.isPartial(index + count)) break;
      count++;
    }
    const request = this.#parts.disks.take(this);
    request.operation = Operation.read;
    request.flags = read.flags;
    request.stream = read.stream;
    request.item = read;
    request.tag = index;
    if (isPartial) {
      const buffer = bufferOf(read);
      request.segments.push(buffer.slab.id, buffer.offset + scratchOf(index), BLOCK_BYTES);
    } else {
      const start = read.start + read.startOf(index);
      request.segments.appendRange(segmentsOf(read), start, count * BLOCK_BYTES);
    }
    read.pending++;
    this.#parts.disks.submit(request, address, count);
    return count;
  }

  // hot path
  #zero(read: BlockRead, index: number): void {
    const { slabs } = this.#parts.environment.reactor.io;
    const start = read.startOf(index);
    const length = Math.min(read.startOf(index + 1), read.length) - start;
    zeroRange(slabs, segmentsOf(read), read.start + start, length);
  }

  // hot path
  #verify(read: BlockRead, request: DiskRequest, first: number): void {
    const { checksum, environment } = this.#parts;
    const { slabs } = environment.reactor.io;
    const count = request.length / BLOCK_BYTES;
    for (let index = 0; index < count; index++) {
      const block = first + index;
      const isPlain = ((read.entryFlags[block] as number) & MappingFlag.noChecksum) !== 0;
      const sum = checksum.ofSegments(slabs, request.segments, index * BLOCK_BYTES);
      if (isPlain || sum === read.checksums[block]) continue;
      if (read.mismatch < 0 || block < read.mismatch) read.mismatch = block;
      break;
    }
    if (read.isPartial(first)) this.#copyPart(read, first);
  }

  #copyPart(read: BlockRead, index: number): void {
    const { slabs } = this.#parts.environment.reactor.io;
    const { slab, offset } = bufferOf(read);
    const start = read.startOf(index);
    const length = Math.min(read.startOf(index + 1), read.length) - start;
    const skip = read.offset + start - (read.first + index) * BLOCK_BYTES;
    const from = offset + scratchOf(index) + skip;
    copyToSegments(slabs, segmentsOf(read), read.start + start, slab.bytes, from, length);
  }

  #failed(read: BlockRead, request: DiskRequest, first: number): void {
    const { status, errorOffset, offset, length } = request;
    const isPlace = errorOffset >= offset && errorOffset < offset + length;
    const index = isPlace ? Math.floor((errorOffset - offset) / BLOCK_BYTES) : 0;
    read.failAt(status, first + index);
  }

  // hot path
  #answered(read: BlockRead): void {
    if (--read.pending > 0) return;
    this.#parts.reuse.endRead(read.token);
    if (read.mismatch >= 0 && !this.#judge(read)) return;
    const { owner, buffer } = read;
    assert(owner !== null, "a read ends once");
    read.owner = null;
    read.buffer = null;
    buffer?.release();
    this.inFlight--;
    owner.blocksRead(read);
  }

  /** A block did not match. False: it lies elsewhere by now, the read goes on. */
  #judge(read: BlockRead): boolean {
    const volume = read.volume as NonNullable<BlockRead["volume"]>; // filled
    const { mismatch } = read;
    const at = volume.tree.find(read.first + mismatch);
    const address = at >= 0 ? addressOfEntry(this.#parts.cache.words, at) : NO_ADDRESS;
    const hasMoved = at !== MISSING && address !== read.addresses[mismatch];
    if (hasMoved && ++read.attempts < ATTEMPTS_MAX) {
      this.goOn(read);
      return false;
    }
    this.#damaged.report(volume, read.first + mismatch, read.addresses[mismatch] as number);
    read.failAt(Status.mediaError, mismatch);
    return true;
  }
}

/** Where a partial block lies in the buffer: the first of a read at its start. Hot path. */
function scratchOf(index: number): number {
  return index === 0 ? 0 : BLOCK_BYTES;
}

// hot path
function bufferOf(read: BlockRead): NonNullable<BlockRead["buffer"]> {
  assert(read.buffer !== null, "a read of a part of a block has a buffer");
  return read.buffer;
}

// hot path
function segmentsOf(read: BlockRead): NonNullable<BlockRead["segments"]> {
  assert(read.segments !== null, "a read under way has its memory");
  return read.segments;
}
