// Tests of XXH64 against the vectors that its authors publish.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { makeXxh64 } from "./xxh64.ts";

/** The buffer that the published vectors are of. spec: xxHash 0.8.2, XSUM_fillTestBuffer */
function publishedBuffer(lengthBytes: number): Uint8Array {
  let generator = 2654435761n;
  return Uint8Array.from({ length: lengthBytes }, () => {
    const byte = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * 11400714785074694797n);
    return byte;
  });
}

function xxh64(bytes: Uint8Array): bigint {
  const { message, result, run } = makeXxh64(bytes.length);
  message.set(bytes);
  run();
  return new BigUint64Array(result.buffer.slice(bytes.length, bytes.length + 8))[0] as bigint;
}

// spec: xxHash 0.8.2, tests/sanity_test_vectors.h, XSUM_XXH64_testdata, seed 0
const VECTORS: readonly (readonly [number, bigint])[] = [
  [32, 0x18b216492bb44b70n],
  [64, 0xef558f8acac2b5cdn],
  [128, 0x90ca021457d96dc5n],
  [256, 0x5e3f5bf94d574981n],
  [512, 0x4358d2fdd62b58a7n],
  [2048, 0x5940f2752bc04387n],
  [4096, 0xab77f4af85f4e70bn],
  [4160, 0xeee6a4e2ac952a5en],
];

test("makeXxh64 gives the published result when it is given a published vector", () => {
  for (const [lengthBytes, expected] of VECTORS) {
    const found = xxh64(publishedBuffer(lengthBytes));
    strictEqual(found.toString(16), expected.toString(16), `${lengthBytes} bytes`);
  }
});

test("makeXxh64's program gives the same again when it runs over the same message again", () => {
  const { message, result, run } = makeXxh64(64);
  message.set(publishedBuffer(64));
  for (let time = 0; time < 3; time++) {
    run();
    strictEqual((result[0] as number) >>> 0, 0xcac2b5cd, `run ${time}`);
  }
});

test("makeXxh64 refuses lengths when they are not whole stripes or too long", () => {
  for (const lengthBytes of [0, 31, 33, 65_536]) {
    throws(() => makeXxh64(lengthBytes), { code: "assertion-failed" });
  }
});
