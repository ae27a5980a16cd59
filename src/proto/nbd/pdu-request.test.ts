// Tests of the request codec: what is encoded is decoded, sizes are the bytes written, the layout
// is the spec's, and no bytes make the decoder throw.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeRequest,
  encodeRequest,
  RequestHeader,
  requestHeaderBytes,
  setOffset,
} from "./pdu-request.ts";

const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const uint16 = fc.integer({ min: 0, max: 0xffff });
const offset = fc.maxSafeNat();
const anywhere = fc.nat({ max: 67 });

function newView(): DataView {
  return new DataView(new ArrayBuffer(256));
}

function hex(view: DataView, at: number, length: number): string {
  return Buffer.from(view.buffer as ArrayBuffer, at, length).toString("hex");
}

test("decodeRequest gives what encodeRequest wrote when given any fields", () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      anywhere,
      uint16,
      uint16,
      int32,
      int32,
      offset,
      offset,
      (extended, at, flags, command, cookieHigh, cookieLow, offsetBytes, lengthBytes) => {
        const header = new RequestHeader();
        Object.assign(header, { flags, command, cookieHigh, cookieLow });
        header.length = extended ? lengthBytes : lengthBytes % 4_294_967_296;
        setOffset(header, offsetBytes);
        const view = newView();
        strictEqual(encodeRequest(view, at, extended, header), requestHeaderBytes(extended));
        const decoded = new RequestHeader();
        ok(decodeRequest(view, at, extended, decoded));
        deepStrictEqual(decoded, header);
        strictEqual(decodeRequest(view, at, !extended, new RequestHeader()), false);
      },
    ),
  );
});

test("encodeRequest writes the spec's layout", () => {
  const header = new RequestHeader();
  Object.assign(header, { flags: 0x21, command: 1, cookieHigh: 0x01020304, cookieLow: -2 });
  header.length = 0x1000;
  setOffset(header, 0x1f_ffff_ffff_fe00);
  const view = newView();
  encodeRequest(view, 0, false, header);
  strictEqual(hex(view, 0, 28), "256095130021000101020304fffffffe001ffffffffffe0000001000");
  encodeRequest(view, 0, true, header);
  strictEqual(hex(view, 0, 32), "21e41c710021000101020304fffffffe001ffffffffffe000000000000001000");
});

test("decodeRequest flags what a number can't hold and keeps the exact words", () => {
  for (const [offsetHigh, lengthHigh, tooBig] of [
    [0x1f_ffff, 0, false],
    [0x20_0000, 0, true],
    [-1, 0, true],
    [-0x8000_0000, 0, true],
    [0, 0x1f_ffff, false],
    [0, 0x20_0000, true],
    [0, -1, true],
  ] as const) {
    const view = newView();
    encodeRequest(view, 0, true, new RequestHeader());
    view.setInt32(16, offsetHigh);
    view.setInt32(20, -1);
    view.setInt32(24, lengthHigh);
    const header = new RequestHeader();
    ok(decodeRequest(view, 0, true, header));
    strictEqual(header.tooBig, tooBig);
    strictEqual(header.offsetHigh, offsetHigh);
    strictEqual(header.offsetLow, -1);
    ok(header.offset >= 0 && header.length >= 0);
    if (tooBig) ok(Math.max(header.offset, header.length) > Number.MAX_SAFE_INTEGER);
  }
});

test("decodeRequest never throws when given random bytes", () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, fc.boolean(), (random, extended) => {
      decodeRequest(new DataView(random.buffer), 0, extended, new RequestHeader());
    }),
  );
});
