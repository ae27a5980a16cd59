// Tests of the status mapping: every status and every error of the protocol, both ways.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { STATUS_TRAITS, Status, statusName } from "../../block/status.ts";
import { Command, CommandFlag, NbdError } from "./constants.ts";
import { errorForStatus, statusForError } from "./status.ts";

const ERRORS = Object.values(NbdError);

test("errorForStatus gives an error of the protocol when given any status and command", () => {
  for (let status = 0; status < STATUS_TRAITS.length; status++) {
    for (const command of Object.values(Command)) {
      const error = errorForStatus(status as Status, command, 0);
      ok(ERRORS.includes(error), statusName(status as Status));
      strictEqual(error === NbdError.none, status === Status.ok, "only ok is no error");
    }
  }
});

test("statusForError gives back the error's own status when the error is mapped again", () => {
  for (const error of ERRORS) {
    const status = statusForError(error);
    strictEqual(status === Status.ok, error === NbdError.none);
    // NBD's rarer errors have no status of their own.
    if (error === NbdError.enomem || error === NbdError.eoverflow) continue;
    strictEqual(errorForStatus(status, Command.writeZeroes, CommandFlag.fastZero), error);
  }
});

test("statusForError never turns a retryable or faulting status into success", () => {
  for (let status = 1; status < STATUS_TRAITS.length; status++) {
    const error = errorForStatus(status as Status, Command.read, 0);
    ok(statusForError(error) !== Status.ok, statusName(status as Status));
  }
});

test("errorForStatus depends on the command where the spec says so", () => {
  for (const [status, command, flags, error] of [
    [Status.outOfRange, Command.read, 0, NbdError.einval],
    [Status.outOfRange, Command.trim, 0, NbdError.einval],
    [Status.outOfRange, Command.cache, 0, NbdError.einval],
    [Status.outOfRange, Command.blockStatus, 0, NbdError.einval],
    [Status.outOfRange, Command.write, 0, NbdError.enospc],
    [Status.outOfRange, Command.writeZeroes, 0, NbdError.enospc],
    [Status.unsupported, Command.writeZeroes, 0, NbdError.einval],
    [Status.unsupported, Command.writeZeroes, CommandFlag.fastZero, NbdError.enotsup],
    [Status.unsupported, Command.trim, CommandFlag.fastZero, NbdError.einval],
    [Status.readOnly, Command.write, 0, NbdError.eperm],
  ] as const) {
    strictEqual(errorForStatus(status, command, flags), error);
  }
});

test("statusForError says invalid when the error is unknown", () => {
  for (const error of [2, 4, 107, 109, 0x7fff_ffff, -1]) {
    strictEqual(statusForError(error), Status.invalid);
  }
});
