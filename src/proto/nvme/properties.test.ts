// Tests of the controller properties: the bits of CAP, CC and CSTS, and the property commands.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Capabilities,
  decodeCapabilities,
  decodeConfiguration,
  decodeControllerStatus,
  decodeProperty,
  encodeCapabilities,
  encodeConfiguration,
  encodeControllerStatus,
  encodePropertyGet,
  encodePropertySet,
  PropertyOffset,
  SelectedCommandSet,
} from "./properties.ts";
import { Sqe } from "./sqe.ts";

const CAPABILITIES: Capabilities = {
  queueEntriesMax: 128,
  contiguousQueues: true,
  readyTimeoutMs: 15_000,
  subsystemReset: false,
  nvmCommandSet: true,
  commandSets: false,
  adminOnly: false,
  readyWithMedia: false,
};

test("encodeCapabilities sets the bits of the spec", () => {
  deepStrictEqual(encodeCapabilities(CAPABILITIES), { low: 0x1e01_007f, high: 0x0000_0020 });
  const other = { ...CAPABILITIES, commandSets: true, readyWithMedia: true, adminOnly: true };
  // CSS is bits 37-44 of CAP, CRMS bits 59-60.
  const css = (1n << 37n) | (1n << 43n) | (1n << 44n) | (1n << 59n);
  strictEqual(BigInt(encodeCapabilities(other).high), css >> 32n);
  deepStrictEqual(decodeCapabilities(encodeCapabilities(other)), other);
});

test("decodeConfiguration reads what Linux writes to enable a controller", () => {
  // NVME_CC_ENABLE | IOSQES 6 | IOCQES 4, then with a normal shutdown.
  deepStrictEqual(decodeConfiguration(0x0046_0001), {
    enable: true,
    commandSet: SelectedCommandSet.nvm,
    memoryPageShift: 0,
    arbitration: 0,
    shutdown: 0,
    sqeShift: 6,
    cqeShift: 4,
    readyIndependentOfMedia: false,
  });
  strictEqual(decodeConfiguration(0x0046_4001).shutdown, 1);
  strictEqual(decodeConfiguration(0x0046_0061).commandSet, SelectedCommandSet.all);
});

test("decodeConfiguration and decodeControllerStatus give back what was encoded", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
      const configuration = decodeConfiguration(value);
      strictEqual(encodeConfiguration(configuration), (value & 0x01ff_fff1) >>> 0);
      const status = decodeControllerStatus(value);
      strictEqual(encodeControllerStatus(status), value & 0x1f);
    }),
  );
});

test("encodeControllerStatus sets RDY, CFS, SHST and NSSRO", () => {
  const none = { ready: false, fatal: false, shutdown: 0, subsystemReset: false };
  strictEqual(encodeControllerStatus({ ...none, ready: true }), 1);
  strictEqual(encodeControllerStatus({ ...none, fatal: true }), 2);
  strictEqual(encodeControllerStatus({ ...none, shutdown: 2 }), 8);
  strictEqual(encodeControllerStatus({ ...none, subsystemReset: true }), 16);
});

test("decodeProperty reads Property Get and Property Set", () => {
  const sqe = new Sqe();
  encodePropertyGet(PropertyOffset.capabilities, 8, sqe);
  strictEqual(sqe.opcode, 0x7f);
  strictEqual(sqe.fabricsType, 4);
  deepStrictEqual(decodeProperty(sqe), { sizeBytes: 8, offset: 0, low: 0, high: 0 });
  encodePropertySet(PropertyOffset.configuration, 0x0046_0001, sqe);
  strictEqual(sqe.fabricsType, 0);
  const expected = { sizeBytes: 4, offset: 0x14, low: 0x0046_0001, high: 0 };
  deepStrictEqual(decodeProperty(sqe), expected);
  sqe.cdw10 = 2;
  strictEqual(decodeProperty(sqe).sizeBytes, -1);
});
