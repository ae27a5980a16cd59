// Tests of the status mapping: every block status and every code of the protocol, both ways.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { OPERATION_NAMES, Operation } from "../../block/operation.ts";
import { STATUS_TRAITS, Status, statusName } from "../../block/status.ts";
import {
  blockStatusOf,
  codeOf,
  CRD_SHIFT,
  DNR,
  isAnaStatus,
  isPathRelated,
  MORE,
  NvmCommandStatus,
  NvmeStatus,
  statusOf,
  statusText,
} from "./status.ts";

const STATUSES = Object.values(Status);
const OPERATIONS = Object.values(Operation);
const CODES: readonly number[] = Object.values(NvmeStatus);

/** A full device is full at once again: DNR, although trying later may help. */
const NO_RETRY_ANYWAY: readonly Status[] = [Status.noSpace];

test("statusOf gives a code of the protocol when given any status and operation", () => {
  for (const status of STATUSES) {
    for (const operation of OPERATIONS) {
      const answer = statusOf(status, operation);
      const what = `${statusName(status)} of ${OPERATION_NAMES[operation]}`;
      ok(CODES.includes(codeOf(answer)), what);
      strictEqual(answer === NvmeStatus.success, status === Status.ok, what);
      strictEqual(answer & ~DNR, codeOf(answer), "neither CRD nor MORE");
    }
  }
});

test("statusOf sets DNR exactly when trying again cannot help", () => {
  for (const status of STATUSES) {
    if (status === Status.ok) continue;
    const final = !STATUS_TRAITS[status]?.retryable || NO_RETRY_ANYWAY.includes(status);
    for (const operation of OPERATIONS) {
      strictEqual((statusOf(status, operation) & DNR) !== 0, final, statusName(status));
    }
  }
});

test("blockStatusOf gives back a status of the same traits when it is mapped again", () => {
  for (const status of STATUSES) {
    const operation = status === Status.compareFailed ? Operation.compare : Operation.write;
    const back = blockStatusOf(statusOf(status, operation), operation);
    strictEqual(STATUS_TRAITS[back]?.retryable, STATUS_TRAITS[status]?.retryable);
    strictEqual(STATUS_TRAITS[back]?.faultsDevice, STATUS_TRAITS[status]?.faultsDevice);
    // Blocks are the unit of both sides; a time-out below is a path that does not work.
    if (status === Status.misaligned) strictEqual(back, Status.invalid);
    else if (status === Status.timeout) strictEqual(back, Status.pathLost);
    else strictEqual(back, status, statusName(status));
  }
  const read = statusOf(Status.mediaError, Operation.read);
  strictEqual(blockStatusOf(read, Operation.read), Status.mediaError);
});

test("blockStatusOf never turns a failure into success, whatever the 15 bits", () => {
  for (let status = 1; status < 0x8000; status++) {
    const isSuccess = codeOf(status) === 0;
    for (const operation of [Operation.read, Operation.write, Operation.compareAndWrite]) {
      strictEqual(blockStatusOf(status, operation) === Status.ok, isSuccess, statusText(status));
    }
  }
});

test("blockStatusOf judges unknown codes by their type", () => {
  for (const [status, expected] of [
    [0x3ff, Status.pathLost],
    [0x2ff, Status.mediaError],
    [0x0ff, Status.internal],
    [0x1ff, Status.internal],
    [0x7ff, Status.internal],
  ] as const) {
    strictEqual(blockStatusOf(status | DNR, Operation.read), expected);
  }
});

test("blockStatusOf takes every code of the protocol, DNR or not", () => {
  for (const code of [...CODES, ...Object.values(NvmCommandStatus)]) {
    const status = blockStatusOf(code, Operation.compare);
    ok(STATUS_TRAITS[status] !== undefined);
    strictEqual(blockStatusOf(code | DNR | MORE | (3 << CRD_SHIFT), Operation.compare), status);
    if (code === NvmeStatus.success) continue;
    if (isPathRelated(code)) strictEqual(status, Status.pathLost);
  }
});

test("blockStatusOf says internal when a comparison fails that nobody asked for", () => {
  strictEqual(blockStatusOf(NvmeStatus.compareFailure, Operation.write), Status.internal);
  strictEqual(blockStatusOf(NvmeStatus.compareFailure, Operation.compare), Status.compareFailed);
});

test("isPathRelated and isAnaStatus tell what another path may do", () => {
  ok(isPathRelated(NvmeStatus.internalPathError | DNR));
  ok(isPathRelated(NvmeStatus.anaInaccessible));
  ok(!isPathRelated(NvmeStatus.penstockFenced));
  ok(!isPathRelated(NvmeStatus.writeFault));
  ok(isAnaStatus(NvmeStatus.anaPersistentLoss) && isAnaStatus(NvmeStatus.anaTransition | DNR));
  ok(!isAnaStatus(NvmeStatus.internalPathError) && !isAnaStatus(0x304));
});

// spec: Base 2.0 figures 95, 97, 99, 100: spot checks against the printed tables.
test("NvmeStatus has the numbers of the specification", () => {
  for (const [code, type, number] of [
    [NvmeStatus.invalidNamespaceOrFormat, 0, 0x0b],
    [NvmeStatus.commandSequenceError, 0, 0x0c],
    [NvmeStatus.sglDescriptorTypeInvalid, 0, 0x11],
    [NvmeStatus.keepAliveInvalid, 0, 0x1a],
    [NvmeStatus.namespaceWriteProtected, 0, 0x20],
    [NvmeStatus.lbaOutOfRange, 0, 0x80],
    [NvmeStatus.reservationConflict, 0, 0x83],
    [NvmeStatus.asyncEventLimitExceeded, 1, 0x05],
    [NvmeStatus.invalidLogPage, 1, 0x09],
    [NvmeStatus.featureNotSaveable, 1, 0x0d],
    [NvmeStatus.connectInvalidHost, 1, 0x84],
    [NvmeStatus.compareFailure, 2, 0x85],
    [NvmeStatus.anaTransition, 3, 0x03],
    [NvmeStatus.abortedByHost, 3, 0x71],
  ] as const) {
    strictEqual(code, (type << 8) | number);
  }
});

test("statusText names the code, its numbers and DNR", () => {
  strictEqual(
    statusText(NvmeStatus.lbaOutOfRange | DNR),
    "lba-out-of-range (sct 0 sc 0x80, do not retry)",
  );
  strictEqual(statusText(0x3ee), "unknown (sct 3 sc 0xee)");
});
