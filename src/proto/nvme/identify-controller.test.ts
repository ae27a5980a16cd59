// Tests of Identify Controller: offsets against the spec's table, and round trips.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  Anacap,
  Cmic,
  ControllerType,
  CQES_16,
  decodeIdentifyController,
  decodeIdentifyNvmController,
  encodeIdentifyController,
  encodeIdentifyNvmController,
  type IdentifyController,
  Oncs,
  Sgls,
  SQES_64,
  Vwc,
} from "./identify-controller.ts";

const CONTROLLER: IdentifyController = {
  sn: "00112233445566778899",
  mn: "Penstock",
  fr: "0.1.0",
  rab: 6,
  cmic: Cmic.multiPort | Cmic.multiController | Cmic.ana,
  mdts: 8,
  cntlid: 0x1234,
  ver: 0x0002_0000,
  rtd3e: 0x0102_0304,
  oaes: 0x8000_0900,
  ctratt: 1,
  cntrltype: ControllerType.io,
  crdt1: 1,
  crdt2: 2,
  crdt3: 3,
  oacs: 0x1122,
  acl: 3,
  aerl: 4,
  frmw: 3,
  lpa: 0x26,
  elpe: 63,
  npss: 5,
  avscc: 1,
  wctemp: 0x157,
  cctemp: 0x158,
  kas: 100,
  anatt: 10,
  anacap: Anacap.optimized | Anacap.inaccessible | Anacap.groupIdFixed,
  anagrpmax: 0x0a0b_0c0d,
  nanagrpid: 0x0100_0000,
  sqes: SQES_64,
  cqes: CQES_16,
  maxcmd: 128,
  nn: 1024,
  oncs: Oncs.compare | Oncs.datasetManagement | Oncs.writeZeroes | Oncs.reservations,
  fuses: 1,
  fna: 4,
  vwc: Vwc.present | Vwc.broadcastFlushes,
  awun: 0xfff0,
  awupf: 0x00ff,
  nvscc: 1,
  nwpc: 2,
  acwu: 7,
  ocfs: 3,
  sgls: Sgls.supported | Sgls.offset | Sgls.transport,
  mnan: 256,
  subnqn: "nqn.2026-11.io.penstock:vol1",
  ioccsz: (64 + 8192) / 16,
  iorcsz: 1,
  icdoff: 0x0908,
  fcatt: 1,
  msdbd: 1,
  ofcs: 1,
};

// spec: Base 2.0 figure 275: first byte and content of each field.
const LAYOUT: readonly (readonly [offset: number, hex: string])[] = [
  [4, "3030313132323333343435353636373738383939"],
  [24, `50656e73746f636b${"20".repeat(32)}`],
  [64, "302e312e30202020"],
  [72, "06"],
  [76, "0b083412"],
  [80, "00000200"],
  [88, "04030201000900800100000000"],
  [111, "01"],
  [128, "010002000300"],
  [256, "22110304032" + "63f0501"],
  [266, "57015801"],
  [320, "6400"],
  [342, "0a450d0c0b0a00000001"],
  [512, "6644800000040000" + "2d000100" + "0407" + "f0ffff00" + "0102" + "0700" + "0300"],
  [536, "0100300000010000"],
  [768, "6e716e2e"],
  [1792, "040200000100000008090101" + "0100"],
];

test("encodeIdentifyController puts every field where the spec has it", () => {
  const bytes = Buffer.from(encodeIdentifyController(CONTROLLER));
  strictEqual(bytes.length, 4096);
  for (const [offset, hex] of LAYOUT) {
    strictEqual(bytes.toString("hex", offset, offset + hex.length / 2), hex, `offset ${offset}`);
  }
  // Nothing between: vendor identifiers, OUI, power states, vendor specific.
  for (const [start, end] of [
    [0, 4],
    [73, 76],
    [100, 111],
    [134, 256],
    [352, 512],
    [796, 1792],
    [1806, 4096],
  ] as const) {
    ok(
      bytes.subarray(start, end).every((byte) => byte === 0),
      `bytes ${start} to ${end}`,
    );
  }
});

test("decodeIdentifyController gives what encodeIdentifyController was given", () => {
  deepStrictEqual(decodeIdentifyController(encodeIdentifyController(CONTROLLER)), CONTROLLER);
});

test("decodeIdentifyController reads any field's full range", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1900, maxLength: 1900 }), (random) => {
      const bytes = new Uint8Array(4096);
      bytes.set(random);
      const controller = decodeIdentifyController(bytes);
      ok(controller !== null);
      const { sn, mn, fr, subnqn, ...numbers } = controller;
      strictEqual(typeof (sn + mn + fr + subnqn), "string");
      const texts = { sn: "", mn: "", fr: "", subnqn: "" };
      const again = decodeIdentifyController(encodeIdentifyController({ ...numbers, ...texts }));
      deepStrictEqual(again, { ...numbers, ...texts });
    }),
    { numRuns: 30 },
  );
});

test("encodeIdentifyNvmController puts the limits where the spec has them", () => {
  const limits = { vsl: 1, wzsl: 2, wusl: 3, dmrl: 4, dmrsl: 0x0102_0304, dmsl: 2 ** 40 };
  const bytes = encodeIdentifyNvmController(limits);
  strictEqual(Buffer.from(bytes).toString("hex", 0, 17), "0102030404030201000000000001000000");
  deepStrictEqual(decodeIdentifyNvmController(bytes), limits);
});

test("decodeIdentifyController says null when bytes are missing", () => {
  strictEqual(decodeIdentifyController(new Uint8Array(4095)), null);
  strictEqual(decodeIdentifyNvmController(new Uint8Array(0)), null);
});
