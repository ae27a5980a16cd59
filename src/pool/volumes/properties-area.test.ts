/** The codec of properties. */

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { decodeProperties, encodeProperties, PROPERTIES_BYTES_MAX } from "./properties-area.ts";

function randomProperties(prng: Prng): Map<string, Uint8Array> {
  const properties = new Map<string, Uint8Array>();
  const count = prng.below(20);
  for (let index = 0; index < count; index++) {
    const value = new Uint8Array(prng.below(500));
    prng.fill(value);
    properties.set(`key ${prng.below(1000)} ü`, value);
  }
  return properties;
}

test("decodeProperties gives what encodeProperties got, whatever is padded", () => {
  const prng = new Prng(3);
  for (let round = 0; round < 200; round++) {
    const properties = randomProperties(prng);
    const area = encodeProperties(properties);
    const padded = new Uint8Array(area.length + prng.below(1000));
    padded.set(area);
    const sorted = [...properties].sort(([a], [b]) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    deepStrictEqual([...(decodeProperties(padded) ?? [])], sorted);
  }
});

test("encodeProperties refuses what is too large", () => {
  const code = { code: "properties-too-large" };
  const of = (key: string, bytes: number) => new Map([[key, new Uint8Array(bytes)]]);
  throws(() => encodeProperties(of("", 1)), code);
  throws(() => encodeProperties(of("x".repeat(65), 1)), code);
  throws(() => encodeProperties(of("x", 64 * 1024 + 1)), code);
  const two = new Map([...of("a", 64 * 1024), ...of("b", PROPERTIES_BYTES_MAX - 64 * 1024)]);
  throws(() => encodeProperties(two), code);
  strictEqual(encodeProperties(of("x".repeat(64), 64 * 1024)).length, 64 * 1024 + 70);
});

test("decodeProperties says null or an area for any bytes", () => {
  const prng = new Prng(4);
  for (let round = 0; round < 2000; round++) {
    const area = encodeProperties(randomProperties(prng)).slice();
    for (let flip = 0; flip < 3 && area.length > 0; flip++) {
      area[prng.below(area.length)] = prng.below(256);
    }
    const found = decodeProperties(area);
    if (found !== null) deepStrictEqual(decodeProperties(encodeProperties(found)), found);
  }
});
