/**
 * What an Io's -errno means for a request.
 */

import { Errno } from "../reactor/errno.ts";
import { Status } from "./status.ts";

const STATUS_BY_ERRNO: ReadonlyMap<number, Status> = new Map<number, Status>([
  [Errno.EIO, Status.mediaError],
  [Errno.EREMOTEIO, Status.mediaError],
  [Errno.EBADMSG, Status.mediaError],
  // What Linux makes of "critical medium error" and of a failed integrity check.
  [Errno.ENODATA, Status.mediaError],
  [Errno.EILSEQ, Status.mediaError],
  [Errno.ENOSPC, Status.noSpace],
  [Errno.EDQUOT, Status.noSpace],
  [Errno.EROFS, Status.readOnly],
  [Errno.EPERM, Status.readOnly],
  [Errno.EINVAL, Status.invalid],
  [Errno.EFBIG, Status.outOfRange],
  [Errno.EOPNOTSUPP, Status.unsupported],
  [Errno.ENODEV, Status.pathLost],
  [Errno.ENXIO, Status.pathLost],
  [Errno.ENOLINK, Status.pathLost],
  [Errno.ETIMEDOUT, Status.timeout],
  [Errno.ECANCELED, Status.aborted],
]);

/** @param result a negative Io result */
export function statusOfErrno(result: number): Status {
  return STATUS_BY_ERRNO.get(-result) ?? Status.internal;
}
