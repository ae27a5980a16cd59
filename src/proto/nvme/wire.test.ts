// Tests of the fields that all structures share: 64-bit numbers, text, UUIDs.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  getHex,
  getPadded,
  getTerminated,
  getUint64,
  getUuid,
  setPadded,
  setTerminated,
  setUint64,
  setUuid,
  viewOf,
} from "./wire.ts";

test("setUint64 writes little-endian what getUint64 reads", () => {
  const bytes = new Uint8Array(8);
  const view = viewOf(bytes);
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      setUint64(view, 0, value);
      strictEqual(view.getBigUint64(0, true), BigInt(value));
      strictEqual(getUint64(view, 0), value);
    }),
  );
});

test("getUint64 stays beyond 2^53 - 1 when the field is", () => {
  const bytes = new Uint8Array(8);
  const view = viewOf(bytes);
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), (value) => {
      view.setBigUint64(0, value, true);
      strictEqual(getUint64(view, 0) >= 2 ** 53, true);
    }),
  );
});

test("setTerminated and setPadded fill their field and nothing else", () => {
  const bytes = new Uint8Array(12).fill(0xee);
  setTerminated(bytes, 2, 8, "nqn.é");
  strictEqual(getHex(bytes, 0, 12), "eeee6e716e2ec3a90000eeee".slice(0, 24));
  strictEqual(getTerminated(bytes, 2, 8), "nqn.é");
  setPadded(bytes, 2, 8, "ab\u00e9");
  strictEqual(getHex(bytes, 0, 12), "eeee61623f2020202020eeee");
  strictEqual(getPadded(bytes, 2, 8), "ab?");
  setPadded(bytes, 2, 8, "longer than that");
  strictEqual(getPadded(bytes, 2, 8), "longer t");
  throws(() => setTerminated(bytes, 2, 8, "12345678"), { code: "assertion-failed" });
});

test("getTerminated takes a field without a NUL as it is", () => {
  deepStrictEqual(getTerminated(new Uint8Array(4).fill(0x61), 0, 4), "aaaa");
  deepStrictEqual(getTerminated(Uint8Array.of(0xff, 0), 0, 2), "\ufffd");
  strictEqual(getTerminated(new Uint8Array(0), 0, 4), "");
});

test("setUuid writes the digits in their order", () => {
  const bytes = new Uint8Array(16);
  setUuid(bytes, 0, "00112233-4455-6677-8899-AABBCCDDEEFF");
  strictEqual(getHex(bytes, 0, 16), "00112233445566778899aabbccddeeff");
  strictEqual(getUuid(bytes, 0), "00112233-4455-6677-8899-aabbccddeeff");
  throws(() => setUuid(bytes, 0, "00112233"), { code: "assertion-failed" });
  throws(() => setUuid(bytes, 0, "g".repeat(32)), { code: "assertion-failed" });
});
