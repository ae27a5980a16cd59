// Tests of the bounded byte sink: layout, growth, and that it never exceeds its capacity.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteSink, utf8 } from "./byte-sink.ts";

test("ByteSink writes fields big-endian", () => {
  const sink = new ByteSink(256);
  sink.uint16(0xfedc);
  sink.uint32(0xffff_fffe);
  sink.uint64(2 ** 53 - 1);
  sink.uint64(0xffff_ffff);
  sink.zeroes(2);
  sink.append(utf8("ä"));
  const expected = "fedcfffffffe" + "001fffffffffffff" + "00000000ffffffff" + "0000" + "c3a4";
  strictEqual(Buffer.from(sink.written).toString("hex"), expected);
  strictEqual(sink.lengthBytes, expected.length / 2);
});

test("ByteSink holds what was appended when it grows and is cleared", () => {
  const appends = fc.array(fc.uint8Array({ maxLength: 900 }), { maxLength: 20 });
  fc.assert(
    fc.property(appends, appends, (first, second) => {
      const sink = new ByteSink(20_000);
      for (const pieces of [first, second]) {
        sink.clear();
        for (const piece of pieces) sink.append(piece);
        deepStrictEqual(Buffer.from(sink.written), Buffer.concat(pieces));
        strictEqual(sink.roomBytes, 20_000 - sink.lengthBytes);
      }
    }),
  );
});

test("ByteSink refuses when a write exceeds its capacity or a field's range", () => {
  const sink = new ByteSink(300);
  sink.zeroes(299);
  throws(() => sink.uint16(1), { code: "assertion-failed" });
  strictEqual(sink.lengthBytes, 299, "a refused write leaves nothing behind");
  sink.zeroes(1);
  strictEqual(sink.roomBytes, 0);
  for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
    throws(() => new ByteSink(256).uint64(value), { code: "assertion-failed" });
  }
});
