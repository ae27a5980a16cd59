// Tests of the reservation commands' dwords and data, and of the report.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAcquire,
  decodeRegister,
  decodeRelease,
  decodeReport,
  decodeReservationNotification,
  encodeAcquire,
  encodeRegister,
  encodeRelease,
  encodeReport,
  encodeReservationNotification,
  reportBytesOf,
  wantsExtendedReport,
} from "./reservation-data.ts";
import { Sqe } from "./sqe.ts";

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const key = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const action = fc.nat(7);
const type = fc.nat(255);
const plain = { noNullPrototype: true } as const;

test("encodeRegister, encodeAcquire and encodeRelease write the dwords of the spec", () => {
  const sqe = new Sqe();
  const keys = { ignoreExistingKey: true, currentKey: 0x1122_3344_5566_7788n };
  const data = encodeRegister({ ...keys, action: 2, changePersistence: 3, newKey: 1n }, sqe);
  strictEqual(sqe.cdw10, 0xc000_000a);
  strictEqual(hexOf(data), "8877665544332211" + "0100000000000000");
  encodeAcquire({ ...keys, action: 1, type: 3, preemptKey: 2n }, sqe);
  strictEqual(sqe.cdw10, 0x0000_0309);
  strictEqual(hexOf(encodeRelease({ ...keys, action: 1, type: 6 }, sqe)), "8877665544332211");
  strictEqual(sqe.cdw10, 0x0000_0609);
});

test("decodeRegister, decodeAcquire and decodeRelease give what was encoded", () => {
  const registers = fc.record(
    {
      action,
      ignoreExistingKey: fc.boolean(),
      changePersistence: fc.nat(3),
      currentKey: key,
      newKey: key,
    },
    plain,
  );
  const acquires = fc.record(
    { action, ignoreExistingKey: fc.boolean(), type, currentKey: key, preemptKey: key },
    plain,
  );
  const releases = fc.record(
    { action, ignoreExistingKey: fc.boolean(), type, currentKey: key },
    plain,
  );
  fc.assert(
    fc.property(registers, acquires, releases, (register, acquire, release) => {
      const sqe = new Sqe();
      deepStrictEqual(decodeRegister(sqe, encodeRegister(register, sqe)), register);
      deepStrictEqual(decodeAcquire(sqe, encodeAcquire(acquire, sqe)), acquire);
      deepStrictEqual(decodeRelease(sqe, encodeRelease(release, sqe)), release);
    }),
  );
});

test("decodeRegister, decodeAcquire and decodeRelease say null when bytes are missing", () => {
  const sqe = new Sqe();
  strictEqual(decodeRegister(sqe, new Uint8Array(15)), null);
  strictEqual(decodeAcquire(sqe, new Uint8Array(15)), null);
  strictEqual(decodeRelease(sqe, new Uint8Array(7)), null);
});

const HOST = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

test("encodeReport lays both forms out as the spec does", () => {
  const report = {
    generation: 5,
    type: 3,
    persists: true,
    registrants: [{ cntlid: 0x1234, isHolder: true, hostId: HOST, key: 0xabn }],
  };
  const extended = encodeReport(report, true);
  strictEqual(
    hexOf(extended),
    `0500000003010000${"0001"}${"00".repeat(54)}` +
      `3412010000000000ab00000000000000f81d4fae7dec11d0a76500a0c91e6bf6${"00".repeat(32)}`,
  );
  deepStrictEqual(decodeReport(extended, true), report);
  const short = {
    ...report,
    registrants: [{ cntlid: 1, isHolder: false, hostId: "0123456789abcdef", key: 2n }],
  };
  const bytes = encodeReport(short, false);
  strictEqual(
    hexOf(bytes),
    `05000000030100000001${"00".repeat(14)}01000000000000000123456789abcdef0200000000000000`,
  );
  deepStrictEqual(decodeReport(bytes, false), short);
});

test("decodeReport takes the registrants that are there", () => {
  const one = { cntlid: 1, isHolder: false, hostId: HOST, key: 2n };
  const report = { generation: 1, type: 1, persists: false, registrants: [one, one, one] };
  const bytes = encodeReport(report, true);
  strictEqual(decodeReport(bytes.subarray(0, 64 * 3), true)?.registrants.length, 2);
  strictEqual(decodeReport(bytes.subarray(0, 63), true), null);
});

test("reportBytesOf and wantsExtendedReport read the command", () => {
  const sqe = new Sqe();
  sqe.cdw10 = 1023;
  strictEqual(reportBytesOf(sqe), 4096);
  strictEqual(wantsExtendedReport(sqe), false);
  sqe.cdw10 = 0xffff_ffff;
  sqe.cdw11 = 1;
  strictEqual(reportBytesOf(sqe), 2 ** 34);
  strictEqual(wantsExtendedReport(sqe), true);
});

test("encodeReservationNotification lays its fields out as the spec does", () => {
  const notification = { count: 9, type: 3, available: 2, nsid: 1 };
  const bytes = encodeReservationNotification(notification);
  strictEqual(hexOf(bytes), `0900000000000000030200000100${"00".repeat(50)}`);
  deepStrictEqual(decodeReservationNotification(bytes), notification);
  strictEqual(decodeReservationNotification(bytes.subarray(1)), null);
  const many = encodeReservationNotification({ ...notification, available: 300 });
  strictEqual(decodeReservationNotification(many)?.available, 255);
});
