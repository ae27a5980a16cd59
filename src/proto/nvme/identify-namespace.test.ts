// Tests of Identify Namespace: offsets against the spec's table, and round trips.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  currentFormat,
  decodeIdentifyIndependentNamespace,
  decodeIdentifyNamespace,
  encodeIdentifyIndependentNamespace,
  encodeIdentifyNamespace,
  type IdentifyNamespace,
} from "./identify-namespace.ts";

const NAMESPACE: IdentifyNamespace = {
  nsze: 0x1_2345_6789,
  ncap: 0x2_0000_0001,
  nuse: 3,
  nsfeat: 0x19,
  flbas: 0,
  nmic: 1,
  rescap: 0xff,
  fpi: 0x80,
  dlfeat: 9,
  nawun: 0x0102,
  nawupf: 0x0304,
  nacwu: 0x0506,
  nabsn: 0x0708,
  nabo: 0x090a,
  nabspf: 0x0b0c,
  noiob: 0x0d0e,
  nvmcap: 2 ** 45,
  npwg: 1,
  npwa: 2,
  npdg: 3,
  npda: 4,
  nows: 5,
  mssrl: 6,
  mcl: 7,
  msrc: 8,
  anagrpid: 0x0a0b_0c0d,
  nsattr: 1,
  nvmsetid: 9,
  endgid: 10,
  nguid: "00112233445566778899aabbccddeeff",
  eui64: "0123456789abcdef",
  lbaFormats: [{ ms: 0, lbads: 9, rp: 0 }],
};

// spec: NVM Command Set 1.0 figure 97: first byte and content.
const LAYOUT: readonly (readonly [offset: number, hex: string])[] = [
  [0, "896745230100000001000000020000000300000000000000"],
  [24, "190000000000" + "01ff8009"],
  [34, "020104030605080" + "70a090c0b0e0d"],
  [48, "0000000000200000" + "0000000000000000"],
  [64, "0100020003000400050006000700000008"],
  [92, "0d0c0b0a" + "000000" + "01" + "09000a00"],
  [104, "00112233445566778899aabbccddeeff0123456789abcdef"],
  [128, "0000090000000000"],
];

test("encodeIdentifyNamespace puts every field where the spec has it", () => {
  const bytes = Buffer.from(encodeIdentifyNamespace(NAMESPACE));
  strictEqual(bytes.length, 4096);
  for (const [offset, hex] of LAYOUT) {
    strictEqual(bytes.toString("hex", offset, offset + hex.length / 2), hex, `offset ${offset}`);
  }
  strictEqual(
    bytes.subarray(132).every((byte) => byte === 0),
    true,
  );
});

test("decodeIdentifyNamespace gives what encodeIdentifyNamespace was given", () => {
  deepStrictEqual(decodeIdentifyNamespace(encodeIdentifyNamespace(NAMESPACE)), NAMESPACE);
  const many = {
    ...NAMESPACE,
    lbaFormats: Array.from({ length: 64 }, (_, index) => ({ ms: index, lbads: 12, rp: index & 3 })),
  };
  deepStrictEqual(decodeIdentifyNamespace(encodeIdentifyNamespace(many)), many);
});

test("currentFormat finds the format in use", () => {
  const lbaFormats = Array.from({ length: 40 }, (_, index) => ({ ms: index, lbads: 9, rp: 0 }));
  strictEqual(currentFormat({ ...NAMESPACE, lbaFormats, flbas: 0x41 })?.ms, 33);
  const few = lbaFormats.slice(0, 16);
  strictEqual(currentFormat({ ...NAMESPACE, lbaFormats: few, flbas: 0x61 })?.ms, 1);
  strictEqual(currentFormat({ ...NAMESPACE, flbas: 3 }), null);
  strictEqual(currentFormat(NAMESPACE)?.lbads, 9);
});

test("decodeIdentifyNamespace never lists more than 64 formats", () => {
  const bytes = encodeIdentifyNamespace(NAMESPACE);
  bytes[25] = 255;
  strictEqual(decodeIdentifyNamespace(bytes)?.lbaFormats.length, 64);
  strictEqual(decodeIdentifyNamespace(bytes.subarray(1)), null);
});

test("encodeIdentifyIndependentNamespace puts every field where the spec has it", () => {
  const namespace = {
    nsfeat: 1,
    nmic: 2,
    rescap: 3,
    fpi: 4,
    anagrpid: 0x0a0b_0c0d,
    nsattr: 5,
    nvmsetid: 6,
    endgid: 7,
    nstat: 1,
  };
  const bytes = encodeIdentifyIndependentNamespace(namespace);
  strictEqual(Buffer.from(bytes).toString("hex", 0, 16), "010203040d0c0b0a0500060007000100");
  deepStrictEqual(decodeIdentifyIndependentNamespace(bytes), namespace);
  strictEqual(decodeIdentifyIndependentNamespace(bytes.subarray(1)), null);
});
