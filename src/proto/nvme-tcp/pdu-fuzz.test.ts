// Fuzz of the PDU decoders: random bytes never throw, only the PDU's own bytes are read, and what
// was decoded is encoded to the same bytes again, reserved ones apart.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  COMMON_HEADER_BYTES,
  decodeCommonHeader,
  decodeTransfer,
  encodeCommonHeader,
  encodeTransfer,
  IC_BYTES,
  PduHeader,
  SHORT_HEADER_BYTES,
  TransferFields,
} from "./common.ts";
import { decodeIcReq, decodeIcResp, encodeIcReq, encodeIcResp } from "./pdu-ic.ts";
import { decodeTermReq } from "./pdu-term-req.ts";

/** The bytes amid others: a decoder that reads those gives something else. */
function amid(bytes: Uint8Array, neighbour: number): DataView {
  const buffer = new Uint8Array(bytes.length + 64).fill(neighbour);
  buffer.set(bytes, 32);
  return new DataView(buffer.buffer, 32, bytes.length);
}

function check(lengthBytes: number, decode: (view: DataView) => object): void {
  const anyBytes = fc.uint8Array({ minLength: lengthBytes, maxLength: lengthBytes });
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const decoded = decode(amid(bytes, 0));
      deepStrictEqual(decode(amid(bytes, 0xff)), decoded);
      for (const value of Object.values(decoded)) {
        strictEqual(Number.isInteger(value) && value >= 0, true, "fields are unsigned");
      }
    }),
  );
}

function decodeHeader(view: DataView): PduHeader {
  const header = new PduHeader();
  decodeCommonHeader(view, 0, header);
  return header;
}

function decodeFields(view: DataView): TransferFields {
  const fields = new TransferFields();
  decodeTransfer(view, 0, fields);
  return fields;
}

test("the decoders of PDUs take any bytes and read no others", () => {
  check(COMMON_HEADER_BYTES, decodeHeader);
  check(20, decodeFields);
  check(SHORT_HEADER_BYTES, (view) => decodeTermReq(view, 0));
  check(IC_BYTES, (view) => decodeIcReq(view, 0));
  check(IC_BYTES, (view) => decodeIcResp(view, 0));
});

test("encoders of PDUs write what decoders read from any bytes", () => {
  const anyBytes = fc.uint8Array({ minLength: IC_BYTES, maxLength: IC_BYTES });
  fc.assert(
    fc.property(anyBytes, fc.nat(32), (bytes, at) => {
      const given = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const view = new DataView(new ArrayBuffer(at + IC_BYTES));
      const shifted = new DataView(view.buffer, at);
      const { type, flags, hlen, pdo, plen } = decodeHeader(given);
      encodeCommonHeader(view, at, type, flags, hlen, pdo, plen);
      deepStrictEqual(decodeHeader(shifted), decodeHeader(given));
      const { cid, ttag, offset, lengthBytes } = decodeFields(given);
      encodeTransfer(view, at, cid, ttag, offset, lengthBytes);
      deepStrictEqual(decodeFields(shifted), decodeFields(given));
      encodeIcReq(view, at, decodeIcReq(given, 0));
      deepStrictEqual(decodeIcReq(view, at), decodeIcReq(given, 0));
      encodeIcResp(view, at, decodeIcResp(given, 0));
      deepStrictEqual(decodeIcResp(view, at), decodeIcResp(given, 0));
    }),
  );
});
