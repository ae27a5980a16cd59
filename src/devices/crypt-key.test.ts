// Tests of the key's forms: what is taken, what is refused, and that errors never show content.

import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../util/prng.ts";
import { PenstockError } from "../util/errors.ts";
import { testSeed } from "../testing/test-seed.ts";
import { parseXtsKey } from "./crypt-key.ts";

const SOURCE = "file:/etc/k";
const RAW = Uint8Array.from({ length: 64 }, (_, index) => 0xf0 ^ index);
const HEX = Buffer.from(RAW).toString("hex");

test("parseXtsKey takes raw keys and hex digits, with and without a newline", () => {
  const texts = [HEX, HEX.toUpperCase(), `${HEX}\n`, `${HEX}\r\n`];
  for (const content of [RAW, ...texts.map((text) => Buffer.from(text))]) {
    const key = parseXtsKey(content, SOURCE);
    deepStrictEqual([...key], [...RAW]);
    notStrictEqual(key.buffer, content.buffer, "a copy, so that either can be wiped");
  }
  deepStrictEqual([...parseXtsKey(RAW.subarray(0, 32), SOURCE)], [...RAW.subarray(0, 32)]);
  // A raw key may end in the byte of a newline.
  const odd = RAW.slice();
  odd[63] = 10;
  deepStrictEqual([...parseXtsKey(odd, SOURCE)], [...odd]);
});

function refusalOf(content: Uint8Array): PenstockError {
  try {
    parseXtsKey(content, SOURCE);
  } catch (error) {
    ok(error instanceof PenstockError, String(error));
    strictEqual(error.code, "key-invalid");
    ok(error.message.includes(SOURCE), error.message);
    return error;
  }
  throw new Error(`a key of ${content.length} bytes was taken`);
}

test("parseXtsKey refuses other lengths by naming them", () => {
  for (const length of [0, 1, 16, 31, 33, 48, 63, 65, 127, 128, 129, 160]) {
    const { message } = refusalOf(Buffer.alloc(length, 0xa5));
    ok(message.includes(` ${length} bytes`), message);
  }
  ok(refusalOf(Buffer.alloc(161, 0xa5)).message.includes("more than 160 bytes"));
});

test("parseXtsKey refuses hex digits of another number, though raw bytes could be so many", () => {
  for (const digits of [32, 64]) {
    for (const end of ["", "\n"]) {
      const { message } = refusalOf(Buffer.from(HEX.slice(0, digits) + end));
      ok(message.includes(` ${digits} hex digits`), message);
    }
  }
});

test("parseXtsKey refuses two equal halves", () => {
  for (const half of [RAW.subarray(0, 32), RAW.subarray(0, 16), new Uint8Array(32)]) {
    const { message } = refusalOf(Buffer.concat([half, half]));
    ok(message.includes("equal halves"), message);
  }
  refusalOf(Buffer.from(HEX.slice(0, 64) + HEX.slice(0, 64)));
});

test("parseXtsKey's errors hold nothing of what was in the file", (t) => {
  const prng = new Prng(testSeed(t));
  for (let round = 0; round < 300; round++) {
    const bytes = new Uint8Array(8 + prng.below(100));
    for (let at = 0; at < bytes.length; at++) bytes[at] = 97 + prng.below(26);
    if (bytes.length === 32 || bytes.length === 64) continue;
    const error = refusalOf(bytes);
    const shown = JSON.stringify([error.message, error.details, String(error.cause)]);
    const text = Buffer.from(bytes).toString();
    for (let at = 0; at + 8 <= text.length; at++) {
      ok(!shown.includes(text.slice(at, at + 8)), `round ${round}: ${shown}`);
    }
  }
});
