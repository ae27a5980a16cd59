// Tests of CRC32C against published vectors and a model that goes bit by bit.

import { notStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "./crc32c.ts";
import { Prng } from "./prng.ts";

/** The checksum's definition: one bit at a time, no table. */
function modelOf(bytes: Uint8Array, start: number, length: number, seed = 0): number {
  let crc = ~seed;
  for (let at = start; at < start + length; at++) {
    crc ^= bytes[at] as number;
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    }
  }
  return ~crc >>> 0;
}

function randomBytes(length: number, seed: number): Uint8Array {
  const prng = new Prng(seed);
  return Uint8Array.from({ length }, () => prng.nextUint32() & 0xff);
}

// spec: RFC 3720 B.4 (its examples list the bytes of the digest in the order they are sent)
const VECTORS: readonly (readonly [string, Uint8Array, number])[] = [
  ["32 zeroes", new Uint8Array(32), 0x8a9136aa],
  ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["32 rising", Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
  ["32 falling", Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113fdb5c],
  [
    "an iSCSI read command",
    Buffer.from(
      "01c00000000000000000000000000000140000000000040000000014000000182800000000000000" +
        "0200000000000000",
      "hex",
    ),
    0xd9963a56,
  ],
  ["the digits", Buffer.from("123456789"), 0xe3069283],
  ["nothing", new Uint8Array(0), 0],
];

test("crc32c gives the published checksum when it is given a published vector", () => {
  for (const [name, bytes, expected] of VECTORS) {
    strictEqual(crc32c(bytes, 0, bytes.length).toString(16), expected.toString(16), name);
    strictEqual(modelOf(bytes, 0, bytes.length), expected, `model: ${name}`);
  }
});

test("crc32c agrees with the model when any length at any alignment is taken", () => {
  const bytes = randomBytes(700, 1);
  for (let length = 0; length <= 600; length++) {
    for (const start of [0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 64]) {
      strictEqual(
        crc32c(bytes, start, length),
        modelOf(bytes, start, length),
        `${start}, ${length}`,
      );
    }
  }
});

test("crc32c goes on from its seed when a message comes in two parts", () => {
  const bytes = randomBytes(300, 2);
  const whole = modelOf(bytes, 0, bytes.length);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const first = crc32c(bytes, 0, cut);
    strictEqual(crc32c(bytes, cut, bytes.length - cut, first), whole, `cut at ${cut}`);
  }
});

test("crc32c agrees with the model when a message is long enough to be folded", () => {
  const bytes = randomBytes(200_000, 3);
  for (let length = 600; length <= 2000; length++) {
    const start = length % 61;
    strictEqual(crc32c(bytes, start, length, length), modelOf(bytes, start, length, length));
  }
  for (const length of [63_999, 64_000, 64_304, 64_305, 64_944, 65_536, 131_072, 199_900]) {
    const seed = crc32c(bytes, 0, 77);
    strictEqual(crc32c(bytes, 77, length, seed), modelOf(bytes, 0, length + 77), `${length}`);
  }
});

test("crc32c reads shared memory when that is where the message lies", () => {
  const bytes = randomBytes(5000, 4);
  const shared = new Uint8Array(new SharedArrayBuffer(5000));
  shared.set(bytes);
  strictEqual(crc32c(shared, 3, 4900), modelOf(bytes, 3, 4900));
});

test("crc32c notices any single bit that changes when a message is folded", () => {
  const bytes = randomBytes(1024, 5);
  const before = crc32c(bytes, 0, 1024);
  for (let bit = 0; bit < 8192; bit++) {
    const at = bit >> 3;
    const byte = bytes[at] as number;
    bytes[at] = byte ^ (1 << (bit & 7));
    notStrictEqual(crc32c(bytes, 0, 1024), before, `bit ${bit}`);
    bytes[at] = byte;
  }
});
