/**
 * Golden bytes of every PDU, both ways.
 *
 * spec: NVMe/TCP 1.0 3.6.2 (offsets written out here, not taken from the codecs)
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import {
  dataOffset,
  decodeCommonHeader,
  decodeTransfer,
  FatalError,
  fatalErrorText,
  PduFlag,
  PduHeader,
  PduType,
  TransferFields,
} from "./common.ts";
import { encodeCapsuleCmd, encodeCapsuleResp } from "./pdu-capsule.ts";
import { encodeC2hData, encodeH2cData } from "./pdu-data.ts";
import { decodeIcReq, decodeIcResp, encodeIcReq, encodeIcResp } from "./pdu-ic.ts";
import { encodeR2t } from "./pdu-r2t.ts";
import { decodeTermReq, encodeTermReq } from "./pdu-term-req.ts";

/** Codecs write over whatever was there, and nothing behind. */
function written(encode: (view: DataView, at: number) => number, bytes: number): string {
  const memory = new Uint8Array(256).fill(0xee);
  encode(new DataView(memory.buffer), 16);
  assert.equal(memory[15], 0xee);
  assert.equal(memory[16 + bytes], 0xee);
  return Buffer.from(memory.subarray(16, 16 + bytes)).toString("hex");
}

function header(hex: string): PduHeader {
  const into = new PduHeader();
  decodeCommonHeader(new DataView(new Uint8Array(Buffer.from(hex, "hex")).buffer), 0, into);
  return into;
}

function transfer(hex: string): TransferFields {
  const into = new TransferFields();
  decodeTransfer(new DataView(new Uint8Array(Buffer.from(hex, "hex")).buffer), 0, into);
  return into;
}

test("ICReq and ICResp are as the specification lays them out", () => {
  const request = { version: 0, alignment: 3, digests: 3, maxR2t: 15 };
  const requestHex = `0000800080000000${"00000303" + "0f000000"}${"00".repeat(112)}`;
  assert.equal(
    written((view, at) => encodeIcReq(view, at, request), 128),
    requestHex,
  );
  const response = { version: 0, alignment: 0, digests: 1, maxH2cDataBytes: 131072 };
  const responseHex = `0100800080000000${"00000001" + "00000200"}${"00".repeat(112)}`;
  assert.equal(
    written((view, at) => encodeIcResp(view, at, response), 128),
    responseHex,
  );
  const view = (hex: string): DataView =>
    new DataView(new Uint8Array(Buffer.from(hex, "hex")).buffer);
  assert.deepEqual(decodeIcReq(view(requestHex), 0), request);
  assert.deepEqual(decodeIcResp(view(responseHex), 0), response);
});

test("CapsuleCmd says where its data begins", () => {
  const both = PduFlag.headerDigest | PduFlag.dataDigest;
  const cases: [number, number, number, string, number][] = [
    [0, 4, 0, "0400480048000000", 72],
    [0, 4, 512, "0400484848020000", 72],
    [0, 128, 512, "0400488080020000", 128],
    [both, 4, 0, "040148004c000000", 76],
    [both, 4, 512, "0403484c50020000", 76],
    [both, 16, 512, "0403485054020000", 80],
  ];
  for (const [flags, alignment, data, hex, start] of cases) {
    let at = 0;
    const bytes = written((view, from) => {
      at = encodeCapsuleCmd(view, from, flags, alignment, data);
      return at;
    }, 8);
    assert.equal(bytes, hex);
    assert.equal(at, start);
  }
});

test("CapsuleResp has 24 bytes, and a digest if there are any", () => {
  assert.equal(
    written((view, at) => encodeCapsuleResp(view, at, false), 8),
    "0500180018000000",
  );
  assert.equal(
    written((view, at) => encodeCapsuleResp(view, at, true), 8),
    "050118001c000000",
  );
});

test("H2CData and C2HData round trip", () => {
  const h2c = "0604181818100000341278560020000000100000" + "00000000";
  assert.equal(
    written((view, at) => encodeH2cData(view, at, PduFlag.last, 4, 0x1234, 0x5678, 8192, 4096), 24),
    h2c,
  );
  assert.deepEqual(
    { ...transfer(h2c) },
    {
      cid: 0x1234,
      ttag: 0x5678,
      offset: 8192,
      lengthBytes: 4096,
    },
  );
  assert.deepEqual(
    { ...header(h2c) },
    {
      type: PduType.h2cData,
      flags: PduFlag.last,
      hlen: 24,
      pdo: 24,
      plen: 4120,
    },
  );
  const flags = PduFlag.headerDigest | PduFlag.dataDigest | PduFlag.last | PduFlag.success;
  const c2h = "070f18203402000001000000000000001002000000000000";
  assert.equal(
    written((view, at) => encodeC2hData(view, at, flags, 32, 1, 0, 528), 24),
    c2h,
  );
});

test("R2T asks for a range", () => {
  const hex = "0900180018000000ffff01000000020000000100" + "00000000";
  assert.equal(
    written((view, at) => encodeR2t(view, at, false, 0xffff, 1, 131072, 65536), 24),
    hex,
  );
  assert.deepEqual(
    { ...transfer(hex) },
    {
      cid: 0xffff,
      ttag: 1,
      offset: 131072,
      lengthBytes: 65536,
    },
  );
});

test("TermReq repeats at most 128 bytes of what was wrong", () => {
  const fields = { fatalError: FatalError.headerDigest, information: 0x89abcdef };
  const wrong = new Uint8Array(200).fill(7);
  const hex = `0300180098000000${"0300efcdab89"}${"00".repeat(10)}${"07".repeat(128)}`;
  assert.equal(
    written((view, at) => encodeTermReq(view, at, PduType.c2hTermReq, fields, wrong), 152),
    hex,
  );
  const view = new DataView(new Uint8Array(Buffer.from(hex, "hex")).buffer);
  assert.deepEqual(decodeTermReq(view, 0), fields);
  assert.equal(fatalErrorText(3), "header digest error");
  assert.equal(fatalErrorText(77), "fatal error status 77");
});

test("data begins behind the digest, at the alignment", () => {
  assert.equal(dataOffset(24, false, 4), 24);
  assert.equal(dataOffset(24, true, 4), 28);
  assert.equal(dataOffset(72, true, 128), 128);
});

test("decodeTransfer gives what was encoded", () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  const id = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(id, id, word, word, (cid, ttag, offset, lengthBytes) => {
      const view = new DataView(new ArrayBuffer(64));
      encodeR2t(view, 3, true, cid, ttag, offset, lengthBytes);
      const into = new TransferFields();
      decodeTransfer(view, 3, into);
      assert.deepEqual({ ...into }, { cid, ttag, offset, lengthBytes });
    }),
  );
});
