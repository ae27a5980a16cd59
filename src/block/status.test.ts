// Tests of the status table: complete, with stable names, and the decisions that others build on.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { STATUS_TRAITS, Status, statusName } from "./status.ts";

test("every status has its row, named like its key", () => {
  const entries = Object.entries(Status);
  strictEqual(STATUS_TRAITS.length, entries.length);
  for (const [key, status] of entries) {
    const kebab = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    strictEqual(statusName(status), kebab);
  }
  strictEqual(statusName(200 as Status), "status-200");
});

test("what is retried and what faults a device is as decided", () => {
  const names = (trait: "retryable" | "faultsDevice") =>
    STATUS_TRAITS.filter((traits) => traits[trait]).map(({ name }) => name);
  deepStrictEqual(names("retryable"), ["no-space", "not-ready", "path-lost", "timeout", "aborted"]);
  deepStrictEqual(names("faultsDevice"), [
    "media-error",
    "fenced",
    "not-ready",
    "path-lost",
    "timeout",
    "data-lost",
    "internal",
  ]);
});
