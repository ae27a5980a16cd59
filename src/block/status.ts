/**
 * Status: how a request ended. Errors on the data path are these values, never exceptions.
 *
 * One table says for each status whether trying again can help and whether it says that the
 * device below is broken (a nexus faults such a child). Every protocol's `status.ts` maps all of
 * them both ways.
 */

export const Status = {
  ok: 0,
  /** The request makes no sense (a flag or a field that no device could honour). */
  invalid: 1,
  /** Beyond the end of the device. */
  outOfRange: 2,
  /** Offset, length or segment not a multiple of the block size. */
  misaligned: 3,
  /** The device declares that it does not do this operation. */
  unsupported: 4,
  readOnly: 5,
  noSpace: 6,
  /** The medium failed; `Request.errorOffset` says where. */
  mediaError: 7,
  /** compare found a difference; `Request.errorOffset` says where. */
  compareFailed: 8,
  reservationConflict: 9,
  /** The writer's epoch is over: somebody else owns the volume now. */
  fenced: 10,
  /** Not open yet, or closing. */
  notReady: 11,
  pathLost: 12,
  timeout: 13,
  aborted: 14,
  /** Acknowledged data that this flush should have covered may be gone. */
  dataLost: 15,
  internal: 16,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

export interface StatusTraits {
  readonly name: string;
  /** The same request may succeed later, here or on another path. */
  readonly retryable: boolean;
  /** Says that the device is broken, not the request: a nexus drops the child. */
  readonly faultsDevice: boolean;
}

/** Indexed by status. */
export const STATUS_TRAITS: readonly StatusTraits[] = [
  { name: "ok", retryable: false, faultsDevice: false },
  { name: "invalid", retryable: false, faultsDevice: false },
  { name: "out-of-range", retryable: false, faultsDevice: false },
  { name: "misaligned", retryable: false, faultsDevice: false },
  { name: "unsupported", retryable: false, faultsDevice: false },
  { name: "read-only", retryable: false, faultsDevice: false },
  { name: "no-space", retryable: true, faultsDevice: false },
  { name: "media-error", retryable: false, faultsDevice: true },
  { name: "compare-failed", retryable: false, faultsDevice: false },
  { name: "reservation-conflict", retryable: false, faultsDevice: false },
  { name: "fenced", retryable: false, faultsDevice: true },
  { name: "not-ready", retryable: true, faultsDevice: true },
  { name: "path-lost", retryable: true, faultsDevice: true },
  { name: "timeout", retryable: true, faultsDevice: true },
  { name: "aborted", retryable: true, faultsDevice: false },
  { name: "data-lost", retryable: false, faultsDevice: true },
  { name: "internal", retryable: false, faultsDevice: true },
];

/** The status's stable name, for logs and listings. */
export function statusName(status: Status): string {
  return STATUS_TRAITS[status]?.name ?? `status-${status}`;
}
