/**
 * Status to NBD error and back.
 *
 * NBD knows eight errors, so several statuses share one; the way back gives the status that a
 * nexus treats rightly when it knows no more. Stateless.
 *
 * spec: NBD proto.md "Error values"
 */

import { Status } from "../../block/status.ts";
import { Command, CommandFlag, NbdError } from "./constants.ts";

/** Indexed by status; what the command changes is in `errorForStatus`. */
const ERROR_BY_STATUS: readonly NbdError[] = [
  NbdError.none, // ok
  NbdError.einval, // invalid
  NbdError.einval, // out-of-range
  NbdError.einval, // misaligned
  NbdError.einval, // unsupported
  NbdError.eperm, // read-only
  NbdError.enospc, // no-space
  NbdError.eio, // media-error
  NbdError.eio, // compare-failed: no NBD command compares
  NbdError.eperm, // reservation-conflict
  NbdError.eperm, // fenced
  NbdError.eshutdown, // not-ready
  NbdError.eio, // path-lost
  NbdError.eio, // timeout
  NbdError.eio, // aborted
  NbdError.eio, // data-lost
  NbdError.eio, // internal
];

const STATUS_BY_ERROR: ReadonlyMap<number, Status> = new Map<number, Status>([
  [NbdError.none, Status.ok],
  [NbdError.eperm, Status.readOnly],
  [NbdError.eio, Status.mediaError],
  // The server lacks memory just now: worth another try, and no reason to drop the child.
  [NbdError.enomem, Status.aborted],
  [NbdError.einval, Status.invalid],
  [NbdError.enospc, Status.noSpace],
  // Only for a read with DF that is too long to be sent in one piece.
  [NbdError.eoverflow, Status.invalid],
  [NbdError.enotsup, Status.unsupported],
  [NbdError.eshutdown, Status.notReady],
]);

/** The error that answers `command` with `flags` when the device said `status`. */
export function errorForStatus(status: Status, command: number, flags: number): NbdError {
  if (status === Status.outOfRange && growsExport(command)) return NbdError.enospc;
  if (status === Status.unsupported && asksFastZero(command, flags)) return NbdError.enotsup;
  // An unknown status is a bug elsewhere; the client must not take it for success.
  return ERROR_BY_STATUS[status] ?? NbdError.eio;
}

/** The status of a request that the server answered with `error`. */
export function statusForError(error: number): Status {
  // spec: "The client SHOULD treat an unexpected error value as if it had been NBD_EINVAL"
  return STATUS_BY_ERROR.get(error) ?? Status.invalid;
}

/** spec: writes and zeroes beyond the end are ENOSPC, everything else beyond it is EINVAL. */
function growsExport(command: number): boolean {
  return command === Command.write || command === Command.writeZeroes;
}

/** spec: ENOTSUP answers nothing but a fast zero that would not be fast. */
function asksFastZero(command: number, flags: number): boolean {
  return command === Command.writeZeroes && (flags & CommandFlag.fastZero) !== 0;
}
