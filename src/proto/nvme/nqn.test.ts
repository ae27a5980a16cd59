// Tests of NVMe qualified names.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { DISCOVERY_NQN, isAcceptableNqn, isNqn, nqnOfUuid } from "./nqn.ts";

/** What a terminal or a log would take for something else than a name. */
const ORDERS = ["nqn.a\x1b[31m", "nqn.a\nready", "nqn.a\u009b1m", "nqn.a\u2028b", "nqn.a\x7f"];
const UUID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

test("isNqn takes names of the spec's two forms", () => {
  for (const nqn of [
    DISCOVERY_NQN,
    nqnOfUuid(UUID),
    "nqn.2026-11.io.penstock:vol1",
    "nqn.2016-06.io.spdk:cnode1",
    "nqn.2019-05.io.openebs:nexus-1/2 é",
    `nqn.2026-11.io.penstock:${"x".repeat(223 - 24)}`,
  ]) {
    strictEqual(isNqn(nqn), true, nqn);
  }
});

test("isNqn refuses what is no name", () => {
  for (const nqn of [
    "",
    "nqn.",
    "iqn.2026-11.io.penstock:vol1",
    "nqn.2026-13.io.penstock:vol1",
    "nqn.2026-11",
    "nqn.2026-11.io.penstock:",
    "nqn.2026-11.io.penstock:a\0b",
    "nqn.2026-11.io.penstock:a\nready",
    `${nqnOfUuid(UUID)}0`,
    "nqn.2014-08.org.nvmexpress:uuid:1234",
    `nqn.2026-11.io.penstock:${"x".repeat(224 - 24)}`,
    `nqn.2026-11.io.penstock:${"é".repeat(100)}`,
  ]) {
    strictEqual(isNqn(nqn), false, nqn);
  }
});

test("isAcceptableNqn takes sloppy names of peers within the limits", () => {
  strictEqual(isAcceptableNqn("nqn.host"), true);
  strictEqual(isAcceptableNqn(`nqn.${"x".repeat(219)}`), true);
  for (const nqn of ["", "host", "nqn.\ufffd", "nqn.a\0", ...ORDERS, `nqn.${"x".repeat(220)}`]) {
    strictEqual(isAcceptableNqn(nqn), false, nqn);
  }
});
