/**
 * NVMe status codes, and block statuses to them and back.
 *
 * A status is 15 bits, as in a completion without its phase tag: SC in bits 0-7, SCT in bits 8-10,
 * CRD in bits 11-12, MORE in bit 13, DNR in bit 14. `NvmeStatus` names SCT and SC; the flags are
 * or-ed to it. Stateless.
 *
 * DNR says that the same command will fail again. Linux retries a command without it, up to five
 * times (`nvme_core.max_retries`), and hands a path related one (SCT 3) to another path at once.
 *
 * spec: Base 2.0 3.3.3.2.1, figures 93 to 100; NVM Command Set 1.0 figures 14 and 15
 */

import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";

/** SCT, bits 8-10 of a status. */
export const StatusType = {
  generic: 0,
  commandSpecific: 1,
  mediaAndDataIntegrity: 2,
  pathRelated: 3,
  vendorSpecific: 7,
} as const;

/** Bits 11-12: which of CRDT1 to CRDT3 to wait for before the command is tried again. */
export const CRD_SHIFT = 11;
/** The error log page tells more. */
export const MORE = 1 << 13;
/** Do not retry. */
export const DNR = 1 << 14;

export const NvmeStatus = {
  success: 0x000,
  invalidOpcode: 0x001,
  invalidField: 0x002,
  commandIdConflict: 0x003,
  dataTransferError: 0x004,
  abortedPowerLoss: 0x005,
  internalError: 0x006,
  abortRequested: 0x007,
  abortedSqDeletion: 0x008,
  abortedFailedFused: 0x009,
  abortedMissingFused: 0x00a,
  invalidNamespaceOrFormat: 0x00b,
  commandSequenceError: 0x00c,
  invalidSglSegmentDescriptor: 0x00d,
  invalidNumberOfSglDescriptors: 0x00e,
  dataSglLengthInvalid: 0x00f,
  metadataSglLengthInvalid: 0x010,
  sglDescriptorTypeInvalid: 0x011,
  invalidControllerMemoryBuffer: 0x012,
  prpOffsetInvalid: 0x013,
  atomicWriteUnitExceeded: 0x014,
  operationDenied: 0x015,
  sglOffsetInvalid: 0x016,
  hostIdInconsistentFormat: 0x018,
  keepAliveExpired: 0x019,
  keepAliveInvalid: 0x01a,
  abortedPreempt: 0x01b,
  sanitizeFailed: 0x01c,
  sanitizeInProgress: 0x01d,
  sglBlockGranularityInvalid: 0x01e,
  commandNotSupportedForQueueInCmb: 0x01f,
  namespaceWriteProtected: 0x020,
  commandInterrupted: 0x021,
  transientTransportError: 0x022,
  commandProhibitedByLockdown: 0x023,
  adminCommandMediaNotReady: 0x024,
  lbaOutOfRange: 0x080,
  capacityExceeded: 0x081,
  namespaceNotReady: 0x082,
  reservationConflict: 0x083,
  formatInProgress: 0x084,
  // Command specific: admin commands.
  completionQueueInvalid: 0x100,
  invalidQueueId: 0x101,
  invalidQueueSize: 0x102,
  abortLimitExceeded: 0x103,
  asyncEventLimitExceeded: 0x105,
  invalidFirmwareSlot: 0x106,
  invalidFirmwareImage: 0x107,
  invalidInterruptVector: 0x108,
  invalidLogPage: 0x109,
  invalidFormat: 0x10a,
  invalidQueueDeletion: 0x10c,
  featureNotSaveable: 0x10d,
  featureNotChangeable: 0x10e,
  featureNotNamespaceSpecific: 0x10f,
  namespaceInsufficientCapacity: 0x115,
  namespaceIdUnavailable: 0x116,
  namespaceAlreadyAttached: 0x118,
  namespaceIsPrivate: 0x119,
  namespaceNotAttached: 0x11a,
  thinProvisioningNotSupported: 0x11b,
  controllerListInvalid: 0x11c,
  invalidControllerId: 0x11f,
  anaGroupIdInvalid: 0x124,
  anaAttachFailed: 0x125,
  commandSetNotSupported: 0x129,
  commandSetNotEnabled: 0x12a,
  commandSetCombinationRejected: 0x12b,
  invalidCommandSet: 0x12c,
  // Command specific: Fabrics commands. spec: Base 2.0 figure 99
  connectIncompatibleFormat: 0x180,
  connectControllerBusy: 0x181,
  connectInvalidParameters: 0x182,
  connectRestartDiscovery: 0x183,
  connectInvalidHost: 0x184,
  invalidQueueType: 0x185,
  discoverRestart: 0x190,
  authenticationRequired: 0x191,
  // Media and data integrity.
  writeFault: 0x280,
  unrecoveredReadError: 0x281,
  guardCheckError: 0x282,
  applicationTagCheckError: 0x283,
  referenceTagCheckError: 0x284,
  compareFailure: 0x285,
  accessDenied: 0x286,
  deallocatedOrUnwritten: 0x287,
  // Path related.
  internalPathError: 0x300,
  anaPersistentLoss: 0x301,
  anaInaccessible: 0x302,
  anaTransition: 0x303,
  controllerPathingError: 0x360,
  hostPathingError: 0x370,
  abortedByHost: 0x371,
  // Vendor specific: what Penstock's initiators must tell apart. Others see an I/O error.
  /** `Status.fenced`. */
  penstockFenced: 0x7c0,
  /** `Status.dataLost`. */
  penstockDataLost: 0x7c1,
} as const;
export type NvmeStatus = (typeof NvmeStatus)[keyof typeof NvmeStatus];

/**
 * The codes that the NVM command set gives another meaning than Fabrics commands do: they appear
 * on I/O commands only. spec: NVM Command Set 1.0 figure 15
 */
export const NvmCommandStatus = {
  conflictingAttributes: 0x180,
  invalidProtectionInformation: 0x181,
  attemptedWriteToReadOnlyRange: 0x182,
  commandSizeLimitExceeded: 0x183,
} as const;

/** SCT and SC of a status, without CRD, MORE and DNR: comparable with `NvmeStatus`. Hot path. */
export function codeOf(status: number): number {
  return status & 0x7ff;
}

/** True for SCT 3: another path may do it. */
export function isPathRelated(status: number): boolean {
  return (status & 0x700) === StatusType.pathRelated << 8;
}

/** True for the three ANA statuses: the host reads the ANA log page anew. */
export function isAnaStatus(status: number): boolean {
  const code = codeOf(status);
  return code >= NvmeStatus.anaPersistentLoss && code <= NvmeStatus.anaTransition;
}

/**
 * Indexed by block status; what the operation changes is in `statusOf`. DNR is on what would fail
 * again; a full device is among these, as a host that tries at once finds it full.
 */
const NVME_BY_STATUS: readonly number[] = [
  NvmeStatus.success, // ok
  NvmeStatus.invalidField | DNR, // invalid
  NvmeStatus.lbaOutOfRange | DNR, // out-of-range
  NvmeStatus.invalidField | DNR, // misaligned: blocks are the unit, so that it is a bug of ours
  NvmeStatus.invalidOpcode | DNR, // unsupported: Linux falls back to plain writes
  NvmeStatus.namespaceWriteProtected | DNR, // read-only
  NvmeStatus.capacityExceeded | DNR, // no-space
  NvmeStatus.writeFault | DNR, // media-error
  NvmeStatus.compareFailure | DNR, // compare-failed
  NvmeStatus.reservationConflict | DNR, // reservation-conflict
  NvmeStatus.penstockFenced | DNR, // fenced
  NvmeStatus.namespaceNotReady, // not-ready
  NvmeStatus.controllerPathingError, // path-lost: another controller may reach the device
  NvmeStatus.controllerPathingError, // timeout
  NvmeStatus.abortRequested, // aborted
  NvmeStatus.penstockDataLost | DNR, // data-lost
  NvmeStatus.internalError | DNR, // internal
];

/** The 15-bit status, DNR included, that answers `operation` when the device said `status`. */
export function statusOf(status: Status, operation: Operation): number {
  if (status === Status.mediaError && readsMedium(operation)) {
    return NvmeStatus.unrecoveredReadError | DNR;
  }
  // An unknown status is a bug elsewhere; the host must not take it for success.
  return NVME_BY_STATUS[status] ?? NvmeStatus.internalError | DNR;
}

/** What an initiator makes of a status: a foreign controller's as well as our own. */
const STATUS_BY_NVME: ReadonlyMap<number, Status> = new Map<number, Status>([
  [NvmeStatus.success, Status.ok],
  [NvmeStatus.invalidOpcode, Status.unsupported],
  [NvmeStatus.invalidField, Status.invalid],
  [NvmeStatus.commandIdConflict, Status.internal],
  [NvmeStatus.dataTransferError, Status.aborted],
  [NvmeStatus.abortedPowerLoss, Status.notReady],
  [NvmeStatus.internalError, Status.internal],
  [NvmeStatus.abortRequested, Status.aborted],
  [NvmeStatus.abortedSqDeletion, Status.pathLost],
  // The first command of the two says why.
  [NvmeStatus.abortedFailedFused, Status.aborted],
  [NvmeStatus.abortedMissingFused, Status.aborted],
  // The namespace is gone, or not there yet.
  [NvmeStatus.invalidNamespaceOrFormat, Status.notReady],
  [NvmeStatus.commandSequenceError, Status.internal],
  // A fused pair, longer than the controller does as one.
  [NvmeStatus.atomicWriteUnitExceeded, Status.unsupported],
  [NvmeStatus.keepAliveExpired, Status.pathLost],
  [NvmeStatus.abortedPreempt, Status.reservationConflict],
  [NvmeStatus.operationDenied, Status.readOnly],
  [NvmeStatus.sanitizeFailed, Status.internal],
  [NvmeStatus.sanitizeInProgress, Status.notReady],
  [NvmeStatus.namespaceWriteProtected, Status.readOnly],
  // The controller asks for another try. spec: Base 2.0 figure 95
  [NvmeStatus.commandInterrupted, Status.aborted],
  [NvmeStatus.transientTransportError, Status.aborted],
  [NvmeStatus.commandProhibitedByLockdown, Status.unsupported],
  [NvmeStatus.adminCommandMediaNotReady, Status.notReady],
  [NvmeStatus.lbaOutOfRange, Status.outOfRange],
  [NvmeStatus.capacityExceeded, Status.noSpace],
  [NvmeStatus.namespaceNotReady, Status.notReady],
  [NvmeStatus.reservationConflict, Status.reservationConflict],
  [NvmeStatus.formatInProgress, Status.notReady],
  [NvmCommandStatus.conflictingAttributes, Status.invalid],
  [NvmCommandStatus.invalidProtectionInformation, Status.invalid],
  [NvmCommandStatus.attemptedWriteToReadOnlyRange, Status.readOnly],
  [NvmCommandStatus.commandSizeLimitExceeded, Status.invalid],
  [NvmeStatus.compareFailure, Status.compareFailed],
  [NvmeStatus.accessDenied, Status.readOnly],
  [NvmeStatus.penstockFenced, Status.fenced],
  [NvmeStatus.penstockDataLost, Status.dataLost],
]);

/**
 * The block status of an I/O command that was answered with `status`. Unknown codes fail the
 * device by their type: path related ones are path-lost, media ones media-error, others internal.
 */
export function blockStatusOf(status: number, operation: Operation): Status {
  const code = codeOf(status);
  const known = STATUS_BY_NVME.get(code);
  if (known === Status.compareFailed && !compares(operation)) return Status.internal;
  if (known !== undefined) return known;
  switch (code >>> 8) {
    case StatusType.pathRelated:
      return Status.pathLost;
    case StatusType.mediaAndDataIntegrity:
      return Status.mediaError;
    default:
      return Status.internal;
  }
}

const NAME_BY_CODE: ReadonlyMap<number, string> = new Map(
  Object.entries(NvmeStatus).map(([name, code]) => [code, kebabOf(name)]),
);

/** For logs: the code's name, its numbers and whether DNR is set. */
export function statusText(status: number): string {
  const code = codeOf(status);
  const name = NAME_BY_CODE.get(code) ?? "unknown";
  const numbers = `sct ${code >>> 8} sc 0x${(code & 0xff).toString(16).padStart(2, "0")}`;
  return `${name} (${numbers}${(status & DNR) === 0 ? "" : ", do not retry"})`;
}

function readsMedium(operation: Operation): boolean {
  return (
    operation === Operation.read ||
    operation === Operation.compare ||
    operation === Operation.blockStatus
  );
}

function compares(operation: Operation): boolean {
  return operation === Operation.compare || operation === Operation.compareAndWrite;
}

function kebabOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
