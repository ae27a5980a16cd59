// Tokens and the property of a volume that is being received: read as written, refused otherwise.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import {
  decodeState,
  decodeToken,
  encodeOrigin,
  encodeState,
  encodeToken,
  lineageOf,
} from "./receive-state.ts";

const UUID = "11111111-2222-4333-8444-555555555555";
const BASE = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const TOKENS = [
  { uuid: UUID, baseUuid: BASE, cursor: 12_345 },
  { uuid: UUID, baseUuid: "", cursor: 0 },
  { uuid: BASE, baseUuid: UUID, cursor: 2 ** 32 - 1 },
];

test("tokens and states are read as they were written", () => {
  for (const token of TOKENS) {
    deepStrictEqual(decodeToken(encodeToken(token)), token);
    for (const isMade of [false, true]) {
      const state = { ...token, sizeBytes: 2 ** 44, isMade };
      deepStrictEqual(decodeState(encodeState(state)), state);
    }
  }
});

test("a token with any character changed, cut or added is none", () => {
  const good = encodeToken(TOKENS[0] as (typeof TOKENS)[0]);
  const refused = (text: string): void => {
    throws(() => decodeToken(text), { code: "token-invalid" }, text);
  };
  for (let at = 0; at < good.length; at++) {
    const other = good[at] === "A" ? "B" : "A";
    refused(good.slice(0, at) + other + good.slice(at + 1));
    refused(good.slice(0, at));
  }
  refused(`${good}A`);
  refused(`${good}=`);
  refused(` ${good}`);
  const prng = new Prng(1);
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.alloc(prng.below(60));
    prng.fill(bytes);
    refused(bytes.toString("base64url"));
  }
});

test("a property that is none is null, whatever it holds", () => {
  const good = encodeState({ uuid: UUID, baseUuid: "", cursor: 1, sizeBytes: 512, isMade: true });
  strictEqual(decodeState(good.subarray(1)), null);
  strictEqual(decodeState(new Uint8Array(0)), null);
  strictEqual(decodeState(good.map((byte, at) => (at === 0 ? 9 : byte))), null);
  strictEqual(decodeState(good.map((byte, at) => (at > 39 ? 255 : byte))), null);
});

test("lineageOf is where a snapshot was received from, or its own", () => {
  strictEqual(lineageOf(UUID, new Map()), UUID);
  strictEqual(lineageOf(UUID, new Map([["origin", encodeOrigin(BASE)]])), BASE);
  strictEqual(lineageOf(UUID, new Map([["origin", Uint8Array.of(1, 2)]])), UUID);
});
