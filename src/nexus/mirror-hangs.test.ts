// Children that hang: how long clients wait, what becomes of memory, and what late completions do.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { ExtentList } from "../block/extents.ts";
import { Operation } from "../block/operation.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { MemoryPin, Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { BufferPool, PoolBuffer } from "../reactor/buffer-pool.ts";
import { type MirrorRig, sleepOn, statesOf, withMirror } from "../testing/mirror-rig.ts";
import { HANG, PASS, type ScriptedFilter, type Turn } from "../testing/scripted-filter.ts";
import { Prng } from "../util/prng.ts";

const BLOCK = 4096;
const BLOCKS = 64;
const TIMEOUT_MS = 5000;
/** The fake level's turns take some microseconds. */
const TURNS_MS = 1;

const page = (value: number): Uint8Array => new Uint8Array(BLOCK).fill(value);
const hangOn =
  (operation: Operation) =>
  (request: Request): Turn =>
    request.operation === operation ? HANG : PASS;

function leg(rig: MirrorRig, index: number): ScriptedFilter {
  const found = rig.legs[index];
  ok(found !== undefined);
  return found;
}

function orphansOf({ mirror }: MirrorRig): [count: number, bytes: number] {
  const { count, bytes } = mirror.orphans;
  const { orphans } = mirror.describe() as { orphans: { count: number; bytes: number } };
  deepStrictEqual(orphans, { count, bytes });
  return [count, bytes];
}

/** What the media hold, read beside the mirror. */
async function contents(rig: MirrorRig): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for (const medium of rig.media) {
    const { slabs } = rig.reactor.io;
    const memory = slabs.allocate(medium.info.sizeBytes);
    const request = new AwaitedRequest();
    const length = medium.info.sizeBytes;
    request.segments.push(memory.id, 0, length);
    strictEqual(await request.run(medium, { operation: Operation.read, length }), Status.ok);
    all.push(Buffer.from(memory.bytes.subarray(0, length)));
    slabs.release(memory);
  }
  return all;
}

test("a hung child stalls its clients for the time-out once, and all go on together", () =>
  withMirror(3, {}, async (rig) => {
    const { reactor, device, mirror, events } = rig;
    const { clock } = reactor;
    leg(rig, 1).script = () => HANG;
    const startMs = clock.nowMs();
    const first = device.writeAt(0, page(1)).then(() => clock.nowMs());
    await sleepOn(reactor, TIMEOUT_MS / 2);
    const others = [
      device.writeAt(BLOCK, page(2)),
      device.writeAt(0, page(3)),
      device.flush(),
      device.writeZeroes(2 * BLOCK, BLOCK),
      device.discard(3 * BLOCK, BLOCK),
      device.readAt(0, BLOCK),
    ].map((each) => each.then(() => clock.nowMs()));
    const ends = await Promise.all([first, ...others]);
    for (const endMs of ends) {
      const waitedMs = endMs - startMs;
      ok(waitedMs >= TIMEOUT_MS && waitedMs <= TIMEOUT_MS + TURNS_MS, `${waitedMs} ms`);
    }
    deepStrictEqual(statesOf(mirror), ["in-sync", "timeout", "in-sync"]);
    match(events[0]?.message ?? "", /leg1.*write of 4096 bytes at 0: no answer within 5000 ms/);
    // The write behind the first one was never sent to the hung child.
    deepStrictEqual(orphansOf(rig), [5, 2 * BLOCK]);
    const laterMs = clock.nowMs();
    await device.writeAt(0, page(4));
    await device.flush();
    deepStrictEqual(await device.readAt(0, BLOCK), page(4));
    ok(clock.nowMs() - laterMs < TURNS_MS, "nobody waits for it any more");
    leg(rig, 1).letGo();
    await sleepOn(reactor, 1);
    deepStrictEqual(orphansOf(rig), [0, 0]);
    deepStrictEqual(statesOf(mirror), ["in-sync", "timeout", "in-sync"]);
  }));

test("hung writes let go after 10,000 further writes change nothing but their own child", () =>
  withMirror(3, { reactorOptions: { bufferLimitBytes: 4 * 2 ** 20 } }, async (rig) => {
    const { reactor, device, mirror, seed } = rig;
    const random = new Prng(seed);
    for (let block = 0; block < BLOCKS; block++) await device.writeAt(block * BLOCK, page(block));
    await device.flush();
    const [before] = await contents(rig);
    ok(before !== undefined);
    const hung = leg(rig, 2);
    hung.script = hangOn(Operation.write);
    const lates = [5, 9, 33].map((block) => device.writeAt(block * BLOCK, page(200 + block)));
    await Promise.all(lates);
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync", "timeout"]);
    deepStrictEqual(orphansOf(rig), [3, 3 * BLOCK]);
    for (const block of [5, 9, 33]) before.fill(200 + block, block * BLOCK, (block + 1) * BLOCK);
    const model = Buffer.from(before);
    for (let round = 0; round < 10_000 / 16; round++) {
      const writes = Array.from({ length: 16 }, (_, index) => {
        const block = (round + index * 4) % BLOCKS;
        const data = new Uint8Array(BLOCK);
        random.fill(data);
        model.set(data, block * BLOCK);
        return device.writeAt(block * BLOCK, data);
      });
      await Promise.all(writes);
    }
    hung.letGo();
    await sleepOn(reactor, 1);
    deepStrictEqual(orphansOf(rig), [0, 0]);
    const [first, second, third] = await contents(rig);
    ok(first?.equals(model) && second?.equals(model), "the survivors hold the last writes");
    ok(third?.equals(before), "the hung child holds what it was given, not what came later");
    const read = await device.readAt(0, BLOCKS * BLOCK);
    ok(Buffer.from(read).equals(model.subarray(0, read.length)));
  }));

test("hung reads let go late change no memory that others use", () =>
  withMirror(2, { reactorOptions: { bufferLimitBytes: 3 * 2 ** 20 } }, async (rig) => {
    const { reactor, device, mirror } = rig;
    for (let block = 0; block < BLOCKS; block++) await device.writeAt(block * BLOCK, page(block));
    for (const each of rig.legs) each.script = hangOn(Operation.read);
    const reads = [1, 2, 3].map((block) => device.readAt(block * BLOCK, BLOCK));
    await sleepOn(reactor, 1);
    const hung = rig.legs.findIndex(({ held }) => held.length > 1);
    const other = leg(rig, 1 - hung);
    other.script = () => PASS;
    other.letGo();
    const found = await Promise.all(reads);
    deepStrictEqual(
      found.map((bytes) => bytes[0]),
      [1, 2, 3],
    );
    const [count, bytes] = orphansOf(rig);
    strictEqual(bytes, count * BLOCK);
    strictEqual(statesOf(mirror)[hung], "timeout");
    // Whatever the pool can give: a late read must find none of it.
    const held: PoolBuffer[] = [];
    for (let buffer = reactor.buffers.acquire(BLOCK); buffer !== null; ) {
      buffer.slab.bytes.fill(0xee, buffer.offset, buffer.offset + buffer.lengthBytes);
      held.push(buffer);
      buffer = reactor.buffers.acquire(BLOCK);
    }
    leg(rig, hung).letGo();
    await sleepOn(reactor, 1);
    deepStrictEqual(orphansOf(rig), [0, 0]);
    for (const { slab, offset, lengthBytes } of held) {
      ok(slab.bytes.subarray(offset, offset + lengthBytes).every((byte) => byte === 0xee));
    }
    // What the orphans held has come back.
    const returned = reactor.buffers.acquire(BLOCK);
    ok(returned !== null);
    for (const buffer of [...held, returned]) buffer.release();
  }));

/** A submitter that can pin, and looks at its memory long after it has its answer. */
class PinningRead extends AwaitedRequest {
  buffer: PoolBuffer;

  constructor(pool: BufferPool) {
    super();
    const buffer = pool.acquire(BLOCK);
    ok(buffer !== null);
    this.buffer = buffer;
    this.segments.push(buffer.slab.id, buffer.offset, BLOCK);
  }

  override get canPin(): boolean {
    return true;
  }

  override moveMemory(pool: BufferPool): MemoryPin | null {
    const before = this.buffer;
    const moved = new PinningRead(pool);
    this.buffer = moved.buffer;
    this.segments.copyFrom(moved.segments);
    return before;
  }
}

test("a reply that is still to be sent is not changed by a late read", () =>
  withMirror(2, {}, async (rig) => {
    const { reactor, device, mirror } = rig;
    await device.writeAt(0, page(1));
    for (const each of rig.legs) each.script = hangOn(Operation.read);
    const request = new PinningRead(reactor.buffers);
    const ended = request.run(mirror, { operation: Operation.read, length: BLOCK });
    await sleepOn(reactor, 1);
    const hung = rig.legs.find(({ held }) => held.length > 0);
    for (const each of rig.legs) each.script = () => PASS;
    strictEqual(await ended, Status.ok);
    const { slab, offset } = request.buffer;
    const reply = slab.bytes.subarray(offset, offset + BLOCK);
    deepStrictEqual(new Uint8Array(reply), page(1));
    // What the hung child finds by now is something else.
    for (const medium of rig.media) {
      const zero = { operation: Operation.writeZeroes, length: BLOCK };
      strictEqual(await new AwaitedRequest().run(medium, zero), Status.ok);
    }
    hung?.letGo();
    await sleepOn(reactor, 1);
    deepStrictEqual(new Uint8Array(reply), page(1));
    deepStrictEqual(orphansOf(rig), [0, 0]);
    request.buffer.release();
  }));

test("a late read of a compare-and-write does not change what is being written", () =>
  withMirror(2, {}, async (rig) => {
    const { reactor, device, mirror } = rig;
    await device.writeAt(0, page(7));
    for (const each of rig.legs) each.script = hangOn(Operation.read);
    const memory = reactor.io.slabs.allocate(2 * BLOCK);
    memory.bytes.fill(7, 0, BLOCK).fill(8, BLOCK);
    const request = new AwaitedRequest();
    request.segments.push(memory.id, 0, 2 * BLOCK);
    const ended = request.run(mirror, { operation: Operation.compareAndWrite, length: BLOCK });
    await sleepOn(reactor, 1);
    const hung = rig.legs.findIndex(({ held }) => held.length > 0);
    for (const each of rig.legs) each.script = hangOn(Operation.write);
    await sleepOn(reactor, TIMEOUT_MS + 10);
    const writing = leg(rig, 1 - hung);
    strictEqual(writing.held.length, 1);
    leg(rig, hung).letGo();
    await sleepOn(reactor, 1);
    writing.script = () => PASS;
    writing.letGo();
    strictEqual(await ended, Status.ok);
    deepStrictEqual(await device.readAt(0, BLOCK), page(8));
    reactor.io.slabs.release(memory);
  }));

test("hung reads of submitters that cannot pin, and compares, are answered by another child", () =>
  withMirror(2, {}, async (rig) => {
    const { reactor, device, mirror } = rig;
    for (const block of [0, 1, 2]) await device.writeAt(block * BLOCK, page(7));
    const hung = leg(rig, 0);
    hung.script = hangOn(Operation.read);
    leg(rig, 1).script = hangOn(Operation.read);
    const memory = reactor.io.slabs.allocate(4 * BLOCK);
    const requests = [Operation.read, Operation.compare, Operation.compareAndWrite].map(
      (operation, index) => {
        const request = new AwaitedRequest();
        const bytes = operation === Operation.compareAndWrite ? 2 * BLOCK : BLOCK;
        const at = index * BLOCK;
        memory.bytes.fill(operation === Operation.read ? 0 : 7, at, at + BLOCK);
        if (bytes > BLOCK) memory.bytes.fill(8, at + BLOCK, at + bytes);
        request.segments.push(memory.id, at, bytes);
        return request.run(mirror, { operation, offset: at, length: BLOCK });
      },
    );
    await sleepOn(reactor, 1);
    leg(rig, 1).script = () => PASS;
    leg(rig, 1).letGo();
    deepStrictEqual(await Promise.all(requests), [Status.ok, Status.ok, Status.ok]);
    strictEqual(statesOf(mirror)[1], "in-sync");
    ok(memory.bytes.subarray(0, BLOCK).every((byte) => byte === 7));
    memory.bytes.fill(0xdd);
    hung.letGo();
    await sleepOn(reactor, 1);
    ok(
      memory.bytes.every((byte) => byte === 0xdd),
      "a late read finds the mirror's memory",
    );
    deepStrictEqual(await device.readAt(2 * BLOCK, BLOCK), page(8));
    deepStrictEqual(orphansOf(rig), [0, 0]);
    reactor.io.slabs.release(memory);
  }));

test("a hung block status is answered by another child, and its late answer touches nothing", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror, reactor, device } = rig;
    await device.writeAt(0, page(1));
    const request = new AwaitedRequest();
    request.extents = new ExtentList();
    for (const each of rig.legs) each.script = hangOn(Operation.blockStatus);
    const ended = request.run(mirror, { operation: Operation.blockStatus, length: 2 ** 20 });
    await sleepOn(reactor, 1);
    const hung = rig.legs.find(({ held }) => held.length > 0);
    for (const each of rig.legs) each.script = () => PASS;
    strictEqual(await ended, Status.ok);
    strictEqual(request.extents.lengthBytes, 2 ** 20);
    request.extents.clear();
    hung?.letGo();
    await sleepOn(reactor, 1);
    strictEqual(request.extents.count, 0);
    deepStrictEqual(orphansOf(rig), [0, 0]);
  }));

test("beyond the bound of orphans, requests wait for their hung child", () => {
  const orphanLimits = { countMax: 2, bytesMax: 2 ** 20 };
  return withMirror(2, { orphanLimits }, async (rig) => {
    const { device, reactor } = rig;
    leg(rig, 1).script = () => HANG;
    let ended = 0;
    const writes = Array.from({ length: 5 }, (_, index) =>
      device.writeAt(index * BLOCK, page(index)).then(() => ended++),
    );
    await sleepOn(reactor, 3 * TIMEOUT_MS);
    deepStrictEqual(orphansOf(rig), [2, 2 * BLOCK]);
    strictEqual(ended, 2);
    leg(rig, 1).letGo();
    await Promise.all(writes);
    deepStrictEqual(orphansOf(rig), [0, 0]);
    deepStrictEqual(statesOf(rig.mirror), ["in-sync", "timeout"]);
  });
});

test("requests that wait for a hung child get on when other orphans end", () => {
  const orphanLimits = { countMax: 8, bytesMax: 3 * BLOCK };
  return withMirror(2, { orphanLimits }, async (rig) => {
    const { device, reactor } = rig;
    const hung = leg(rig, 1);
    hung.script = () => HANG;
    let ended = 0;
    const writes = Array.from({ length: 6 }, (_, index) =>
      device.writeAt(index * BLOCK, page(index)).then(() => ended++),
    );
    await sleepOn(reactor, 2 * TIMEOUT_MS);
    strictEqual(ended, 3);
    const later = hung.held.splice(3);
    hung.letGo();
    hung.held.push(...later);
    await Promise.all(writes);
    deepStrictEqual(orphansOf(rig), [3, 3 * BLOCK]);
    hung.letGo();
    await sleepOn(reactor, 1);
    deepStrictEqual(orphansOf(rig), [0, 0]);
  });
});

test("a read finds no memory to move to and waits until there is some", () =>
  withMirror(2, { reactorOptions: { bufferLimitBytes: 2 * 2 ** 20 } }, async (rig) => {
    const { device, reactor } = rig;
    await device.writeAt(0, page(3));
    for (const each of rig.legs) each.script = hangOn(Operation.read);
    let isRead = false;
    const read = device.readAt(0, BLOCK).then((bytes) => {
      isRead = true;
      return bytes;
    });
    await sleepOn(reactor, 1);
    const hung = rig.legs.find(({ held }) => held.length > 0);
    for (const each of rig.legs) each.script = () => PASS;
    const held: PoolBuffer[] = [];
    for (let buffer = reactor.buffers.acquire(BLOCK); buffer !== null; ) {
      held.push(buffer);
      buffer = reactor.buffers.acquire(BLOCK);
    }
    await sleepOn(reactor, 2 * TIMEOUT_MS);
    strictEqual(isRead, false);
    for (const buffer of held) buffer.release();
    deepStrictEqual(await read, page(3));
    deepStrictEqual(orphansOf(rig), [1, BLOCK]);
    hung?.letGo();
    await sleepOn(reactor, 1);
  }));

test("when all children hang nobody is taken out, until one of them answers", () =>
  withMirror(2, {}, async (rig) => {
    const { device, reactor, mirror } = rig;
    for (const each of rig.legs) each.script = () => HANG;
    const written = device.writeAt(0, page(1));
    await sleepOn(reactor, 4 * TIMEOUT_MS);
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync"]);
    leg(rig, 1).script = () => PASS;
    leg(rig, 1).letGo();
    await written;
    deepStrictEqual(statesOf(mirror), ["timeout", "in-sync"]);
    leg(rig, 0).letGo();
    await sleepOn(reactor, 1);
  }));

test("the last child is not timed: its late write must not land after newer ones", () =>
  withMirror(1, {}, async (rig) => {
    const { device, reactor, mirror } = rig;
    leg(rig, 0).script = () => HANG;
    const written = device.writeAt(0, page(1));
    await sleepOn(reactor, 4 * TIMEOUT_MS);
    leg(rig, 0).script = () => PASS;
    leg(rig, 0).letGo();
    await written;
    deepStrictEqual(statesOf(mirror), ["in-sync"]);
    deepStrictEqual(orphansOf(rig), [0, 0]);
  }));

test("a child that failed otherwise keeps nobody waiting beyond the time-out either", () =>
  withMirror(2, {}, async (rig) => {
    const { device, reactor, mirror } = rig;
    const { clock } = reactor;
    leg(rig, 1).script = (request) => (request.offset === 0 ? HANG : FAIL);
    const startMs = clock.nowMs();
    const hung = device.writeAt(0, page(1)).then(() => clock.nowMs() - startMs);
    await sleepOn(reactor, 1);
    await device.writeAt(BLOCK, page(2));
    deepStrictEqual(statesOf(mirror), ["in-sync", "path-lost"]);
    const waitedMs = await hung;
    ok(waitedMs >= TIMEOUT_MS && waitedMs <= TIMEOUT_MS + TURNS_MS, `${waitedMs} ms`);
    strictEqual(statesOf(mirror)[1], "path-lost", "the first reason stays");
    leg(rig, 1).letGo();
    await sleepOn(reactor, 1);
  }));

const FAIL: Turn = { kind: "fail", status: Status.pathLost };

test("a read that was sent before its child was taken out is not believed afterwards", () =>
  withMirror(2, { readPolicy: "least-loaded" }, async (rig) => {
    const { device, mirror, reactor } = rig;
    await device.writeAt(0, page(1));
    for (const each of rig.legs) each.script = hangOn(Operation.read);
    const read = device.readAt(0, BLOCK);
    await sleepOn(reactor, 1);
    const asked = rig.legs.findIndex(({ held }) => held.length > 0);
    leg(rig, asked).script = () => FAIL;
    leg(rig, 1 - asked).script = () => PASS;
    await device.writeAt(0, page(2));
    strictEqual(statesOf(mirror)[asked], "path-lost");
    leg(rig, asked).letGo();
    deepStrictEqual(await read, page(2));
  }));

test("a process that was stopped itself does not blame its children", () =>
  withMirror(2, {}, async (rig) => {
    const { device, reactor, mirror } = rig;
    leg(rig, 0).script = () => ({ kind: "delay", delayMs: TIMEOUT_MS + 100 });
    const written = device.writeAt(0, page(1));
    // As after SIGCONT: the clock is far ahead when the timer fires, the answer is about to come.
    Object.assign(reactor.clock, { offsetMs: 60_000 });
    await written;
    leg(rig, 0).script = () => PASS;
    await device.writeAt(0, page(2));
    deepStrictEqual(statesOf(mirror), ["in-sync", "in-sync"]);
  }));

test("a mirror closes while orphans hang, and they end without it", () =>
  withMirror(2, {}, async (rig) => {
    const { mirror, reactor, device } = rig;
    const heldBytes = reactor.buffers.heldBytes;
    const hung = leg(rig, 1);
    hung.script = () => HANG;
    await device.writeAt(0, page(1));
    const closed = device.close();
    await sleepOn(reactor, 1);
    strictEqual(mirror.inFlight, 0);
    hung.letGo();
    await closed;
    deepStrictEqual(orphansOf(rig), [0, 0]);
    ok(reactor.buffers.heldBytes < heldBytes, "all buffers and reserves are back");
    strictEqual(reactor.buffers.heldBytes, 0);
  }));

test("two clients' devices on one mirror wait and go on alike", () =>
  withMirror(2, {}, async (rig) => {
    const second = new PromiseDevice(rig.mirror);
    leg(rig, 1).script = hangOn(Operation.write);
    await Promise.all([rig.device.writeAt(0, page(1)), second.writeAt(0, page(2))]);
    deepStrictEqual(await rig.device.readAt(0, BLOCK), page(2));
    leg(rig, 1).letGo();
    await sleepOn(rig.reactor, 1);
  }));
