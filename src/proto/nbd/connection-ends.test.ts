// A connection ends at any moment, in any way, whatever it is doing: nothing is left of it, no
// buffer, no command, no send or receive; and what was answered before was in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileDevice } from "../../devices/file.ts";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { request } from "../../testing/nbd-bytes.ts";
import { NbdConnectionRig } from "../../testing/nbd-connection-rig.ts";
import { Prng } from "../../util/prng.ts";
import { Command, CommandFlag } from "./constants.ts";

const MIB = 1024 * 1024;
const SIZE_BYTES = 16 * MIB;
const EPIPE = 32;
const ECANCELED = 125;
const ECONNRESET = 104;
const RUNS = process.env.PENSTOCK_LONG === "1" ? 3000 : 60;
const FORMS = ["simple", "structured", "extended"] as const;
const COMMANDS = [
  Command.read,
  Command.read,
  Command.write,
  Command.write,
  Command.flush,
  Command.trim,
  Command.cache,
  Command.writeZeroes,
  Command.blockStatus,
  77,
];

/** One request, often off the grid, sometimes refused, with its payload. */
function randomRequest(random: Prng, cookie: number, extended: boolean): Buffer {
  const command = random.pick(COMMANDS);
  const grid = random.chance(0.5) ? 4096 : 1;
  const most = random.chance(0.2) ? 3 * MIB : random.chance(0.5) ? 300_000 : 9000;
  const length = Math.max(grid, random.below(most) - (random.below(most) % grid));
  const offset = random.below(SIZE_BYTES - (random.chance(0.1) ? 0 : length));
  const known = [0, 0, CommandFlag.fua, CommandFlag.df, CommandFlag.reqOne, CommandFlag.noHole];
  const flags = random.pick(known);
  const header = request(
    { command, cookie, offset: offset - (offset % grid), length, flags },
    extended,
  );
  if (command !== Command.write) return header;
  return Buffer.concat([header, Buffer.alloc(length, cookie)]);
}

/** All is sent, a piece at a time, and everything is answered however little memory there is. */
async function runToTheEnd(seed: number): Promise<void> {
  const random = new Prng(seed).fork("client");
  const bufferLimitBytes = random.pick([2, 3, 8]) * MIB;
  const body = async ({ reactor }: { reactor: NbdConnectionRig["reactor"] }): Promise<void> => {
    const device = await FileDevice.open(reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
    const replies = random.pick(FORMS);
    const rig = new NbdConnectionRig(device, { replies });
    const { stream } = rig;
    const requests = Array.from({ length: 40 }, (_, cookie) =>
      randomRequest(random, cookie, replies === "extended"),
    );
    const bytes = Buffer.concat(requests);
    // Others take what they can get, now and then, and give it back.
    const taken: PoolBuffer[] = [];
    let at = 0;
    for (let round = 0; at < bytes.length; round++) {
      assert.ok(round < 50_000, `the server stopped reading at ${at} of ${bytes.length}`);
      const whim = random.below(10);
      if (whim === 0) {
        for (const one of taken.splice(0)) one.release();
      } else if (whim === 1) {
        const one = reactor.buffers.acquire(4096 << random.below(9));
        if (one !== null) taken.push(one);
      }
      if (stream.isReceiving) {
        const room = Math.min(stream.receiveRoom, bytes.length - at);
        const some = random.chance(0.3) ? 1 + random.below(room) : room;
        stream.deliver(bytes.subarray(at, at + some));
        at += some;
      }
      await rig.settle(1);
    }
    for (const one of taken) one.release();
    for (let round = 0; !stream.isReceiving; round++) {
      assert.ok(round < 5000, "all is answered");
      await rig.settle(1);
    }
    stream.endReceive(0);
    for (let round = 0; round < 2000 && !stream.isClosed; round++) await rig.settle(1);
    assert.equal(rig.reason, "the client has closed the connection");
    rig.finish();
    await device.close();
  };
  await withReactor("fake", body, { bufferLimitBytes, seed });
}

async function run(seed: number): Promise<void> {
  const random = new Prng(seed).fork("client");
  const bufferLimitBytes = random.pick([2, 3, 8, 64]) * MIB;
  const body = async ({ reactor }: { reactor: NbdConnectionRig["reactor"] }): Promise<void> => {
    const device = await FileDevice.open(reactor, { path: "/d.img", sizeBytes: SIZE_BYTES });
    const replies = random.pick(FORMS);
    const rig = new NbdConnectionRig(device, { replies });
    const { stream, connection } = rig;
    const count = 1 + random.below(40);
    const requests = Array.from({ length: count }, (_, cookie) =>
      randomRequest(random, cookie, replies === "extended"),
    );
    const bytes = Buffer.concat(requests);
    let at = 0;
    stream.sendsByItself = random.chance(0.7);
    const steps = random.below(120);
    for (let step = 0; step < steps && at < bytes.length; step++) {
      if (stream.isReceiving) {
        const room = Math.min(stream.receiveRoom, bytes.length - at);
        const taken = random.chance(0.3) ? 1 + random.below(room) : room;
        stream.deliver(bytes.subarray(at, at + taken));
        at += taken;
      }
      await rig.settle(random.pick([1, 1, 1, 3]));
      if (stream.isSending && random.chance(0.3)) stream.endSend();
    }
    const end = random.below(5);
    if (end === 0) void connection.drain();
    else if (end === 1) connection.fail("the test says so");
    else if (end === 2 && stream.isSending) stream.endSend(EPIPE);
    else if (end === 3 && stream.isReceiving) stream.endReceive(-ECONNRESET);
    else if (stream.isReceiving) stream.endReceive(0);
    else void connection.drain();
    // The kernel may still deliver a little, then ends what is in flight.
    for (let round = 0; round < 3000 && !stream.isClosed; round++) {
      await rig.settle(random.pick([1, 5]));
      if (stream.isSending) {
        if (stream.isShut) stream.endSend(EPIPE);
        else stream.endSend();
      }
      if (!stream.isReceiving) continue;
      const left = Math.min(stream.receiveRoom, bytes.length - at);
      if (left > 0 && random.chance(0.3)) {
        stream.deliver(bytes.subarray(at, at + left));
        at += left;
      } else if (stream.isShut || stream.isEnded) stream.endReceive(0);
      else if (stream.isCancelled) stream.endReceive(-ECANCELED);
      else void connection.drain();
    }
    rig.finish();
    await device.close();
  };
  await withReactor("fake", body, { bufferLimitBytes, seed });
}

test("all is answered, however little memory there is", { timeout: 110_000 }, async () => {
  const first = Number(process.env.PENSTOCK_SEED ?? Math.floor(Math.random() * 1e6));
  const runs = process.env.PENSTOCK_SEED === undefined ? RUNS / 5 : 1;
  for (let seed = first; seed < first + runs; seed++) await runToTheEnd(seed);
});

test("nothing is left of a connection, however and whenever it ends", {
  timeout: 110_000,
}, async () => {
  const first = Number(process.env.PENSTOCK_SEED ?? Math.floor(Math.random() * 1e6));
  const runs = process.env.PENSTOCK_SEED === undefined ? RUNS : 1;
  for (let seed = first; seed < first + runs; seed++) await run(seed);
});
