// A connection is full of commands, memory comes and goes, and it ends at any moment in any way:
// all is answered exactly once while it lives, and nothing is left of it afterwards.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../../devices/file.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import type { Device } from "../../block/device.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { capsule, type CommandParts, h2cData } from "../../testing/nvme-pdus.ts";
import { NvmeTargetRig } from "../../testing/nvme-target-rig.ts";
import { Prng } from "../../util/prng.ts";
import { IoOpcode } from "../nvme/constants.ts";
import { PduFlag } from "./common.ts";

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
const EPIPE = 32;
const ECANCELED = 125;
const ECONNRESET = 104;
const RUNS = process.env.PENSTOCK_LONG === "1" ? 800 : 40;
const OPCODES = [
  IoOpcode.read,
  IoOpcode.read,
  IoOpcode.read,
  IoOpcode.write,
  IoOpcode.write,
  IoOpcode.write,
  IoOpcode.flush,
  IoOpcode.compare,
  IoOpcode.verify,
  IoOpcode.writeZeroes,
  IoOpcode.datasetManagement,
  IoOpcode.reservationReport,
  IoOpcode.reservationAcquire,
];

/** A host with many commands on their way, which answers R2Ts a little at a time. */
class RandomHost {
  /** To be sent. */
  out: Buffer = Buffer.alloc(0);
  readonly answered = new Set<number>();
  readonly #rig: NvmeTargetRig;
  readonly #random: Prng;
  /** Of a read: what is still to come. */
  readonly #left = new Map<number, number>();
  #next = 0;

  constructor(rig: NvmeTargetRig, random: Prng) {
    this.#rig = rig;
    this.#random = random;
  }

  get outstanding(): number {
    return this.#left.size;
  }

  get begun(): number {
    return this.#next;
  }

  /** Begins a command, or a fused pair. */
  begin(): void {
    const random = this.#random;
    const most = random.chance(0.2) ? 2048 : random.chance(0.5) ? 256 : 16;
    const blocks = 1 + random.below(most);
    const cdw10 = random.below(SIZE_BYTES / 512 - (random.chance(0.05) ? 0 : blocks));
    if (random.chance(0.1)) {
      const few = 1 + random.below(80);
      this.#add({ ...this.#data(IoOpcode.compare, few), fuse: 1, cdw10, cdw12: few - 1 });
      if (random.chance(0.2)) return;
      this.#add({ ...this.#data(IoOpcode.write, few), fuse: 2, cdw10, cdw12: few - 1 });
      return;
    }
    const opcode = random.pick(OPCODES);
    if (opcode === IoOpcode.datasetManagement) {
      const ranges = Buffer.alloc(16 * (1 + random.below(20)));
      for (let at = 0; at < ranges.length; at += 16) ranges.writeUInt32LE(random.below(64), at + 4);
      const fields = { opcode, cid: 0, nsid: 1, cdw10: ranges.length / 16 - 1, cdw11: 4 };
      this.#add({ ...fields, data: ranges });
    } else {
      const isRead = opcode === IoOpcode.read;
      const transferBytes = isRead ? blocks * 512 : 0;
      const fields =
        opcode === IoOpcode.write || opcode === IoOpcode.compare
          ? this.#data(opcode, blocks)
          : { opcode, cid: 0, nsid: 1, transferBytes };
      this.#add({ ...fields, cdw10, cdw12: blocks - 1 }, isRead ? transferBytes : 0);
    }
  }

  /** Looks at what has come. */
  react(): void {
    const rig = this.#rig;
    for (let pdu = rig.incoming.shift(); pdu !== undefined; pdu = rig.incoming.shift()) {
      if (pdu.kind === "r2t") {
        this.#send(pdu.fields.cid, pdu.fields.ttag, pdu.fields.offset, pdu.fields.lengthBytes);
      } else if (pdu.kind === "data") {
        const { cid, lengthBytes } = pdu.fields;
        const left = (this.#left.get(cid) ?? assert.fail(`data for ${cid}`)) - lengthBytes;
        this.#left.set(cid, left);
        assert.equal((pdu.flags & PduFlag.last) !== 0, left === 0);
        if ((pdu.flags & PduFlag.success) !== 0) this.#ended(cid);
      } else if (pdu.kind === "response") {
        this.#ended(pdu.cqe.cid);
      } else {
        assert.fail(`a PDU of kind ${pdu.kind}`);
      }
    }
    const slow = rig.model.slow.splice(0);
    for (const command of slow) command.complete(this.#random.chance(0.5) ? 0 : 0x183);
  }

  #ended(cid: number): void {
    assert.ok(this.#left.delete(cid), `an answer to command ${cid}, which is not outstanding`);
    this.answered.add(cid);
  }

  #data(opcode: number, blocks: number): CommandParts {
    const isSmall = blocks <= 16 && this.#random.chance(0.7);
    const data = Buffer.alloc(blocks * 512, this.#next);
    if (isSmall) return { opcode, cid: 0, nsid: 1, data };
    return { opcode, cid: 0, nsid: 1, transferBytes: data.length };
  }

  #add(parts: CommandParts, readBytes = 0): void {
    const cid = this.#next++;
    this.#left.set(cid, readBytes);
    const bytes = capsule({ ...parts, cid }, this.#rig.form);
    const { form } = this.#rig;
    if (form.dataDigest === true && parts.data !== undefined && this.#random.chance(0.1)) {
      bytes[100] = 0xff ^ (bytes[100] ?? 0);
    }
    this.out = Buffer.concat([this.out, bytes]);
  }

  #send(cid: number, ttag: number, offset: number, lengthBytes: number): void {
    const { form } = this.#rig;
    for (let at = 0; at < lengthBytes; ) {
      const some = this.#random.chance(0.5) ? lengthBytes - at : 4 + this.#random.below(65536);
      const taken = Math.min(some, lengthBytes - at);
      const data = Buffer.alloc(taken, cid);
      const flags = at + taken === lengthBytes ? PduFlag.last : 0;
      const pdu = h2cData({ cid, ttag, offset: offset + at }, data, { ...form, flags });
      this.out = Buffer.concat([this.out, pdu]);
      at += taken;
    }
  }
}

async function openRig(reactor: Reactor, random: Prng): Promise<[NvmeTargetRig, Device]> {
  const device = random.chance(0.3)
    ? await MallocDevice.open(reactor, {
        name: "m",
        sizeBytes: SIZE_BYTES,
        instanceId: "01234567-89ab-cdef-0123-456789abcdef",
      })
    : await FileDevice.open(reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
  const rig = new NvmeTargetRig(device);
  rig.model.hasSqFlowControl = random.chance(0.5);
  await rig.connect({ digests: random.below(4), alignment: random.pick([0, 0, 7, 31]) });
  return [rig, device];
}

/** Some of what the host has to say arrives. */
function deliver(rig: NvmeTargetRig, host: RandomHost, random: Prng): void {
  const { stream } = rig;
  if (!stream.isReceiving || host.out.length === 0) return;
  const room = Math.min(stream.receiveRoom, host.out.length);
  const taken = random.chance(0.3) ? 1 + random.below(room) : room;
  stream.deliver(host.out.subarray(0, taken));
  host.out = host.out.subarray(taken);
}

async function runToTheEnd(seed: number): Promise<void> {
  const random = new Prng(seed).fork("host");
  const bufferLimitBytes = random.pick([3, 4, 8]) * MIB;
  const body = async ({ reactor }: { reactor: Reactor }): Promise<void> => {
    const [rig, device] = await openRig(reactor, random);
    const host = new RandomHost(rig, random);
    // Others take what they can get, now and then, and give it back.
    const taken: PoolBuffer[] = [];
    for (let round = 0; host.begun < 60 || host.outstanding > 0; round++) {
      assert.ok(round < 20_000, `${host.outstanding} of ${host.begun} are not answered`);
      const whim = round > 2000 ? 0 : random.below(10);
      if (whim === 0) {
        for (const one of taken.splice(0)) one.release();
        // What is released outside of a turn is noticed in the next one.
        reactor.io.requestTurn();
      } else if (whim === 1) {
        const one = reactor.buffers.acquire(4096 << random.below(9));
        if (one !== null) taken.push(one);
      }
      if (host.begun < 60 && host.outstanding < 30 && random.chance(0.7)) host.begin();
      deliver(rig, host, random);
      await rig.settle(1);
      host.react();
      // A first command alone waits for whatever follows.
      if (host.begun >= 60 && host.outstanding === 1 && round % 500 === 0) host.begin();
    }
    for (const one of taken.splice(0)) one.release();
    await rig.settle(2);
    await rig.hangUp();
    assert.equal(rig.reason, "the host has closed the connection");
    rig.finish();
    await device.close();
  };
  await withReactor("fake", body, { bufferLimitBytes, seed });
}

async function run(seed: number): Promise<void> {
  const random = new Prng(seed).fork("host");
  const bufferLimitBytes = random.pick([3, 8, 64]) * MIB;
  const body = async ({ reactor }: { reactor: Reactor }): Promise<void> => {
    const [rig, device] = await openRig(reactor, random);
    const { stream, connection } = rig;
    const host = new RandomHost(rig, random);
    stream.sendsByItself = random.chance(0.7);
    const steps = random.below(120);
    for (let step = 0; step < steps; step++) {
      if (host.outstanding < 30) host.begin();
      deliver(rig, host, random);
      await rig.settle(random.pick([1, 1, 1, 3]));
      if (random.chance(0.8)) host.react();
      if (stream.isSending && random.chance(0.3)) stream.endSend();
    }
    const end = random.below(7);
    if (end === 0) void connection.drain();
    else if (end === 1) rig.model.link?.end("the model says so");
    else if (end === 2 && stream.isSending) stream.endSend(EPIPE);
    else if (end === 3 && stream.isReceiving) stream.endReceive(-ECONNRESET);
    else if (end === 4) rig.model.link?.settle(1, () => void connection.drain());
    else if (end === 5 && stream.isReceiving) stream.deliver(Buffer.alloc(24, 0xff));
    else if (stream.isReceiving) stream.endReceive(0);
    else void connection.drain();
    // The kernel may still deliver a little, then ends what is in flight.
    for (let round = 0; round < 3000 && !stream.isClosed; round++) {
      await rig.settle(random.pick([1, 5]));
      rig.incoming.length = 0;
      if (stream.isSending) stream.endSend(stream.isShut ? EPIPE : 0);
      if (!stream.isReceiving) continue;
      if (host.out.length > 0 && random.chance(0.3)) deliver(rig, host, random);
      else if (stream.isShut || stream.isEnded) stream.endReceive(0);
      else if (stream.isCancelled) stream.endReceive(-ECANCELED);
      else void connection.drain();
    }
    for (const command of rig.model.slow) command.complete(0);
    rig.finish();
    await device.close();
  };
  await withReactor("fake", body, { bufferLimitBytes, seed });
}

function seeds(runs: number): number[] {
  const given = process.env.PENSTOCK_SEED;
  const first = Number(given ?? Math.floor(Math.random() * 1e6));
  return Array.from({ length: given === undefined ? runs : 1 }, (_, index) => first + index);
}

test("all is answered once, however little memory there is", { timeout: 110_000 }, async () => {
  for (const seed of seeds(RUNS / 5)) await runToTheEnd(seed);
});

test("nothing is left of a connection, however it ends", { timeout: 110_000 }, async () => {
  for (const seed of seeds(RUNS)) await run(seed);
});
