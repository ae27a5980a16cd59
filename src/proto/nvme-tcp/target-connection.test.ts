// A host's connection to a controller, PDU by PDU, in front of a scripted model.
// spec: NVMe/TCP 1.0 3.1 to 3.6

import assert from "node:assert/strict";
import { test } from "node:test";
import { capsule, connectCapsule, h2cData, icReq } from "../../testing/nvme-pdus.ts";
import { RIG_NQN } from "../../testing/nvme-target-rig.ts";
import {
  readBlocks,
  RIG_SIZE_BYTES as SIZE_BYTES,
  withFileRig,
  withRig,
} from "../../testing/nvme-target-runs.ts";
import { AdminOpcode, IoFlag, IoOpcode } from "../nvme/constants.ts";
import { codeOf, DNR, NvmeStatus } from "../nvme/status.ts";
import { PduFlag } from "./common.ts";

const MIB = 1024 * 1024;
const { read, write, compare, flush, datasetManagement, writeZeroes, verify } = IoOpcode;

test("TargetConnection reads, writes and flushes when a host has connected", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    const data = Buffer.alloc(4096, "penstock");
    await rig.say(capsule({ opcode: write, cid: 5, nsid: 1, cdw10: 8, cdw12: 7, data }));
    const { cqe } = rig.take("response");
    assert.deepEqual({ ...cqe }, { dw0: 0, dw1: 0, sqHead: 2, sqId: 0, cid: 5, status: 0 });
    assert.deepEqual(await readBlocks(rig, 8, 8), data);
    await rig.say(capsule({ opcode: flush, cid: 6, nsid: 1, transferBytes: 0 }));
    assert.equal(rig.takeStatus(6), 0);
    await rig.hangUp();
    rig.finish();
    const { counters } = rig.model;
    assert.deepEqual([counters.reads, counters.writes, counters.others], [1, 1, 1]);
    assert.equal(counters.readBytes, 4096);
  });
});

test("TargetConnection omits a read's completion when there is no flow control", async () => {
  await withRig(async (rig) => {
    rig.model.hasSqFlowControl = false;
    await rig.connect();
    await rig.say(capsule({ opcode: read, cid: 3, nsid: 1, cdw12: 0, transferBytes: 512 }));
    assert.equal(rig.take("data").flags, PduFlag.last | PduFlag.success);
    assert.deepEqual(rig.incoming, []);
    await rig.say(capsule({ opcode: flush, cid: 6, nsid: 1, transferBytes: 0 }));
    assert.equal(rig.take("response").cqe.sqHead, 0xffff);
    await rig.hangUp();
    rig.finish();
  });
});

test("SQHD counts commands modulo the queue's entries", async () => {
  await withRig(async (rig) => {
    rig.model.entries = 4;
    await rig.connect();
    const heads: number[] = [];
    for (let cid = 0; cid < 9; cid++) {
      await rig.say(capsule({ opcode: flush, cid, nsid: 1, transferBytes: 0 }));
      heads.push(rig.take("response").cqe.sqHead);
    }
    assert.deepEqual(heads, [2, 3, 0, 1, 2, 3, 0, 1, 2]);
    await rig.hangUp();
    rig.finish();
  });
});

test("data that is not in the capsule is asked for, PDU by PDU", async () => {
  for (const digests of [0, 1, 2, 3]) {
    await withRig(async (rig) => {
      await rig.connect({ digests, alignment: 7 });
      const data = Buffer.alloc(128 * 1024, "0123456789abcde");
      const { form } = rig;
      const command = { opcode: write, cid: 7, nsid: 1, cdw10: 16, cdw12: 255 };
      await rig.say(capsule({ ...command, transferBytes: data.length }, form));
      const { fields } = rig.take("r2t");
      assert.deepEqual({ ...fields, ttag: 0 }, { cid: 7, ttag: 0, offset: 0, lengthBytes: 131072 });
      const half = 50_000;
      const first = { cid: 7, ttag: fields.ttag, offset: 0 };
      await rig.say(h2cData(first, data.subarray(0, half), { ...form, flags: 0 }));
      assert.deepEqual(rig.incoming, []);
      await rig.say(h2cData({ ...first, offset: half }, data.subarray(half), form));
      assert.equal(rig.takeStatus(7), 0);
      await rig.say(
        capsule(
          { opcode: read, cid: 8, nsid: 1, cdw10: 16, cdw12: 255, transferBytes: 131072 },
          form,
        ),
      );
      assert.deepEqual(rig.take("data").data, data);
      assert.equal(rig.takeStatus(8), 0);
      await rig.hangUp();
      rig.finish();
    });
  }
});

test("PDUs of several commands come mixed, torn anywhere", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    const pdus: Buffer[] = [];
    for (let cid = 0; cid < 4; cid++) {
      const command = { opcode: write, cid, nsid: 1, cdw10: cid * 100, cdw12: 31 };
      pdus.push(capsule({ ...command, transferBytes: 16384 }));
    }
    await rig.say(...pdus);
    const tags = [0, 1, 2, 3].map(() => rig.take("r2t").fields.ttag);
    const stream = Buffer.concat(
      [2, 0, 3, 1].map((cid) =>
        h2cData({ cid, ttag: tags[cid] ?? -1, offset: 0 }, Buffer.alloc(16384, cid + 1)),
      ),
    );
    for (let at = 0; at < stream.length; at += 1009) await rig.say(stream.subarray(at, at + 1009));
    for (const cid of [2, 0, 3, 1]) assert.equal(rig.takeStatus(cid), 0);
    for (const cid of [0, 1, 2, 3]) {
      assert.deepEqual(await readBlocks(rig, cid * 100, 32), Buffer.alloc(16384, cid + 1));
    }
    await rig.hangUp();
    rig.finish();
  });
});

test("large transfers go on in parts when memory is short, without a deadlock", async () => {
  await withFileRig(
    async (rig) => {
      await rig.connect();
      const data = Buffer.alloc(MIB);
      for (let at = 0; at < MIB; at += 4) data.writeUInt32LE(at, at);
      const commands = [0, 1, 2].map((cid) =>
        capsule({
          opcode: write,
          cid,
          nsid: 1,
          cdw10: cid * 2048,
          cdw12: 2047,
          transferBytes: MIB,
        }),
      );
      await rig.say(...commands);
      const done = new Set<number>();
      let asked = 0;
      for (let round = 0; round < 3000 && done.size < 3; round++) {
        await rig.settle(2);
        const next = rig.incoming.shift();
        if (next?.kind === "r2t") {
          const { cid, ttag, offset, lengthBytes } = next.fields;
          asked++;
          await rig.say(
            h2cData({ cid, ttag, offset }, data.subarray(offset, offset + lengthBytes)),
          );
        } else if (next?.kind === "response") {
          assert.equal(next.cqe.status, 0);
          done.add(next.cqe.cid);
        }
      }
      assert.equal(done.size, 3, `${asked} parts`);
      assert.ok(asked > 3, "in parts");
      for (let cid = 0; cid < 3; cid++) {
        assert.deepEqual(await readBlocks(rig, cid * 2048, 2048), data);
      }
      await rig.hangUp();
      rig.finish();
    },
    { bufferLimitBytes: 3 * MIB },
  );
});

test("I/O commands are refused with the status that says why", async () => {
  await withRig(async (rig) => {
    rig.model.errors.length = 0;
    await rig.connect();
    const blocks = SIZE_BYTES / 512;
    const last = { nsid: 1, cdw10: blocks - 1, cdw12: 1, transferBytes: 1024 };
    const cases: [Parameters<typeof capsule>[0], number][] = [
      [{ opcode: read, cid: 1, nsid: 2, transferBytes: 512 }, NvmeStatus.invalidNamespaceOrFormat],
      [{ opcode: read, cid: 2, ...last }, NvmeStatus.lbaOutOfRange],
      [{ opcode: write, cid: 3, ...last }, NvmeStatus.lbaOutOfRange],
      [{ opcode: writeZeroes, cid: 3, ...last }, NvmeStatus.lbaOutOfRange],
      [
        { opcode: read, cid: 4, nsid: 1, cdw11: 0xffffffff, transferBytes: 512 },
        NvmeStatus.lbaOutOfRange,
      ],
      [
        { opcode: read, cid: 5, nsid: 1, cdw12: 7, transferBytes: 512 },
        NvmeStatus.dataSglLengthInvalid,
      ],
      [
        { opcode: read, cid: 6, nsid: 1, transferBytes: 512, sglType: 1 },
        NvmeStatus.sglDescriptorTypeInvalid,
      ],
      [
        { opcode: write, cid: 7, nsid: 1, transferBytes: 512, sglType: 0 },
        NvmeStatus.sglDescriptorTypeInvalid,
      ],
      [{ opcode: read, cid: 8, nsid: 1, transferBytes: 512, psdt: 0 }, NvmeStatus.invalidField],
      [
        { opcode: write, cid: 9, nsid: 1, data: Buffer.alloc(512), sglOffset: 513 },
        NvmeStatus.sglOffsetInvalid,
      ],
      [
        { opcode: write, cid: 10, nsid: 1, data: Buffer.alloc(512), sglOffset: 4 },
        NvmeStatus.dataSglLengthInvalid,
      ],
      [
        { opcode: read, cid: 11, nsid: 1, cdw12: 4095, transferBytes: 2 * MIB },
        NvmeStatus.invalidField,
      ],
      [
        { opcode: datasetManagement, cid: 12, nsid: 1, cdw10: 1, cdw11: 4, transferBytes: 16 },
        NvmeStatus.dataSglLengthInvalid,
      ],
    ];
    for (const [parts, expected] of cases) {
      await rig.say(capsule(parts));
      const status = rig.takeStatus(parts.cid);
      assert.equal(codeOf(status), expected, `cid ${parts.cid}`);
      assert.ok((status & DNR) !== 0);
    }
    assert.equal(rig.model.errors.length, cases.length);
    await rig.hangUp();
    rig.finish();
  });
});

test("I/O commands are refused by the state of controller and namespace", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    rig.model.isReady = false;
    await rig.say(capsule({ opcode: flush, cid: 1, nsid: 1 }));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.commandSequenceError);
    rig.model.isReady = true;
    rig.model.pathStatus = NvmeStatus.anaInaccessible;
    await rig.say(capsule({ opcode: flush, cid: 1, nsid: 1 }));
    assert.equal(rig.takeStatus(1), NvmeStatus.anaInaccessible);
    rig.model.pathStatus = 0;
    rig.model.readOnly = true;
    await rig.say(capsule({ opcode: write, cid: 1, nsid: 1, data: Buffer.alloc(512) }));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.namespaceWriteProtected);
    rig.model.isReserved = true;
    rig.model.refused = [1];
    await rig.say(capsule({ opcode: write, cid: 1, nsid: 1, data: Buffer.alloc(512) }));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.reservationConflict);
    assert.equal((await readBlocks(rig, 0, 1)).length, 512);
    await rig.hangUp();
    rig.finish();
  });
});

test("compare, verify, write zeroes and dataset management do what they say", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    const data = Buffer.alloc(4096, 0xab);
    const range = { nsid: 1, cdw10: 8, cdw12: 7 };
    await rig.say(capsule({ opcode: write, cid: 1, ...range, data }));
    assert.equal(rig.takeStatus(1), 0);
    await rig.say(capsule({ opcode: compare, cid: 2, ...range, data }));
    assert.equal(rig.takeStatus(2), 0);
    await rig.say(capsule({ opcode: compare, cid: 3, ...range, data: Buffer.alloc(4096) }));
    assert.equal(codeOf(rig.takeStatus(3)), NvmeStatus.compareFailure);
    await rig.say(capsule({ opcode: verify, cid: 4, ...range }));
    assert.equal(rig.takeStatus(4), 0);
    const cdw12 = 3 + IoFlag.deallocate;
    await rig.say(capsule({ opcode: writeZeroes, cid: 5, nsid: 1, cdw10: 8, cdw12 }));
    assert.equal(rig.takeStatus(5), 0);
    assert.deepEqual(await readBlocks(rig, 8, 4), Buffer.alloc(2048));
    const ranges = Buffer.alloc(48);
    for (const [index, [slba, blocks]] of [
      [12, 1],
      [14, 0],
      [15, 1],
    ].entries()) {
      ranges.writeUInt32LE(blocks ?? 0, index * 16 + 4);
      ranges.writeUInt32LE(slba ?? 0, index * 16 + 8);
    }
    const deallocate = { opcode: datasetManagement, nsid: 1, cdw10: 2 };
    await rig.say(capsule({ ...deallocate, cid: 6, cdw11: 1, data: ranges }));
    assert.equal(rig.takeStatus(6), 0);
    assert.deepEqual(await readBlocks(rig, 12, 1), data.subarray(0, 512));
    await rig.say(capsule({ ...deallocate, cid: 7, cdw11: 4, data: ranges }));
    assert.equal(rig.takeStatus(7), 0);
    assert.deepEqual(
      await readBlocks(rig, 12, 4),
      Buffer.concat([Buffer.alloc(512), data.subarray(0, 1024), Buffer.alloc(512)]),
    );
    // The last range is out of bounds: nothing is done.
    ranges.writeUInt32LE(13, 8);
    ranges.writeUInt32LE(SIZE_BYTES / 512, 40);
    await rig.say(capsule({ ...deallocate, cid: 8, cdw11: 4, transferBytes: 48 }));
    const { ttag } = rig.take("r2t").fields;
    await rig.say(h2cData({ cid: 8, ttag, offset: 0 }, ranges));
    assert.equal(codeOf(rig.takeStatus(8)), NvmeStatus.lbaOutOfRange);
    assert.deepEqual(await readBlocks(rig, 13, 1), data.subarray(0, 512));
    await rig.hangUp();
    rig.finish();
  });
});

test("compare and write are one when they are fused", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    const [zeroes, ones] = [Buffer.alloc(1024), Buffer.alloc(1024, 1)];
    const range = { nsid: 1, cdw10: 4, cdw12: 1 };
    const first = { opcode: compare, fuse: 1, ...range };
    const second = { opcode: write, fuse: 2, ...range };
    await rig.say(capsule({ ...first, cid: 1, data: zeroes }));
    assert.deepEqual(rig.incoming, []);
    await rig.say(capsule({ ...second, cid: 2, data: ones }));
    assert.deepEqual([rig.takeStatus(1), rig.takeStatus(2)], [0, 0]);
    assert.deepEqual(await readBlocks(rig, 4, 2), ones);
    // Another time the first finds something else.
    await rig.say(
      capsule({ ...first, cid: 3, transferBytes: 1024 }),
      capsule({ ...second, cid: 4, transferBytes: 1024 }),
    );
    await rig.say(h2cData({ cid: 3, ttag: rig.take("r2t").fields.ttag, offset: 0 }, zeroes));
    await rig.say(h2cData({ cid: 4, ttag: rig.take("r2t").fields.ttag, offset: 0 }, zeroes));
    assert.equal(codeOf(rig.takeStatus(3)), NvmeStatus.compareFailure);
    assert.equal(codeOf(rig.takeStatus(4)), NvmeStatus.abortedFailedFused);
    assert.deepEqual(await readBlocks(rig, 4, 2), ones);
    // One in the capsule, one not.
    await rig.say(
      capsule({ ...first, cid: 5, transferBytes: 1024 }),
      capsule({ ...second, cid: 6, data: zeroes }),
    );
    await rig.say(h2cData({ cid: 5, ttag: rig.take("r2t").fields.ttag, offset: 0 }, ones));
    assert.deepEqual([rig.takeStatus(5), rig.takeStatus(6)], [0, 0]);
    assert.deepEqual(await readBlocks(rig, 4, 2), zeroes);
    // Half a pair.
    await rig.say(capsule({ ...first, cid: 7, data: zeroes }));
    await rig.say(capsule({ opcode: flush, cid: 8, nsid: 1 }));
    assert.equal(codeOf(rig.takeStatus(7)), NvmeStatus.abortedMissingFused);
    assert.equal(rig.takeStatus(8), 0);
    await rig.say(capsule({ ...second, cid: 9, data: zeroes }));
    assert.equal(codeOf(rig.takeStatus(9)), NvmeStatus.abortedMissingFused);
    await rig.say(capsule({ ...first, cid: 10, data: zeroes }));
    await rig.say(capsule({ ...second, cid: 11, cdw10: 5, data: zeroes }));
    assert.equal(codeOf(rig.takeStatus(10)), NvmeStatus.abortedFailedFused);
    assert.equal(codeOf(rig.takeStatus(11)), NvmeStatus.invalidField);
    await rig.say(capsule({ ...first, cid: 12, data: zeroes }));
    await rig.hangUp();
    rig.finish();
  });
});

test("data that does not match its digest fails its command, not the connection", async () => {
  await withRig(async (rig) => {
    await rig.connect({ digests: 2 });
    const { form } = rig;
    const data = Buffer.alloc(512, 7);
    const inCapsule = capsule({ opcode: write, cid: 1, nsid: 1, data }, form);
    inCapsule[100] = 8;
    await rig.say(inCapsule);
    assert.equal(rig.takeStatus(1), NvmeStatus.transientTransportError);
    await rig.say(capsule({ opcode: write, cid: 2, nsid: 1, transferBytes: 512 }, form));
    const { ttag } = rig.take("r2t").fields;
    const spoiled = h2cData({ cid: 2, ttag, offset: 0 }, data, form);
    spoiled[100] = 8;
    await rig.say(spoiled);
    assert.equal(rig.takeStatus(2), NvmeStatus.transientTransportError);
    assert.deepEqual(await readBlocks(rig, 0, 1), Buffer.alloc(512));
    await rig.hangUp();
    rig.finish();
  });
});

test("the model answers admin commands, with data in either direction", async () => {
  await withFileRig(
    async (rig) => {
      rig.model.qid = 0;
      await rig.connect();
      await rig.say(capsule({ opcode: AdminOpcode.identify, cid: 1, transferBytes: 4096 }));
      await rig.say(capsule({ opcode: AdminOpcode.asyncEventRequest, cid: 2 }));
      await rig.say(capsule({ opcode: AdminOpcode.setFeatures, cid: 3, transferBytes: 6000 }));
      const { ttag } = rig.take("r2t").fields;
      const data = Buffer.alloc(6000, "features");
      await rig.say(h2cData({ cid: 3, ttag, offset: 0 }, data));
      const [identify, event, features] = rig.model.slow;
      assert.equal(rig.model.slow.length, 3);
      assert.equal(identify?.replyBytesMax, 4096);
      assert.deepEqual(Buffer.from(features?.data ?? []), data);
      identify?.complete(0, 0, Buffer.alloc(4096, 9));
      features?.complete(NvmeStatus.featureNotChangeable | DNR, 77, undefined, 78);
      await rig.settle();
      const answer = rig.take("data");
      assert.equal(answer.flags, PduFlag.last);
      assert.deepEqual(answer.data, Buffer.alloc(4096, 9));
      assert.equal(rig.takeStatus(1), 0);
      const { cqe } = rig.take("response");
      assert.deepEqual([cqe.cid, cqe.dw0, cqe.dw1], [3, 77, 78]);
      // A log page larger than what memory allows goes in parts.
      await rig.say(capsule({ opcode: AdminOpcode.getLogPage, cid: 4, transferBytes: MIB }));
      const page = Buffer.alloc(MIB);
      for (let at = 0; at < MIB; at += 4) page.writeUInt32LE(at, at);
      rig.model.slow[3]?.complete(0, 0, page);
      await rig.settle(100);
      const parts: Buffer[] = [];
      while (rig.incoming[0]?.kind === "data") parts.push(rig.take("data").data);
      assert.deepEqual(Buffer.concat(parts), page);
      assert.equal(rig.takeStatus(4), 0);
      // The event request is still out when the connection ends, and completed behind that.
      await rig.hangUp();
      rig.finish();
      event?.complete(0);
    },
    { bufferLimitBytes: 3 * MIB },
  );
});

test("before Connect only Connect is done", async () => {
  await withRig(async (rig) => {
    await rig.say(icReq());
    rig.take("ic");
    await rig.say(capsule({ opcode: AdminOpcode.identify, cid: 1, transferBytes: 4096 }));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.commandSequenceError);
    await rig.say(connectCapsule({ cid: 2, qid: 0, subsystemNqn: "nqn.2026-11.x:none" }));
    const { cqe } = rig.take("response");
    assert.equal(codeOf(cqe.status), NvmeStatus.connectInvalidParameters);
    assert.equal(cqe.dw0, 0x10100);
    await rig.say(connectCapsule({ cid: 3, qid: 1, subsystemNqn: RIG_NQN }));
    assert.equal(rig.takeStatus(3), 0);
    await rig.say(connectCapsule({ cid: 4, qid: 1, subsystemNqn: RIG_NQN }));
    assert.equal(codeOf(rig.takeStatus(4)), NvmeStatus.commandSequenceError);
    await rig.hangUp();
    rig.finish();
  });
});
