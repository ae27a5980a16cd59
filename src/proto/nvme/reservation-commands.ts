/**
 * The reservation commands of an I/O queue: decoded, handed to the namespace's reservations,
 * answered.
 *
 * spec: NVMe Base 2.0 7.2 to 7.5
 */

import { IoOpcode } from "./constants.ts";
import type { NvmeController } from "./controller.ts";
import type { NvmeNamespace } from "./namespace.ts";
import {
  decodeAcquire,
  decodeRegister,
  decodeRelease,
  encodeReport,
  reportBytesOf,
  wantsExtendedReport,
} from "./reservation-data.ts";
import {
  acquire,
  register,
  release,
  type ReservationOutcome,
  type ReservationState,
} from "./reservation-rules.ts";
import { NvmeStatus } from "./status.ts";
import type { SlowCommand } from "./transport.ts";

type Decide = (state: ReservationState) => ReservationOutcome;

export function reservationCommand(
  controller: NvmeController,
  qid: number,
  command: SlowCommand,
): void {
  const namespace = controller.namespaceOf(command.sqe.nsid);
  if (namespace === null) {
    controller.refuse(command, qid, NvmeStatus.invalidNamespaceOrFormat);
  } else if (namespace.reservations === null) {
    controller.refuse(command, qid, NvmeStatus.invalidOpcode);
  } else if (namespace.pathStatus !== 0) {
    // Another path may do it.
    command.complete(namespace.pathStatus);
  } else if (command.sqe.opcode === IoOpcode.reservationReport) {
    report(controller, qid, command, namespace);
  } else {
    const decide = decisionOf(command, controller.hostId);
    if (decide === null) controller.refuse(command, qid, NvmeStatus.dataSglLengthInvalid);
    else controller.changeReservations(command, qid, namespace.reservations, decide);
  }
}

/** Null: its data is too short. */
function decisionOf({ sqe, data }: SlowCommand, host: string): Decide | null {
  switch (sqe.opcode) {
    case IoOpcode.reservationRegister: {
      const request = decodeRegister(sqe, data);
      return request && ((state) => register(state, host, request));
    }
    case IoOpcode.reservationAcquire: {
      const request = decodeAcquire(sqe, data);
      return request && ((state) => acquire(state, host, request));
    }
    default: {
      const request = decodeRelease(sqe, data);
      return request && ((state) => release(state, host, request));
    }
  }
}

/** As much of the report as there is room for; its header says how many registrants there are. */
function report(
  controller: NvmeController,
  qid: number,
  command: SlowCommand,
  namespace: NvmeNamespace,
): void {
  if (!wantsExtendedReport(command.sqe)) {
    // Host identifiers have 128 bits here.
    controller.refuse(command, qid, NvmeStatus.hostIdInconsistentFormat);
    return;
  }
  const lengthBytes = reportBytesOf(command.sqe);
  if (lengthBytes > command.replyBytesMax) {
    controller.refuse(command, qid, NvmeStatus.dataSglLengthInvalid);
    return;
  }
  if (lengthBytes > controller.limits.transferBytesMax) {
    controller.refuse(command, qid, NvmeStatus.invalidField);
    return;
  }
  const whole = encodeReport(controller.subsystem.reportReservations(namespace), true);
  const data = new Uint8Array(lengthBytes);
  data.set(whole.subarray(0, lengthBytes));
  command.complete(NvmeStatus.success, 0, data);
}
