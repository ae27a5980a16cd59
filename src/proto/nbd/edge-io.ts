/**
 * Unaligned changes, and CACHE: what a client may ask at byte granularity, done by
 * read-modify-write while no other change touches the same blocks.
 *
 * Rare paths: written with promises. Each returns the status of the whole.
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Slab } from "../../reactor/slab.ts";
import type { EditTicket, NbdExport } from "./export.ts";

/** A byte range in memory. */
export interface Bytes {
  readonly slab: Slab;
  readonly offset: number;
}

export interface UnalignedRange {
  /** Bytes from the start of the export; any value. */
  readonly offset: number;
  readonly length: number;
  /** `RequestFlag` bits for the changes. */
  readonly flags: number;
}

/**
 * Writes a range whose aligned hull lies in `hull`, with the client's bytes in their places and
 * room for the rest of the first and last block around them. The hull is at most 1 MiB.
 */
export function writeUnaligned(
  exported: NbdExport,
  ticket: EditTicket,
  hull: PoolBuffer,
  range: UnalignedRange,
): Promise<Status> {
  const { offset, length, flags } = range;
  const block = exported.device.info.blockSizeBytes;
  const end = offset + length;
  const hullStart = offset - (offset % block);
  const hullEnd = Math.ceil(end / block) * block;
  return exported.edit(ticket, async (scratch) => {
    const { bytes } = hull.slab;
    if (offset > hullStart) {
      const status = await readBlock(exported, scratch, hullStart);
      if (status !== Status.ok) return status;
      bytes.set(scratch.bytes.subarray(0, offset - hullStart), hull.offset);
    }
    if (end < hullEnd) {
      const status = await readBlock(exported, scratch, hullEnd - block);
      if (status !== Status.ok) return status;
      const kept = hullEnd - end;
      bytes.set(scratch.bytes.subarray(block - kept, block), hull.offset + end - hullStart);
    }
    const whole = { offset: hullStart, length: hullEnd - hullStart, flags };
    return transfer(exported, Operation.write, hull, whole);
  });
}

/**
 * Zeroes a range: its whole blocks by write-zeroes, then the blocks at its ends by writing. The
 * whole blocks come first: a refused fast zero must have changed nothing.
 */
export function zeroUnaligned(
  exported: NbdExport,
  ticket: EditTicket,
  range: UnalignedRange,
): Promise<Status> {
  const block = exported.device.info.blockSizeBytes;
  const { offset, flags } = range;
  const end = offset + range.length;
  const wholeStart = Math.ceil(offset / block) * block;
  const wholeEnd = end - (end % block);
  return exported.edit(ticket, async (scratch) => {
    if (wholeStart > wholeEnd) {
      return zeroInBlock(exported, scratch, { offset, length: range.length, flags });
    }
    if (wholeEnd > wholeStart) {
      const status = await new AwaitedRequest().run(exported.device, {
        operation: Operation.writeZeroes,
        offset: wholeStart,
        length: wholeEnd - wholeStart,
        flags,
      });
      if (status !== Status.ok) return status;
    }
    for (const edge of [
      { offset, length: wholeStart - offset, flags },
      { offset: wholeEnd, length: end - wholeEnd, flags },
    ]) {
      const status = edge.length === 0 ? Status.ok : await zeroInBlock(exported, scratch, edge);
      if (status !== Status.ok) return status;
    }
    return Status.ok;
  });
}

/**
 * Reads a range for nothing but its effect on the caches below, through `buffer`, one piece after
 * the other. Advisory, and a range may be terabytes: when it `isOver` the rest is left out.
 */
export async function cacheRange(
  exported: NbdExport,
  buffer: PoolBuffer,
  range: UnalignedRange,
  isOver: () => boolean,
): Promise<Status> {
  const block = exported.device.info.blockSizeBytes;
  const end = Math.ceil((range.offset + range.length) / block) * block;
  for (let at = range.offset - (range.offset % block); at < end && !isOver(); ) {
    const length = Math.min(end - at, buffer.lengthBytes);
    const part = { offset: at, length, flags: 0 };
    const status = await transfer(exported, Operation.read, buffer, part);
    if (status !== Status.ok) return status;
    at += length;
  }
  return Status.ok;
}

/** Zeroes a range within one block, keeping the block's other bytes. */
async function zeroInBlock(
  exported: NbdExport,
  scratch: Slab,
  range: UnalignedRange,
): Promise<Status> {
  const length = exported.device.info.blockSizeBytes;
  const start = range.offset % length;
  const read = await readBlock(exported, scratch, range.offset - start);
  if (read !== Status.ok) return read;
  scratch.bytes.fill(0, start, start + range.length);
  const flags = range.flags & RequestFlag.fua;
  const whole = { offset: range.offset - start, length, flags };
  return transfer(exported, Operation.write, { slab: scratch, offset: 0 }, whole);
}

/** Reads one block into scratch memory. */
function readBlock(exported: NbdExport, scratch: Slab, offset: number): Promise<Status> {
  const length = exported.device.info.blockSizeBytes;
  const into = { slab: scratch, offset: 0 };
  return transfer(exported, Operation.read, into, { offset, length, flags: 0 });
}

function transfer(
  exported: NbdExport,
  operation: Operation,
  memory: Bytes,
  range: UnalignedRange,
): Promise<Status> {
  const request = new AwaitedRequest();
  request.segments.push(memory.slab.id, memory.offset, range.length);
  return request.run(exported.device, { operation, ...range });
}
