// The life of a host's connection beside its commands: handed on, stuck, drained, settled, with
// every receive and send ending when the test says so.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { capsule, connectCapsule, h2cData, icReq } from "../../testing/nvme-pdus.ts";
import { RIG_NQN } from "../../testing/nvme-target-rig.ts";
import { readBlocks, withFileRig, withRig } from "../../testing/nvme-target-runs.ts";
import { IoOpcode } from "../nvme/constants.ts";
import { codeOf, NvmeStatus } from "../nvme/status.ts";

const MIB = 1024 * 1024;
const { read, write, flush } = IoOpcode;

test("a Connect to a subsystem of another reactor is handed on with what follows it", async () => {
  await withRig(async (rig) => {
    await rig.say(icReq({ digests: 1 }));
    rig.take("ic");
    const form = { headerDigest: true };
    const nqn = `${RIG_NQN}-elsewhere`;
    const connect = connectCapsule({ qid: 1, subsystemNqn: nqn, form });
    await rig.say(connect);
    await rig.settle();
    assert.equal(rig.handedTo, 7);
    assert.deepEqual(Buffer.from(rig.unread), connect);
    assert.ok(rig.stream.isReleased && !rig.stream.isClosed);
    assert.deepEqual(rig.connection.session, {
      isInitialized: true,
      headerDigest: true,
      dataDigest: false,
      alignmentBytes: 4,
    });
    assert.equal(rig.heldBytes, 0);
  });
});

test("a host that does not connect in time is gone", async () => {
  await withRig(async (rig) => {
    await rig.say(icReq());
    await rig.settle(1100);
    rig.stream.endReceive(-104);
    await rig.settle();
    rig.finish();
    assert.match(rig.reason, /no queue has been connected within 1000 ms/);
  });
});

test("a host that sends no data is stuck, and holds nothing when it has been ended", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    await rig.say(capsule({ opcode: write, cid: 1, nsid: 1, cdw12: 255, transferBytes: 131072 }));
    rig.take("r2t");
    const { clock } = rig.reactor;
    await rig.settle(500);
    await rig.say(capsule({ opcode: flush, cid: 2, nsid: 1 }));
    assert.equal(rig.takeStatus(2), 0);
    assert.ok(rig.connection.stuckMs(clock.nowMs()) >= 500, "other commands change nothing");
    await rig.say(capsule({ opcode: write, cid: 3, nsid: 1, cdw12: 31, transferBytes: 16384 }));
    const { ttag } = rig.take("r2t").fields;
    await rig.say(h2cData({ cid: 3, ttag, offset: 0 }, Buffer.alloc(16384)));
    assert.equal(rig.takeStatus(3), 0);
    const stuckMs = rig.connection.stuckMs(clock.nowMs());
    assert.ok(stuckMs >= 50 && stuckMs < 200, "data of another command excuses it for a while");
    assert.ok(rig.heldBytes >= 131072);
    rig.connection.fail("stuck");
    rig.stream.endReceive(-104);
    await rig.settle();
    rig.finish();
  });
});

test("a draining connection answers what it has, and gives up what has not come", async () => {
  await withFileRig(async (rig) => {
    await rig.connect();
    await rig.say(
      capsule({ opcode: write, cid: 1, nsid: 1, cdw12: 255, transferBytes: 131072 }),
      capsule({ opcode: read, cid: 2, nsid: 1, cdw12: 7, transferBytes: 4096 }),
    );
    rig.take("r2t");
    rig.incoming.length = 0;
    const drained = rig.connection.drain();
    await rig.settle();
    await rig.hangUp();
    await drained;
    rig.finish();
    assert.match(rig.reason, /going away/);
  });
});

test("settle ends what waits and tells when the device has ended the rest", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    await rig.say(capsule({ opcode: write, cid: 1, nsid: 1, cdw12: 15, transferBytes: 8192 }));
    const { ttag } = rig.take("r2t").fields;
    let isSettled = false;
    rig.model.link?.settle(1, () => {
      isSettled = true;
    });
    assert.ok(isSettled, "nothing has reached the device");
    await rig.say(h2cData({ cid: 1, ttag, offset: 0 }, Buffer.alloc(8192, 1)));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.abortedPreempt);
    assert.deepEqual(await readBlocks(rig, 0, 16), Buffer.alloc(8192));
    await rig.hangUp();
    rig.finish();
  });
});

test("settle stops a read between its parts", async () => {
  await withFileRig(
    async (rig) => {
      await rig.connect();
      rig.stream.sendsByItself = false;
      await rig.say(capsule({ opcode: read, cid: 1, nsid: 1, cdw12: 2047, transferBytes: MIB }));
      assert.ok(rig.stream.isSending, "the first part is on its way");
      let isSettled = false;
      rig.model.link?.settle(1, () => {
        isSettled = true;
      });
      assert.ok(isSettled, "the device has nothing");
      rig.stream.sendsByItself = true;
      await rig.settle(20);
      assert.ok(rig.take("data").data.length < MIB);
      assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.abortedPreempt);
      await rig.hangUp();
      rig.finish();
    },
    { bufferLimitBytes: 3 * MIB },
  );
});

test("a Connect for another reactor without room in the window ends its connection", async () => {
  await withRig(
    async (rig) => {
      const { buffers } = rig.reactor;
      const held: PoolBuffer[] = [];
      for (let next = buffers.acquire(4096); next !== null; next = buffers.acquire(4096)) {
        held.push(next);
      }
      await rig.say(icReq());
      const connect = connectCapsule({ qid: 1, subsystemNqn: `${RIG_NQN}-elsewhere` });
      const long = Buffer.concat([connect, Buffer.alloc(8192 - 1024)]);
      long.writeUInt32LE(long.length, 4);
      await rig.say(long);
      for (const buffer of held) buffer.release();
      await rig.settle();
      assert.equal(rig.handedTo, -1);
      rig.finish();
      assert.match(rig.reason, /memory/);
    },
    { bufferLimitBytes: 3 * MIB },
  );
});

test("a write whose host is preempted while its data comes does not reach the device", async () => {
  await withRig(async (rig) => {
    await rig.connect();
    await rig.say(capsule({ opcode: write, cid: 1, nsid: 1, cdw12: 15, transferBytes: 8192 }));
    const { ttag } = rig.take("r2t").fields;
    rig.model.isReserved = true;
    rig.model.refused = [1];
    await rig.say(h2cData({ cid: 1, ttag, offset: 0 }, Buffer.alloc(8192, 1)));
    assert.equal(codeOf(rig.takeStatus(1)), NvmeStatus.reservationConflict);
    assert.deepEqual(await readBlocks(rig, 0, 16), Buffer.alloc(8192));
    await rig.hangUp();
    rig.finish();
  });
});
