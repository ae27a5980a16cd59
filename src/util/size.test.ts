// Tests of sizes: what people write, what is refused and with which words.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PenstockError } from "./errors.ts";
import { formatSize, parseSize } from "./size.ts";

test("parseSize gives bytes when the text is a size", () => {
  for (const [text, bytes] of [
    ["0", 0],
    ["512", 512],
    ["512B", 512],
    ["4KiB", 4096],
    ["64MiB", 64 * 2 ** 20],
    ["1GiB", 2 ** 30],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["0.5KiB", 512],
    ["10 GiB", 10 * 2 ** 30],
    [" 2TiB ", 2 * 2 ** 40],
    ["1mib", 2 ** 20],
    ["10KB", 10_000],
    ["3MB", 3_000_000],
    ["1.44MB", 1_440_000],
    ["7PiB", 7 * 2 ** 50],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ] as const) {
    strictEqual(parseSize(text), bytes, text);
  }
});

test("parseSize refuses when the text is not a size", () => {
  for (const text of [
    "",
    "MiB",
    "-1MiB",
    "+1",
    "1e3",
    "0x10",
    "1,5GiB",
    "1.GiB",
    ".5GiB",
    "5XB",
    "5M",
    "5MiBs",
    "1 2",
    "1.5",
    "0.0001KiB",
    "NaN",
    "∞",
    "9".repeat(40),
  ]) {
    throws(() => parseSize(text), { code: "size-invalid" }, text);
  }
});

test("parseSize names the value and the limits when out of range", () => {
  throws(
    () => parseSize("2MiB", { minBytes: 512, maxBytes: 1024 * 1024 }),
    (error: unknown) =>
      error instanceof PenstockError &&
      error.code === "size-out-of-range" &&
      error.message === 'size "2MiB" is 2097152 bytes, outside 512 (512B) to 1048576 (1MiB)',
  );
  throws(() => parseSize("9007199254740992"), { code: "size-out-of-range" });
  throws(() => parseSize("9999999999PiB"), { code: "size-out-of-range" });
  throws(() => parseSize("0", { minBytes: 1 }), { code: "size-out-of-range" });
});

test("parseSize treats a bare number as told when the option says so", () => {
  strictEqual(parseSize("512", { bareNumber: "bytes" }), 512);
  strictEqual(parseSize("512", { bareNumber: "mebibytes" }), 512 * 2 ** 20);
  strictEqual(parseSize("512KiB", { bareNumber: "mebibytes" }), 512 * 1024);
  throws(() => parseSize("512", { bareNumber: "refuse" }), /a unit is required/);
});

test("formatSize picks the largest unit when formatting for people", () => {
  for (const [bytes, text] of [
    [0, "0B"],
    [512, "512B"],
    [1023, "1023B"],
    [1024, "1KiB"],
    [1536, "1.5KiB"],
    [64 * 2 ** 20, "64MiB"],
    [1.5 * 2 ** 30, "1.5GiB"],
    [2 ** 40, "1TiB"],
    [5 * 2 ** 50, "5PiB"],
    [1_000_000, "976.56KiB"],
  ] as const) {
    strictEqual(formatSize(bytes), text);
  }
});

test("parseSize reads back what formatSize wrote when the unit divides the size", () => {
  for (let exponent = 0; exponent <= 52; exponent += 1) {
    strictEqual(parseSize(formatSize(2 ** exponent)), 2 ** exponent);
  }
});
