/**
 * What a child's status says of the child, and of what it holds. Pure.
 */

import { Operation } from "../block/operation.ts";
import { STATUS_TRAITS, Status } from "../block/status.ts";

/** The child is broken, not the request. A flush that failed is never retried into success. */
export function isFault(operation: Operation, status: Status): boolean {
  if (STATUS_TRAITS[status]?.faultsDevice === true) return true;
  if (operation !== Operation.flush) return false;
  return status !== Status.ok && status !== Status.unsupported && status !== Status.invalid;
}

/** False: a change that ends so has not begun. */
export function mayHaveChanged(status: Status): boolean {
  switch (status) {
    case Status.invalid:
    case Status.outOfRange:
    case Status.misaligned:
    case Status.unsupported:
    case Status.readOnly:
    case Status.reservationConflict:
      return false;
    default:
      return true;
  }
}
