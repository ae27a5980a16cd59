/**
 * TailCheck: after a loss of volatile data, which blocks of the log's tail have arrived. A record
 * of the tail can be there without its data; then the old mapping stands.
 *
 * Reads the data of all writes behind the mark, in a few lanes side by side, and compares
 * checksums. What cannot be read at all counts as arrived: reads will say so.
 *
 * spec: docs/internals/pool-format.md, The log's end, rot, and what was lost
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { BLOCK_BYTES, blockOf, diskOf } from "../pool-layout.ts";
import type { BlockChecksum } from "../volumes/block-checksum.ts";

/** What of a write has to be looked at. */
export interface TailWrite {
  /** Word of the ring at which its record begins. */
  readonly at: number;
  readonly address: number;
  readonly count: number;
  /** In the ring. */
  readonly checksums: Uint32Array;
  readonly checksumsAt: number;
}

/** By the word at which a record begins: of each of its blocks, 1 when it is not there. */
export type MissingBlocks = Map<number, Uint8Array>;

export interface TailCheckOptions {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly checksum: BlockChecksum;
}

const LANES = 16;
const LANE_BLOCKS = 32;

/** @param writes may be long: it is walked once */
export async function checkTail(
  { reactor, disks, checksum }: TailCheckOptions,
  writes: Iterable<TailWrite>,
): Promise<MissingBlocks> {
  const missing: MissingBlocks = new Map();
  const queue = writes[Symbol.iterator]();
  const lane = async (slab: Slab): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const write = next.value;
      const { maxTransferBytes } = disks.at(diskOf(write.address)).device.info;
      const most = Math.min(LANE_BLOCKS, Math.floor(maxTransferBytes / BLOCK_BYTES));
      for (let done = 0; done < write.count; done += most) {
        const blocks = Math.min(most, write.count - done);
        if (!(await readBlocks(disks, slab, write.address + done, blocks))) continue;
        for (let index = 0; index < blocks; index++) {
          const wanted = write.checksums[write.checksumsAt + done + index];
          if (checksum.ofBytes(slab.bytes, index * BLOCK_BYTES) === wanted) continue;
          const marks = missing.get(write.at) ?? new Uint8Array(write.count);
          marks[done + index] = 1;
          missing.set(write.at, marks);
        }
      }
    }
  };
  const { slabs } = reactor.io;
  const memory = Array.from({ length: LANES }, () => slabs.allocate(LANE_BLOCKS * BLOCK_BYTES));
  try {
    await Promise.all(memory.map(lane));
  } finally {
    for (const slab of memory) slabs.release(slab);
  }
  return missing;
}

async function readBlocks(
  disks: PoolDisks,
  slab: Slab,
  address: number,
  blocks: number,
): Promise<boolean> {
  const request = new AwaitedRequest();
  const length = blocks * BLOCK_BYTES;
  request.segments.push(slab.id, 0, length);
  const offset = blockOf(address) * BLOCK_BYTES;
  const { device } = disks.at(diskOf(address));
  return (await request.run(device, { operation: Operation.read, offset, length })) === Status.ok;
}
