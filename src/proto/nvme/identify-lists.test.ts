// Tests of the lists of Identify.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  encodeCommandSets,
  encodeControllerList,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
} from "./identify-lists.ts";

test("decodeNamespaceList gives what encodeNamespaceList was given", () => {
  const nsid = fc.integer({ min: 1, max: 0xffff_ffff });
  fc.assert(
    fc.property(fc.array(nsid, { maxLength: 1024 }), (nsids) => {
      const bytes = encodeNamespaceList(nsids);
      strictEqual(bytes.length, 4096);
      deepStrictEqual(decodeNamespaceList(bytes), nsids);
    }),
    { numRuns: 30 },
  );
});

test("encodeNamespaceList leaves out what is beyond 1,024 entries", () => {
  const nsids = Array.from({ length: 1030 }, (_, index) => index + 1);
  deepStrictEqual(decodeNamespaceList(encodeNamespaceList(nsids)), nsids.slice(0, 1024));
  deepStrictEqual(decodeNamespaceList(Uint8Array.of(1, 0, 0, 0, 2, 0)), [1]);
});

test("encodeNamespaceDescriptors lays descriptors out as the spec does", () => {
  const descriptors = {
    eui64: "0123456789abcdef",
    nguid: "00112233445566778899aabbccddeeff",
    uuid: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    commandSet: 0,
  };
  const bytes = encodeNamespaceDescriptors(descriptors);
  strictEqual(bytes.length, 4096);
  strictEqual(
    Buffer.from(bytes).toString("hex", 0, 61),
    "010800000123456789abcdef" +
      "0210000000112233445566778899aabbccddeeff" +
      "03100000f81d4fae7dec11d0a76500a0c91e6bf6" +
      "0401000000" +
      "00000000",
  );
  deepStrictEqual(decodeNamespaceDescriptors(bytes), descriptors);
  const none = { eui64: null, nguid: null, uuid: null, commandSet: null };
  deepStrictEqual(decodeNamespaceDescriptors(encodeNamespaceDescriptors(none)), none);
});

test("decodeNamespaceDescriptors skips unknown types and stops at broken lengths", () => {
  const none = { eui64: null, nguid: null, uuid: null, commandSet: null };
  const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
  deepStrictEqual(decodeNamespaceDescriptors(hex("09020000ffff" + "0401000002")), {
    ...none,
    commandSet: 2,
  });
  deepStrictEqual(decodeNamespaceDescriptors(hex("01070000ffffffffffffff0401000002")), {
    ...none,
    commandSet: 2,
  });
  deepStrictEqual(decodeNamespaceDescriptors(hex("03100000ffff")), none);
  deepStrictEqual(decodeNamespaceDescriptors(hex("030000000401000002")), none);
});

test("encodeControllerList counts its entries first", () => {
  const bytes = encodeControllerList([1, 0x1234]);
  strictEqual(Buffer.from(bytes).toString("hex", 0, 8), "0200010034120000");
  const many = encodeControllerList(Array.from({ length: 3000 }, (_, index) => index));
  strictEqual(Buffer.from(many).toString("hex", 0, 2), "ff07");
  strictEqual(Buffer.from(many).toString("hex", 4094, 4096), "fe07");
});

test("encodeCommandSets says that the first combination is the NVM command set", () => {
  const bytes = encodeCommandSets();
  strictEqual(bytes.length, 4096);
  strictEqual(bytes.indexOf(1), 0);
  strictEqual(
    bytes.subarray(1).every((byte) => byte === 0),
    true,
  );
});
