/**
 * What an I/O command asks for, checked once: `prepareIo` fills a command from its SQE or says with
 * which status it is refused. Transport-independent, no state of its own.
 *
 * spec: NVM Command Set 1.0 3.2, Base 2.0 7 (I/O commands), 8.19 (reservations)
 */

import { Operation, RequestFlag, Support } from "../../block/operation.ts";
import { DATASET_RANGE_BYTES, DatasetAttribute, IoFlag, IoOpcode, Psdt } from "./constants.ts";
import { CommandKind, type NvmeCommand } from "./io-command.ts";
import { type Sqe, slbaOf } from "./sqe.ts";
import { DNR, NvmeStatus } from "./status.ts";
import { Access, type ControllerFace, type NamespaceFace } from "./transport.ts";

/** A command that `prepareIo` takes; others are the model's. Hot path. */
export function isPreparedIo(opcode: number): boolean {
  switch (opcode) {
    case IoOpcode.read:
    case IoOpcode.write:
    case IoOpcode.flush:
    case IoOpcode.compare:
    case IoOpcode.writeZeroes:
    case IoOpcode.datasetManagement:
    case IoOpcode.verify:
      return true;
    default:
      return false;
  }
}

/** @returns 0, or the status that the command is refused with. Hot path. */
export function prepareIo(sqe: Sqe, controller: ControllerFace, command: NvmeCommand): number {
  const namespace = controller.namespaceOf(sqe.nsid);
  if (namespace === null) return NvmeStatus.invalidNamespaceOrFormat | DNR;
  command.namespace = namespace;
  if (!controller.isReady) return NvmeStatus.commandSequenceError | DNR;
  if (sqe.psdt !== Psdt.sgl) return NvmeStatus.invalidField | DNR;
  if (namespace.pathStatus !== 0) return namespace.pathStatus;
  switch (sqe.opcode) {
    case IoOpcode.read:
      command.kind = CommandKind.read;
      command.operation = Operation.read;
      return prepareTransfer(sqe, controller, namespace, command, Access.read);
    case IoOpcode.write:
      command.kind = CommandKind.write;
      command.operation = Operation.write;
      if (sqe.cdw12 & IoFlag.forceUnitAccess) command.deviceFlags = RequestFlag.fua;
      return prepareTransfer(sqe, controller, namespace, command, Access.write);
    case IoOpcode.compare:
      command.kind = CommandKind.compare;
      command.operation = Operation.compare;
      return prepareTransfer(sqe, controller, namespace, command, Access.read);
    case IoOpcode.verify:
      command.kind = CommandKind.verify;
      command.operation = Operation.read;
      return prepareRange(sqe, controller, namespace, command, Access.read);
    case IoOpcode.flush:
      return prepareFlush(controller, namespace, command);
    case IoOpcode.writeZeroes:
      return prepareZeroes(sqe, controller, namespace, command);
    default:
      return prepareDataset(sqe, controller, namespace, command);
  }
}

/** A range of at most the transfer limit, whose data goes one way or the other. Hot path. */
function prepareTransfer(
  sqe: Sqe,
  controller: ControllerFace,
  namespace: NamespaceFace,
  command: NvmeCommand,
  access: Access,
): number {
  const status = prepareRange(sqe, controller, namespace, command, access);
  if (status !== 0) return status;
  if (command.totalBytes > controller.limits.transferBytesMax) {
    return NvmeStatus.invalidField | DNR;
  }
  // A shorter SGL cannot hold the data; of a longer one the rest stays unused.
  return sqe.sglLength < command.totalBytes ? NvmeStatus.dataSglLengthInvalid | DNR : 0;
}

// hot path
function prepareRange(
  sqe: Sqe,
  controller: ControllerFace,
  namespace: NamespaceFace,
  command: NvmeCommand,
  access: Access,
): number {
  const blocks = (sqe.cdw12 & 0xffff) + 1;
  const slba = slbaOf(sqe);
  if (slba < 0 || slba + blocks > namespace.blocks) return NvmeStatus.lbaOutOfRange | DNR;
  // spec: NVM Command Set 1.0 3.2: at most 65,536 blocks of 4,096 bytes.
  command.totalBytes = blocks << namespace.blockShift;
  command.base = slba * (1 << namespace.blockShift);
  return refusal(controller, namespace, access);
}

/**
 * Again, when data that the host was asked for has come: it may have been preempted meanwhile, and
 * what it began then must not follow its successor's first command. @returns 0 or the status
 */
export function refusedMeanwhile(command: NvmeCommand, controller: ControllerFace | null): number {
  const { namespace, kind } = command;
  if (namespace === null || controller === null || !namespace.isReserved) return 0;
  const access = kind === CommandKind.compare ? Access.read : Access.write;
  return refusal(controller, namespace, access);
}

/** Write protection and reservations. Hot path. */
function refusal(controller: ControllerFace, namespace: NamespaceFace, access: Access): number {
  if (namespace.isReserved && namespace.refuses(controller.hostIndex, access)) {
    return NvmeStatus.reservationConflict | DNR;
  }
  if (access === Access.write && namespace.readOnly) {
    return NvmeStatus.namespaceWriteProtected | DNR;
  }
  return 0;
}

/** A flush changes nothing that a read-only namespace protects. */
function prepareFlush(
  controller: ControllerFace,
  namespace: NamespaceFace,
  command: NvmeCommand,
): number {
  command.kind = CommandKind.effect;
  command.operation = Operation.flush;
  command.base = 0;
  command.totalBytes = 0;
  if (namespace.isReserved && namespace.refuses(controller.hostIndex, Access.write)) {
    return NvmeStatus.reservationConflict | DNR;
  }
  return 0;
}

function prepareZeroes(
  sqe: Sqe,
  controller: ControllerFace,
  namespace: NamespaceFace,
  command: NvmeCommand,
): number {
  command.kind = CommandKind.effect;
  command.operation = Operation.writeZeroes;
  let flags = 0;
  if (sqe.cdw12 & IoFlag.forceUnitAccess) flags |= RequestFlag.fua;
  // Without DEAC the host wants the blocks to stay allocated.
  if ((sqe.cdw12 & IoFlag.deallocate) === 0) flags |= RequestFlag.noUnmap;
  command.deviceFlags = flags;
  return prepareRange(sqe, controller, namespace, command, Access.write);
}

function prepareDataset(
  sqe: Sqe,
  controller: ControllerFace,
  namespace: NamespaceFace,
  command: NvmeCommand,
): number {
  const ranges = (sqe.cdw10 & 0xff) + 1;
  command.kind = CommandKind.deallocate;
  command.operation = Operation.discard;
  command.base = 0;
  command.totalBytes = ranges * DATASET_RANGE_BYTES;
  if (sqe.sglLength < command.totalBytes) return NvmeStatus.dataSglLengthInvalid | DNR;
  const canDiscard = namespace.device.operations.discard !== Support.refuse;
  if ((sqe.cdw11 & DatasetAttribute.deallocate) === 0 || !canDiscard) {
    // Hints: taken, and not used. Identify says of such a device that nothing is deallocated.
    command.kind = CommandKind.effect;
    command.totalBytes = 0;
    return 0;
  }
  return refusal(controller, namespace, Access.write);
}
