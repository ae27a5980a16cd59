// Tests of the completion queue entry.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cqe, decodeCqe, encodeCqe } from "./cqe.ts";
import { DNR, NvmeStatus } from "./status.ts";

test("encodeCqe writes 16 bytes as the spec lays them out", () => {
  const view = new DataView(new ArrayBuffer(16));
  const status = NvmeStatus.connectInvalidParameters | DNR;
  strictEqual(encodeCqe(view, 0, 0x0001_0100, 0xdead_beef, 0x20, 0, 0xabcd, status), 16);
  const expected = "00010100" + "efbeadde" + "20000000" + "cdab" + "0483";
  strictEqual(Buffer.from(view.buffer).toString("hex"), expected);
});

test("decodeCqe gives what encodeCqe wrote when given any fields", () => {
  const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const uint16 = fc.nat(0xffff);
  const anyCqe = fc.record(
    {
      dw0: uint32,
      dw1: uint32,
      sqHead: uint16,
      sqId: uint16,
      cid: uint16,
      status: fc.nat(0x7fff),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyCqe, fc.nat(40), (fields, at) => {
      const view = new DataView(new ArrayBuffer(64));
      const { dw0, dw1, sqHead, sqId, cid, status } = fields;
      encodeCqe(view, at, dw0, dw1, sqHead, sqId, cid, status);
      const cqe = new Cqe();
      decodeCqe(view, at, cqe);
      deepStrictEqual({ ...cqe }, fields);
      strictEqual(view.getUint8(at + 14) & 1, 0, "no phase tag over fabrics");
    }),
  );
});
