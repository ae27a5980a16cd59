/**
 * Block-status replies: extents of the device, cut to what the client asked for, as descriptors.
 *
 * The device is asked for the aligned hull of the range; what sticks out at the front is cut off.
 * spec: NBD proto.md "NBD_REPLY_TYPE_BLOCK_STATUS", "NBD_REPLY_TYPE_BLOCK_STATUS_EXT"
 */

import { ExtentFlag, type ExtentList } from "../../block/extents.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { assert } from "../../util/assert.ts";
import { AllocationState } from "./constants.ts";
import {
  BLOCK_STATUS_BYTES,
  BLOCK_STATUS_EXT_BYTES,
  encodeBlockStatus,
  encodeBlockStatusExt,
  encodeExtent,
  encodeExtentExt,
  EXTENT_BYTES,
  EXTENT_EXT_BYTES,
} from "./pdu-reply.ts";

/** Longest reply; what does not fit into the buffer is left to the client's next request. */
export const STATUS_REPLY_BYTES = 64 * 1024;

export interface StatusRange {
  /** Bytes of the hull in front of the client's range. */
  readonly skip: number;
  readonly length: number;
  readonly contextId: number;
  readonly extended: boolean;
  /** REQ_ONE: a single descriptor. */
  readonly one: boolean;
}

/** Writes the chunk's payload into `buffer`; returns its length. */
export function writeBlockStatus(
  buffer: PoolBuffer,
  extents: ExtentList,
  range: StatusRange,
): number {
  const { view } = buffer.slab;
  const start = buffer.offset + (range.extended ? BLOCK_STATUS_EXT_BYTES : BLOCK_STATUS_BYTES);
  const entryBytes = range.extended ? EXTENT_EXT_BYTES : EXTENT_BYTES;
  const room = buffer.lengthBytes - (start - buffer.offset);
  const countMax = range.one ? 1 : Math.floor(room / entryBytes);
  let { skip } = range;
  let left = range.length;
  let count = 0;
  for (let index = 0; index < extents.count && left > 0 && count < countMax; index++) {
    const whole = extents.lengths[index] ?? 0;
    const length = Math.min(whole - skip, left);
    skip = Math.max(skip - whole, 0);
    if (length <= 0) continue;
    const state = stateOf(extents.flags[index] ?? 0);
    const at = start + count * entryBytes;
    if (range.extended) encodeExtentExt(view, at, length, state);
    else encodeExtent(view, at, length, state);
    left -= length;
    count++;
  }
  assert(count > 0, "a block-status reply has an extent");
  if (range.extended) encodeBlockStatusExt(view, buffer.offset, range.contextId, count);
  else encodeBlockStatus(view, buffer.offset, range.contextId);
  return start - buffer.offset + count * entryBytes;
}

function stateOf(flags: number): number {
  let state = 0;
  if ((flags & ExtentFlag.hole) !== 0) state |= AllocationState.hole;
  if ((flags & ExtentFlag.zero) !== 0) state |= AllocationState.zero;
  return state;
}
