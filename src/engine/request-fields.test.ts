// Tests of the checks of a request's fields: each names the field, what was found and the limit.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { readPipeName, readStageAddress, readText, readTimeoutMs } from "./request-fields.ts";

test("a pipe's name is 1 to 63 of a-z, 0-9, - _ and .", () => {
  for (const good of ["a", "0", "vol-1", "a.b_c", "pvc-0b0e7f3a-1", "a".repeat(63)]) {
    strictEqual(readPipeName("name", good), good);
  }
  const bad: readonly (readonly [string, string, RegExp])[] = [
    ["", "field-missing", /^name: found nothing/],
    ["a".repeat(64), "field-too-long", /^name: found 64 characters, expected at most 63$/],
    ["A", "field-invalid", /^name: found "A", expected a-z/],
    [".a", "field-invalid", /^name: found "\.a"/],
    ["-a", "field-invalid", /^name: /],
    ["..", "field-invalid", /^name: /],
    ["a/b", "field-invalid", /^name: /],
    ["a\0", "field-invalid", /^name: found "a\\u0000"/],
    ["a\n", "field-invalid", /^name: found "a\\n"/],
    ["ä", "field-invalid", /^name: /],
  ];
  for (const [value, code, message] of bad) {
    throws(() => readPipeName("name", value), { code, message, details: { field: "name" } }, value);
  }
});

test("a text has 1 byte to 64 KiB, however few characters these are", () => {
  strictEqual(readText("text", "x".repeat(65_536)).length, 65_536);
  throws(() => readText("text", ""), { code: "field-missing" });
  throws(() => readText("text", "ä".repeat(32_769)), {
    code: "field-too-long",
    message: "text: found 65538 bytes, expected at most 65536",
  });
});

test("a stage's address and a time-out have bounds", () => {
  strictEqual(readStageAddress("above", "1.2.3"), "1.2.3");
  throws(() => readStageAddress("above", ""), { code: "field-missing", message: /^above: / });
  throws(() => readStageAddress("stage", "x".repeat(129)), { code: "field-too-long" });
  strictEqual(readTimeoutMs("timeout_ms", 1), 1);
  strictEqual(readTimeoutMs("timeout_ms", 60_000), 60_000);
  for (const bad of [0, 60_001, 2 ** 32 - 1]) {
    throws(() => readTimeoutMs("timeout_ms", bad), {
      code: "field-out-of-range",
      message: `timeout_ms: found ${bad}, expected 1 to 60000`,
    });
  }
});
