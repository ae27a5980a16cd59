// Tests of the option reader: it gives null, never throws, and never reads past the end.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeString, OptionReader } from "./option-reader.ts";

test("OptionReader gives the fields in order when they are there", () => {
  const reader = new OptionReader(Buffer.from("0000000161fffeffffffff", "hex"));
  strictEqual(reader.sizedString(), "a");
  strictEqual(reader.uint16(), 0xfffe);
  strictEqual(reader.uint32(), 0xffff_ffff);
  strictEqual(reader.leftBytes, 0);
  strictEqual(reader.string(0), "");
});

test("OptionReader gives null when a field is cut short", () => {
  for (const hex of ["", "00", "000000", "00000001", "ffffffff61", "0000000261"]) {
    strictEqual(new OptionReader(Buffer.from(hex, "hex")).sizedString(), null, hex);
  }
  strictEqual(new OptionReader(Buffer.from("00", "hex")).uint16(), null);
  strictEqual(new OptionReader(Buffer.from("000000", "hex")).uint32(), null);
});

test("OptionReader never throws nor goes beyond the end when given random bytes", () => {
  const calls = fc.array(fc.constantFrom("uint16", "uint32", "sizedString"), { maxLength: 10 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), calls, (bytes, names) => {
      const reader = new OptionReader(bytes);
      for (const name of names) {
        reader[name as "uint16" | "uint32" | "sizedString"]();
        ok(reader.leftBytes >= 0 && reader.leftBytes <= bytes.length);
      }
    }),
  );
});

test("decodeString gives null when the bytes are no string of the spec", () => {
  strictEqual(decodeString(Buffer.from("ä€😀")), "ä€😀");
  strictEqual(decodeString(Buffer.alloc(4096, "a"))?.length, 4096);
  strictEqual(decodeString(Buffer.from("\ufeffx")), "\ufeffx");
  for (const bytes of [
    Buffer.alloc(4097, "a"),
    Buffer.from("a\0b"),
    Buffer.from("\0"),
    Buffer.from("ff", "hex"),
    Buffer.from("c328", "hex"),
    Buffer.from("eda080", "hex"), // a lone surrogate
    Buffer.from("c080", "hex"), // an overlong NUL
    Buffer.from("f09f98", "hex"), // cut short
  ]) {
    strictEqual(decodeString(bytes), null, bytes.toString("hex", 0, 8));
  }
});
