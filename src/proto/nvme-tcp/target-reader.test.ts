// What a controller says to each PDU that breaks the protocol: the fatal error and its field.
// spec: NVMe/TCP 1.0 3.6.2.5 "C2HTermReq"

import assert from "node:assert/strict";
import { test } from "node:test";
import { capsule, h2cData, icReq, type PduForm } from "../../testing/nvme-pdus.ts";
import { withRig } from "../../testing/nvme-target-runs.ts";
import { crc32c } from "../../util/crc32c.ts";
import { IoOpcode } from "../nvme/constants.ts";
import { FatalError } from "./common.ts";

const { invalidHeaderField, sequence, headerDigest, dataOutOfRange } = FatalError;
const { unsupportedParameter } = FatalError;

function changed(pdu: Buffer, at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(pdu);
  copy.set(bytes, at);
  return copy;
}

test("the first PDU is a right ICReq, or the connection ends", async () => {
  const cases: [Buffer, number, number][] = [
    [changed(icReq(), 0, 4), sequence, 0],
    [changed(icReq(), 0, 0x77), sequence, 0],
    [changed(icReq(), 2, 127), invalidHeaderField, 2],
    [changed(icReq(), 4, 129), invalidHeaderField, 4],
    [changed(icReq(), 4, 0, 0, 0, 0xff), invalidHeaderField, 4],
    [changed(icReq(), 8, 1), unsupportedParameter, 8],
    [changed(icReq(), 10, 32), invalidHeaderField, 10],
  ];
  for (const [pdu, fatalError, information] of cases) {
    await withRig(async (rig) => {
      await rig.say(pdu);
      await rig.expectTermination(fatalError, information);
    });
  }
});

const READ = { opcode: IoOpcode.read, cid: 1, nsid: 1, transferBytes: 512 };
const WRITE = { opcode: IoOpcode.write, cid: 1, nsid: 1 };

test("a wrong capsule ends the connection", async () => {
  const data = Buffer.alloc(512);
  const plain = capsule(READ);
  const full = capsule({ ...WRITE, data });
  const cases: [Buffer, number, number][] = [
    [changed(plain, 0, 5), invalidHeaderField, 0],
    [changed(plain, 0, 0x0a), invalidHeaderField, 0],
    [changed(plain, 0, 9), invalidHeaderField, 0],
    [icReq(), sequence, 0],
    [changed(plain, 1, 1), invalidHeaderField, 1],
    [changed(plain, 2, 71), invalidHeaderField, 2],
    [changed(plain, 4, 71), invalidHeaderField, 4],
    [changed(full, 1, 2), invalidHeaderField, 1],
    [changed(full, 3, 71), invalidHeaderField, 3],
    [changed(full, 3, 74), invalidHeaderField, 3],
    [changed(full, 4, 76, 0x20), invalidHeaderField, 4],
    [changed(full, 3, 76, 74, 0), invalidHeaderField, 4],
    [changed(plain, 4, 0, 0, 0, 0x80), invalidHeaderField, 4],
    [changed(plain, 4, 0xff, 0xff, 0xff, 0xff), invalidHeaderField, 4],
  ];
  for (const [index, [pdu, fatalError, information]] of cases.entries()) {
    await withRig(async (rig) => {
      await rig.connect();
      await rig.say(pdu);
      try {
        await rig.expectTermination(fatalError, information);
      } catch (error) {
        throw new Error(`case ${index}`, { cause: error });
      }
    });
  }
});

test("with digests, every header has one that matches", async () => {
  const form: PduForm = { headerDigest: true, dataDigest: true };
  const data = Buffer.alloc(512);
  const spoiled = changed(capsule(READ, form), 12, 0xff);
  const cases: [Buffer, number, number][] = [
    [spoiled, headerDigest, spoiled.readUInt32LE(72)],
    [capsule(READ), invalidHeaderField, 1],
    [capsule({ ...WRITE, data }, { headerDigest: true }), invalidHeaderField, 1],
  ];
  for (const [pdu, fatalError, information] of cases) {
    await withRig(async (rig) => {
      await rig.connect({ digests: 3 });
      // The digest is looked at when all of the header is there.
      await rig.say(pdu, Buffer.alloc(8));
      await rig.expectTermination(fatalError, information);
    });
  }
});

test("wrong data ends the connection", async () => {
  const data = Buffer.alloc(512);
  const right = { cid: 1, ttag: 0, offset: 0 };
  const cases: [Buffer, number, number][] = [
    [h2cData({ ...right, ttag: 5 }, data), invalidHeaderField, 10],
    [h2cData({ ...right, cid: 5 }, data), invalidHeaderField, 8],
    [h2cData({ ...right, offset: 4 }, data), dataOutOfRange, 12],
    [h2cData(right, Buffer.alloc(16388)), dataOutOfRange, 16],
    [changed(h2cData(right, data), 2, 25), invalidHeaderField, 2],
    [changed(h2cData(right, data), 16, 1), invalidHeaderField, 4],
    [changed(h2cData(right, data), 3, 20), invalidHeaderField, 3],
    [changed(h2cData(right, data), 4, 24, 0), invalidHeaderField, 4],
    [h2cData(right, data, { headerDigest: true }), invalidHeaderField, 1],
  ];
  for (const [index, [pdu, fatalError, information]] of cases.entries()) {
    await withRig(async (rig) => {
      await rig.connect();
      await rig.say(capsule({ ...WRITE, cdw12: 31, transferBytes: 16384 }));
      assert.equal(rig.take("r2t").fields.ttag, 0);
      await rig.say(pdu.subarray(0, 600));
      try {
        await rig.expectTermination(fatalError, information);
      } catch (error) {
        throw new Error(`case ${index}`, { cause: error });
      }
    });
  }
});

test("H2CTermReq ends the connection without an answer", async () => {
  for (const plen of [24, 152, 23, 153, 0]) {
    await withRig(async (rig) => {
      await rig.connect();
      await rig.say(capsule({ ...WRITE, cdw12: 31, transferBytes: 16384 }));
      rig.take("r2t");
      const pdu = Buffer.alloc(Math.max(plen, 24));
      pdu.set([2, 0, 24, 0, plen, 0, 0, 0, 3]);
      await rig.say(pdu);
      await rig.hangUp();
      assert.deepEqual(rig.incoming, []);
      rig.finish();
    });
  }
});

test("a capsule whose data is larger than the window gets memory of its own", async () => {
  await withRig(async (rig) => {
    Object.assign(rig.model.limits, { inCapsuleBytesMax: 32768 });
    await rig.connect({ digests: 3 });
    const data = Buffer.alloc(32768, "capsule");
    await rig.say(capsule({ ...WRITE, cdw12: 63, data }, rig.form));
    assert.equal(rig.takeStatus(1), 0);
    await rig.say(capsule({ ...READ, cdw12: 63, transferBytes: 32768 }, rig.form));
    assert.deepEqual(rig.take("data").data, data);
    assert.equal(crc32c(data, 0, 4), crc32c(Buffer.from("caps"), 0, 4));
    await rig.hangUp();
    rig.finish();
  });
});
