/**
 * Block status of a file: walks data and holes by seek, one step per completion.
 *
 * `op.done` is how far the extents reach; `op.compared` (unused otherwise by this operation) says
 * that the seek in flight looks for the end of data, not of a hole.
 */

import { ExtentFlag, type ExtentList } from "../block/extents.ts";
import { RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { statusOfErrno } from "../block/errno-status.ts";
import { Status } from "../block/status.ts";
import { Errno } from "../reactor/errno.ts";
import type { FileHandle, Io } from "../reactor/io.ts";
import { assert } from "../util/assert.ts";
import type { FileOp } from "./file-op.ts";

const HOLE = ExtentFlag.hole | ExtentFlag.zero;

/**
 * Takes the result of the seek in flight (null: none yet) and starts the next one.
 * @returns the final status, or null when a seek is in flight
 */
export function blockStatusSeek(
  io: Io,
  file: FileHandle,
  op: FileOp,
  request: Request,
  result: number | null,
): Status | null {
  const extents = request.extents;
  assert(extents !== null, "block-status comes with a list to fill");
  if (result !== null) {
    const status = addExtent(op, request, extents, result);
    if (status !== Status.ok) return status;
  }
  const one = (request.flags & RequestFlag.oneExtent) !== 0 && extents.count > 0;
  if (op.done >= request.length || extents.isFull || one) return Status.ok;
  // After data comes a hole, after a hole data; the first look is for data.
  op.compared = result !== null && !op.compared;
  io.seek(op, file, request.offset + op.done, op.compared ? "hole" : "data");
  return null;
}

function addExtent(op: FileOp, request: Request, extents: ExtentList, result: number): Status {
  const left = request.length - op.done;
  let length = left;
  let flags = op.compared ? 0 : HOLE;
  if (result >= 0) length = Math.min(result - request.offset - op.done, left);
  else if (result === -Errno.EOPNOTSUPP || result === -Errno.EINVAL) flags = 0;
  else if (result !== -Errno.ENXIO) return statusOfErrno(result);
  // -ENXIO: no data up to the end of the file.
  if (length > 0) extents.push(length, flags);
  op.done += Math.max(length, 0);
  return Status.ok;
}
