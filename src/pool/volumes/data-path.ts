/**
 * DataPath: what the volumes of one pool share: parts, writer, reader, memory set aside.
 *
 * Made when the pool is open for business, closed when no volume is open any more.
 */

import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { SegmentList } from "../../block/segments.ts";
import { Status } from "../../block/status.ts";
import { PIECE_RESERVE_BYTES, takeReserve } from "../../block/take-reserve.ts";
import { TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { BlockReader } from "./block-reader.ts";
import { BufferQueue } from "./buffer-queue.ts";
import { DataWriter } from "./data-writer.ts";

/** Memory of zeroes; a request of 1 MiB has it 16 times. */
const ZEROES_BYTES = 64 * 1024;

export class DataPath {
  readonly parts: PoolParts;
  readonly reactor: Reactor;
  readonly writer: DataWriter;
  readonly reader: BlockReader;
  readonly buffers: BufferQueue;
  /** A MiB of zeroes. */
  readonly zeroes = new SegmentList();
  readonly #zeroSlab: Slab;

  /** @throws PenstockError `out-of-buffers`, `out-of-memory` */
  constructor(parts: PoolParts) {
    const { reactor } = parts.environment;
    this.parts = parts;
    this.reactor = reactor;
    const reserve = takeReserve(
      reactor.buffers,
      parts.checkpointer.label.name,
      PIECE_RESERVE_BYTES,
    );
    try {
      this.#zeroSlab = reactor.io.slabs.allocate(ZEROES_BYTES);
    } catch (error) {
      reserve.close();
      throw error;
    }
    for (let bytes = 0; bytes < TRANSFER_BYTES_MAX; bytes += ZEROES_BYTES) {
      this.zeroes.push(this.#zeroSlab.id, 0, ZEROES_BYTES);
    }
    this.buffers = new BufferQueue(reactor, reserve);
    this.writer = new DataWriter(parts, blocksMaxOf(parts));
    this.reader = new BlockReader(parts, this.buffers, blocksMaxOf(parts));
  }

  /** Why changes fail; ok: they do not. Hot path. */
  get fault(): Status {
    return this.parts.disks.fault === Status.ok ? Status.ok : Status.mediaError;
  }

  /** There is one more disk. */
  disksChanged(): void {
    this.writer.blocksMax = blocksMaxOf(this.parts);
    this.reader.blocksMax = blocksMaxOf(this.parts);
  }

  close(): void {
    this.buffers.close();
    this.reactor.io.slabs.release(this.#zeroSlab);
  }
}

function blocksMaxOf({ disks }: PoolParts): number {
  let bytes = TRANSFER_BYTES_MAX;
  for (let index = 0; index < disks.count; index++) {
    bytes = Math.min(bytes, disks.at(index).device.info.maxTransferBytes);
  }
  assert(bytes >= BLOCK_BYTES, "a disk of a pool takes a block at once");
  return Math.floor(bytes / BLOCK_BYTES);
}
