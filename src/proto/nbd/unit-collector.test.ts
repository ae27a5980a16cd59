// Tests of the unit collector: any pieces give the same unit, and memory follows what arrived.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { UnitCollector } from "./unit-collector.ts";

test("UnitCollector gives the same units when the stream comes in any pieces", () => {
  const units = fc.array(fc.record({ length: fc.nat({ max: 3000 }), skips: fc.boolean() }));
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 700 }), (wanted, pieceBytes) => {
      const collector = new UnitCollector();
      const total = wanted.reduce((sum, unit) => sum + unit.length, 0);
      const stream = Buffer.from(Array.from({ length: total }, (_, index) => index % 251));
      let at = 0;
      for (const { length, skips } of wanted) {
        if (skips) collector.skip(length);
        else collector.collect(length);
        const start = at;
        while (!collector.isComplete) {
          at += collector.take(stream, at, Math.min(at + pieceBytes, stream.length));
        }
        strictEqual(at, start + length, "it takes exactly its unit");
        const kept = skips ? Buffer.alloc(0) : stream.subarray(start, at);
        deepStrictEqual(Buffer.from(collector.bytes), kept);
      }
    }),
  );
});

test("UnitCollector holds at most twice what arrived when a unit is never finished", () => {
  const collector = new UnitCollector();
  collector.collect(64 * 1024);
  for (let arrived = 1; arrived < 500; arrived++) {
    collector.take(new Uint8Array(1), 0, 1);
    ok(collector.bytes.buffer.byteLength <= 2 * arrived);
  }
  strictEqual(collector.isComplete, false);
  collector.release();
  strictEqual(collector.bytes.buffer.byteLength, 0);
});

test("UnitCollector holds nothing when it skips", () => {
  const collector = new UnitCollector();
  collector.skip(10_000);
  strictEqual(collector.take(new Uint8Array(9999), 0, 9999), 9999);
  strictEqual(collector.isComplete, false);
  strictEqual(collector.take(new Uint8Array(5), 2, 5), 1);
  strictEqual(collector.isComplete, true);
  strictEqual(collector.bytes.buffer.byteLength, 0);
});
