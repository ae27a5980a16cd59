// Tests of the transmission flags and of the checks on our own exports.

import { doesNotThrow, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { TransmissionFlag } from "./constants.ts";
import { checkExport, type ExportDescription, transmissionFlags } from "./export-description.ts";
import { VOL1 } from "./handshake-fixture.ts";

const NOTHING: ExportDescription = {
  ...VOL1,
  canFlush: false,
  canFua: false,
  canTrim: false,
  canZero: false,
  canFastZero: false,
  canCache: false,
  multiConn: false,
};

test("transmissionFlags says exactly what the export can do", () => {
  for (const [facts, structured, flags] of [
    [{}, false, 0],
    [{}, true, TransmissionFlag.sendDf],
    [{ canFlush: true }, false, TransmissionFlag.sendFlush],
    [{ canFua: true }, false, TransmissionFlag.sendFua],
    [{ canTrim: true }, false, TransmissionFlag.sendTrim],
    [{ canZero: true }, false, TransmissionFlag.sendWriteZeroes],
    [{ canCache: true }, false, TransmissionFlag.sendCache],
    [{ multiConn: true }, false, TransmissionFlag.canMultiConn],
    [{ rotational: true }, false, TransmissionFlag.rotational],
    [{ readOnly: true }, false, TransmissionFlag.readOnly],
    // Fast zero means nothing without write-zeroes.
    [{ canFastZero: true }, false, 0],
    [
      { canZero: true, canFastZero: true },
      false,
      TransmissionFlag.sendWriteZeroes | TransmissionFlag.sendFastZero,
    ],
    // A read-only export has no use for what writes.
    [
      { readOnly: true, canFua: true, canTrim: true, canZero: true, canFastZero: true },
      false,
      TransmissionFlag.readOnly,
    ],
  ] as const) {
    const actual = transmissionFlags({ ...NOTHING, ...facts }, structured);
    strictEqual(actual, flags | TransmissionFlag.hasFlags, JSON.stringify(facts));
  }
});

test("checkExport accepts what the spec allows", () => {
  for (const facts of [
    {},
    { name: "n".repeat(4096) },
    { minimumBlockBytes: 1, preferredBlockBytes: 512 },
    { minimumBlockBytes: 65_536, preferredBlockBytes: 65_536 },
    { maximumPayloadBytes: 0xffff_ffff },
    { sizeBytes: 1024, maximumPayloadBytes: 1024 },
    { sizeBytes: 0 },
  ]) {
    doesNotThrow(() => checkExport({ ...VOL1, ...facts }), JSON.stringify(facts));
  }
});

test("checkExport names the rule that an export breaks", () => {
  for (const [facts, message] of [
    [{ name: "ä".repeat(2049) }, /name has at most 4096/],
    [{ name: "a\0b" }, /no NUL/],
    [{ description: "d".repeat(4097) }, /description has at most 4096/],
    [{ sizeBytes: -1 }, /size/],
    [{ sizeBytes: 0.5 }, /size/],
    [{ sizeBytes: 2 ** 53 }, /size/],
    [{ minimumBlockBytes: 0 }, /minimum block size/],
    [{ minimumBlockBytes: 513 }, /minimum block size/],
    [{ minimumBlockBytes: 131_072 }, /minimum block size/],
    [{ minimumBlockBytes: 1, preferredBlockBytes: 256 }, /preferred block size/],
    [{ minimumBlockBytes: 8192 }, /preferred block size/],
    [{ preferredBlockBytes: 4097 }, /preferred block size/],
    [{ maximumPayloadBytes: 0 }, /maximum payload/],
    [{ maximumPayloadBytes: 4097 }, /maximum payload/],
    [{ maximumPayloadBytes: 2 ** 33 }, /maximum payload/],
    [{ maximumPayloadBytes: 512 }, /holds a preferred block/],
  ] as const) {
    throws(() => checkExport({ ...VOL1, ...facts }), { code: "assertion-failed", message });
  }
});
