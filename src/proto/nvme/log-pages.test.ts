// Tests of the log pages: layouts of the spec, and round trips of those that an initiator reads.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AnaState } from "./constants.ts";
import { decodeNamespaceList } from "./identify-lists.ts";
import { type AnaLog, decodeAnaLog, encodeAnaLog } from "./log-ana.ts";
import {
  type DiscoveryEntry,
  decodeDiscoveryEntry,
  decodeDiscoveryHeader,
  encodeDiscoveryLog,
  TCP_ENTRY,
} from "./log-discovery.ts";
import { decodeErrorLog, encodeErrorLog, type ErrorEntry } from "./log-error.ts";
import {
  encodeChangedNamespaces,
  encodeCommandEffects,
  encodeFeatureEffects,
  encodeFirmwareSlot,
  encodeSupportedLogPages,
} from "./log-pages.ts";
import { dataUnitsOf, decodeSmartLog, encodeSmartLog, type SmartLog } from "./log-smart.ts";
import { DNR, NvmeStatus } from "./status.ts";

const hexOf = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes).toString("hex", start, end);

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const plain = { noNullPrototype: true } as const;

test("encodeSupportedLogPages sets bit 0 of each page's dword", () => {
  const bytes = encodeSupportedLogPages([0, 2, 0x80]);
  strictEqual(bytes.length, 1024);
  strictEqual(hexOf(bytes, 0, 12), "010000000000000001000000");
  strictEqual(bytes[512], 1);
});

test("encodeFirmwareSlot has one active slot", () => {
  const bytes = encodeFirmwareSlot("0.1.0");
  strictEqual(bytes.length, 512);
  strictEqual(hexOf(bytes, 0, 17), "0100000000000000302e312e3020202000");
});

test("encodeChangedNamespaces says 'any' when there are too many", () => {
  deepStrictEqual(decodeNamespaceList(encodeChangedNamespaces([1, 5])), [1, 5]);
  const many = Array.from({ length: 1025 }, (_, index) => index + 1);
  deepStrictEqual(decodeNamespaceList(encodeChangedNamespaces(many)), [0xffff_ffff]);
  strictEqual(decodeNamespaceList(encodeChangedNamespaces(many.slice(1))).length, 1024);
});

test("encodeCommandEffects puts admin commands first, I/O commands behind 1,024 bytes", () => {
  const bytes = encodeCommandEffects(new Map([[6, 1]]), new Map([[1, 3]]));
  strictEqual(bytes.length, 4096);
  strictEqual(hexOf(bytes, 24, 28), "01000000");
  strictEqual(hexOf(bytes, 1028, 1032), "03000000");
  const features = encodeFeatureEffects(new Map([[0x0f, 0x20_0001]]));
  strictEqual(features.length, 1024);
  strictEqual(hexOf(features, 60, 64), "01002000");
});

const ERROR: ErrorEntry = {
  errorCount: 7,
  sqId: 2,
  cid: 0x1234,
  status: NvmeStatus.lbaOutOfRange | DNR,
  parameterLocation: 0xffff,
  lba: 2 ** 40,
  nsid: 1,
  transportType: 3,
};

test("encodeErrorLog lays entries out as the spec does", () => {
  const bytes = encodeErrorLog([ERROR], 4);
  strictEqual(bytes.length, 256);
  strictEqual(
    hexOf(bytes, 0, 32),
    "0700000000000000" +
      "0200" +
      "3412" +
      "0081" +
      "ffff" +
      "0000000000010000" +
      "01000000" +
      "00" +
      "03" +
      "0000",
  );
  deepStrictEqual(decodeErrorLog(bytes), [ERROR]);
  strictEqual(decodeErrorLog(encodeErrorLog([ERROR, ERROR, ERROR], 2)).length, 2);
  strictEqual(decodeErrorLog(bytes.subarray(0, 63)).length, 0);
});

const SMART: SmartLog = {
  criticalWarning: 8,
  temperature: 0x0137,
  availableSpare: 100,
  availableSpareThreshold: 10,
  percentageUsed: 1,
  dataUnitsRead: 2 ** 33,
  dataUnitsWritten: 3,
  hostReadCommands: 4,
  hostWriteCommands: 5,
  controllerBusyTime: 6,
  powerCycles: 7,
  powerOnHours: 8,
  unsafeShutdowns: 9,
  mediaErrors: 10,
  errorLogEntries: 11,
};

test("encodeSmartLog lays its fields out as the spec does", () => {
  const bytes = encodeSmartLog(SMART);
  strictEqual(bytes.length, 512);
  strictEqual(hexOf(bytes, 0, 6), "083701640a01");
  strictEqual(hexOf(bytes, 32, 48), "00000000020000000000000000000000");
  for (let index = 1; index < 10; index++) strictEqual(bytes[32 + 16 * index], index + 2);
  deepStrictEqual(decodeSmartLog(bytes), SMART);
  strictEqual(decodeSmartLog(bytes.subarray(1)), null);
  deepStrictEqual([0, 1, 512_000, 512_001].map(dataUnitsOf), [0, 1, 1, 2]);
});

test("encodeAnaLog lays groups out as the spec does", () => {
  const log: AnaLog = {
    changeCount: 0x0102,
    groups: [
      { id: 1, changeCount: 5, state: AnaState.optimized, nsids: [1, 3] },
      { id: 2, changeCount: 0x0102, state: AnaState.change, nsids: [] },
    ],
  };
  const bytes = encodeAnaLog(log, false);
  strictEqual(
    hexOf(bytes, 0, bytes.length),
    "02010000000000000200000000000000" +
      "01000000020000000500000000000000" +
      "01000000000000000000000000000000" +
      "0100000003000000" +
      "02000000000000000201000000000000" +
      "0f000000000000000000000000000000",
  );
  deepStrictEqual(decodeAnaLog(bytes), log);
  const groupsOnly = encodeAnaLog(log, true);
  strictEqual(groupsOnly.length, 80);
  deepStrictEqual(decodeAnaLog(groupsOnly)?.groups[0]?.nsids, []);
});

test("decodeAnaLog gives what encodeAnaLog was given, and null when it is cut", () => {
  const group = fc.record(
    {
      id: uint32,
      changeCount: fc.maxSafeNat(),
      state: fc.nat(15),
      nsids: fc.array(uint32, { maxLength: 8 }),
    },
    plain,
  );
  const anyLog = fc.record(
    { changeCount: fc.maxSafeNat(), groups: fc.array(group, { maxLength: 6 }) },
    plain,
  );
  fc.assert(
    fc.property(anyLog, fc.nat(400), (log, cut) => {
      const bytes = encodeAnaLog(log, false);
      deepStrictEqual(decodeAnaLog(bytes), log);
      if (cut < bytes.length) strictEqual(decodeAnaLog(bytes.subarray(0, cut)), null);
    }),
  );
});

const ENTRY: DiscoveryEntry = {
  ...TCP_ENTRY,
  addressFamily: 1,
  subsystemType: 2,
  requirement: 4,
  portId: 0x0102,
  serviceId: "4420",
  subsystemNqn: "nqn.2026-11.io.penstock:vol1",
  address: "192.0.2.1",
};

test("encodeDiscoveryLog lays header and entries out as the spec does", () => {
  const bytes = encodeDiscoveryLog({ generation: 9, entries: [ENTRY] });
  strictEqual(bytes.length, 2048);
  strictEqual(hexOf(bytes, 0, 18), "090000000000000001000000000000000000");
  strictEqual(hexOf(bytes, 1024, 1036), "030102040201ffff20000000");
  strictEqual(Buffer.from(bytes).toString("latin1", 1056, 1088), "4420".padEnd(32));
  strictEqual(Buffer.from(bytes).toString("latin1", 1280, 1310), `${ENTRY.subsystemNqn}\0\0`);
  strictEqual(Buffer.from(bytes).toString("latin1", 1536, 1792), "192.0.2.1".padEnd(256));
  strictEqual(bytes[1792], 0);
  const header = { generation: 9, records: 1, recordFormat: 0 };
  deepStrictEqual(decodeDiscoveryHeader(bytes), header);
});

test("decodeDiscoveryEntry gives what encodeDiscoveryLog was given", () => {
  const text = (maxLength: number) => fc.stringMatching(/^[!-~]*$/, { maxLength });
  const anyEntry: fc.Arbitrary<DiscoveryEntry> = fc.record(
    {
      transportType: fc.nat(255),
      addressFamily: fc.nat(255),
      subsystemType: fc.nat(255),
      requirement: fc.nat(255),
      portId: fc.nat(0xffff),
      cntlid: fc.nat(0xffff),
      adminQueueEntriesMax: fc.nat(0xffff),
      flags: fc.nat(0xffff),
      serviceId: text(32),
      subsystemNqn: text(223),
      address: text(256),
      securityType: fc.nat(255),
    },
    plain,
  );
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 3 }), (entries) => {
      const bytes = encodeDiscoveryLog({ generation: 1, entries });
      const decoded = entries.map((_, index) => decodeDiscoveryEntry(bytes, 1024 * (1 + index)));
      deepStrictEqual(decoded, entries);
      strictEqual(decodeDiscoveryEntry(bytes, 1024 * (1 + entries.length)), null);
    }),
    { numRuns: 50 },
  );
  strictEqual(decodeDiscoveryEntry(new Uint8Array(2048), -1), null);
  strictEqual(decodeDiscoveryHeader(new Uint8Array(17)), null);
});
