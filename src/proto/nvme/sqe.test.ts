// Tests of the submission queue entry: the layout is the spec's, what is encoded is decoded.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IoOpcode, Psdt, SglType } from "./constants.ts";
import { blocksOf, cidOf, decodeSqe, encodeSqe, setSlba, slbaOf, Sqe } from "./sqe.ts";

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });

const anySqe = fc
  .record({
    opcode: fc.nat(255),
    fuse: fc.nat(3),
    psdt: fc.nat(3),
    cid: fc.nat(0xffff),
    nsid: uint32,
    sglOffset: fc.maxSafeNat(),
    sglLength: uint32,
    sglType: fc.nat(255),
    cdw2: uint32,
    cdw3: uint32,
    cdw10: uint32,
    cdw11: uint32,
    cdw12: uint32,
    cdw13: uint32,
    cdw14: uint32,
    cdw15: uint32,
  })
  .map((fields) => Object.assign(new Sqe(), fields));

function hexOf(sqe: Sqe): string {
  const view = new DataView(new ArrayBuffer(64));
  strictEqual(encodeSqe(view, 0, sqe), 64);
  return Buffer.from(view.buffer).toString("hex");
}

test("encodeSqe writes a read of 8 blocks as the spec lays it out", () => {
  const sqe = new Sqe();
  sqe.opcode = IoOpcode.read;
  sqe.psdt = Psdt.sgl;
  sqe.cid = 0x1234;
  sqe.nsid = 1;
  sqe.sglType = SglType.transportDataBlock;
  sqe.sglLength = 4096;
  setSlba(sqe, 0x1_2345_6789);
  sqe.cdw12 = 7;
  const expected =
    "02403412" + // opcode, PSDT 01b, CID
    "01000000" + // NSID
    "0000000000000000" + // CDW2, CDW3
    "0000000000000000" + // MPTR
    "0000000000000000" + // SGL1 address
    "00100000" + // SGL1 length
    "0000005a" + // reserved, SGL1 type
    "89674523" + // SLBA
    "01000000" +
    "07000000" + // NLB, 0-based
    "000000000000000000000000";
  strictEqual(hexOf(sqe), expected);
  strictEqual(slbaOf(sqe), 0x1_2345_6789);
  strictEqual(blocksOf(sqe), 8);
});

test("encodeSqe writes the second command of a fused pair with data in the capsule", () => {
  const sqe = new Sqe();
  sqe.opcode = IoOpcode.write;
  sqe.fuse = 2;
  sqe.psdt = Psdt.sgl;
  sqe.cid = 0xffff;
  sqe.nsid = 0xffff_fffe;
  sqe.sglType = SglType.dataBlockOffset;
  sqe.sglOffset = 0x200;
  sqe.sglLength = 512;
  sqe.cdw12 = 0x4000_0000;
  strictEqual(
    hexOf(sqe),
    `0142fffffeffffff${"00".repeat(16)}0002000000000000000200000000000100000000` +
      `0000000000000040${"00".repeat(12)}`,
  );
});

test("decodeSqe gives what encodeSqe wrote when given any fields", () => {
  fc.assert(
    fc.property(anySqe, fc.nat(67), (sqe, at) => {
      const view = new DataView(new ArrayBuffer(256));
      encodeSqe(view, at, sqe);
      const decoded = new Sqe();
      decodeSqe(view, at, decoded);
      deepStrictEqual(decoded, sqe);
      strictEqual(cidOf(view, at), sqe.cid);
    }),
  );
});

test("decodeSqe takes any 64 bytes and reads no others", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (bytes) => {
      const sqe = new Sqe();
      decodeSqe(new DataView(bytes.buffer, bytes.byteOffset, 64), 0, sqe);
      for (const value of Object.values(sqe)) strictEqual(Number.isInteger(value), true);
      const view = new DataView(new ArrayBuffer(64));
      encodeSqe(view, 0, sqe);
      const again = new Sqe();
      decodeSqe(view, 0, again);
      if (sqe.sglOffset < 2 ** 53) deepStrictEqual(again, sqe);
    }),
  );
});

test("slbaOf says -1 when the block is beyond 2^53 - 1", () => {
  const sqe = new Sqe();
  setSlba(sqe, 2 ** 53 - 1);
  strictEqual(slbaOf(sqe), 2 ** 53 - 1);
  sqe.cdw10 = 0;
  sqe.cdw11 = 0x20_0000;
  strictEqual(slbaOf(sqe), -1);
  sqe.cdw11 = 0xffff_ffff;
  strictEqual(slbaOf(sqe), -1);
});

test("Sqe clear forgets all fields and copyFrom takes all of them", () => {
  fc.assert(
    fc.property(anySqe, (sqe) => {
      const copy = new Sqe();
      copy.copyFrom(sqe);
      deepStrictEqual(copy, sqe);
      copy.clear();
      deepStrictEqual(copy, new Sqe());
    }),
  );
});
