// Tests of the fields of fixed records: what is put comes back, what is no field is found.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import {
  getHex64,
  getName,
  getU48,
  getU64,
  getUuid,
  nameBytes,
  putHex64,
  putName,
  putU48,
  putU64,
  putUuid,
} from "./fixed-record.ts";

const view = new DataView(new ArrayBuffer(64));

test("numbers come back, little-endian", () => {
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 42 + 7, 2 ** 48 - 1]) {
    putU48(view, 3, value);
    strictEqual(getU48(view, 3), value);
    putU64(view, 11, value);
    strictEqual(getU64(view, 11), value);
  }
  putU48(view, 0, 0x0605_0403_0201);
  strictEqual(view.getUint8(0), 1);
  strictEqual(view.getUint8(5), 6);
  putU64(view, 0, Number.MAX_SAFE_INTEGER);
  strictEqual(getU64(view, 0), Number.MAX_SAFE_INTEGER);
});

test("a 64-bit number that is too large is Infinity, which no check lets pass", () => {
  view.setUint32(0, 0, true);
  view.setUint32(4, 2 ** 21, true);
  strictEqual(getU64(view, 0), Number.POSITIVE_INFINITY);
});

test("numbers that do not fit are a bug", () => {
  for (const value of [-1, 2 ** 48]) throws(() => putU48(view, 0, value));
  for (const value of [-1, 2 ** 53, 0.5]) throws(() => putU64(view, 0, value));
});

test("a uuid lies there in the order of its text", () => {
  const uuid = "00112233-4455-6677-8899-aabbccddeeff";
  putUuid(view, 8, uuid);
  for (let index = 0; index < 16; index++) strictEqual(view.getUint8(8 + index), index * 0x11);
  strictEqual(getUuid(view, 8), uuid);
  throws(() => putUuid(view, 8, "00112233"));
  putHex64(view, 8, "0123456789abcdef");
  strictEqual(getHex64(view, 8), "0123456789abcdef");
});

test("names are UTF-8 with zeroes behind them", () => {
  for (const name of ["", "a", "größe", "x".repeat(32)]) {
    putName(view, 4, 32, name);
    strictEqual(getName(view, 4, 32), name);
  }
  strictEqual(nameBytes("größe"), 7);
  throws(() => putName(view, 4, 32, "ü".repeat(17)));
});

test("bytes that are no name are none", () => {
  putName(view, 4, 32, "ab");
  view.setUint8(20, 1);
  strictEqual(getName(view, 4, 32), null);
  putName(view, 4, 32, "ab");
  view.setUint8(4, 0xff);
  strictEqual(getName(view, 4, 32), null);
});
