// Tests of the fake Io: the suite of every level, and what only this one promises: one seed, one
// run; misuse is asserted.

import {
  deepStrictEqual,
  notStrictEqual,
  ok,
  rejects,
  strictEqual,
  throws,
} from "node:assert/strict";
import { test } from "node:test";
import { ioConformance } from "../io-conformance.ts";
import { IoOp, type Io } from "../io.ts";
import { FakeWorld } from "./fake-world.ts";

const worlds = new WeakMap<object, FakeWorld>();
let seedOfNext = 0;

ioConformance(
  "fake",
  () => {
    const world = new FakeWorld({ seed: seedOfNext++ });
    const { io } = world.process();
    worlds.set(io, world);
    return io;
  },
  {
    lacks: { realFiles: "files are not the machine's", realSockets: "nor are sockets" },
    folder: "/test",
    runUntil: (io, done) => (worlds.get(io) as FakeWorld).runUntil(done), // set at creation
  },
);

class NotingOp extends IoOp {
  readonly results: number[] = [];
  override complete(result: number): void {
    this.results.push(result);
  }
}

function attached(io: Io): NotingOp {
  const op = new NotingOp();
  io.attach(op);
  return op;
}

async function openFile(world: FakeWorld, io: Io, sizeBytes = 1024 * 1024): Promise<number> {
  const opening = io.openFile({ path: "/a", write: true, createSizeBytes: sizeBytes });
  return (await world.runUntil(opening)).file;
}

test("FakeIo asserts when an op, memory, a vector or a handle is misused", async () => {
  const world = new FakeWorld({ seed: 1 });
  const { io } = world.process();
  const file = await openFile(world, io);
  const slab = io.slabs.allocate(4096);
  const foreign = world.process().io.slabs.allocate(8192);
  const vector = io.vector(2);
  vector.push(slab, 0, 512);
  const busy = attached(io);
  io.readVector(busy, file, vector, 0);
  const misuses: readonly ((op: IoOp) => void)[] = [
    () => io.read(busy, file, slab, 0, 512, 0),
    () => io.detach(busy),
    () => vector.clear(),
    () => vector.push(slab, 0, 1),
    () => vector.advance(1),
    (op) => io.readVector(op, file, vector, 0),
    (op) => io.read(op, file, slab, 4096, 1, 0),
    (op) => io.read(op, file, slab, 0, 4097, 0),
    (op) => io.read(op, file, slab, -1, 10, 0),
    (op) => io.read(op, file, foreign, 0, 512, 0),
    (op) => io.read(op, file, slab, 0, 512, -512),
    (op) => io.read(op, file, slab, 0, 512, 0.5),
    (op) => io.read(op, file + 1, slab, 0, 512, 0),
    (op) => io.receive(op, 0, slab, 0, 512),
    () => io.sync(new NotingOp(), file),
  ];
  for (const [index, misuse] of misuses.entries()) {
    throws(() => misuse(attached(io)), { code: "assertion-failed" }, `misuse ${index}`);
  }
});

test("FakeIo refuses to close when something is in flight", async () => {
  const world = new FakeWorld({ seed: 1 });
  const { io } = world.process();
  const file = await openFile(world, io);
  io.sync(attached(io), file);
  await rejects(world.runUntil(io.closeFile(file)), { code: "assertion-failed" });
  await rejects(world.runUntil(io.close()), { code: "assertion-failed" });
});

/** Twenty ops that read and write in a storm; the hash of the run and its results. */
async function storm(seed: number): Promise<{ hash: number; nowMs: number; results: string }> {
  const world = new FakeWorld({ seed });
  const { io } = world.process();
  const file = await openFile(world, io);
  const slab = io.slabs.allocate(1024 * 1024);
  const ops = Array.from({ length: 20 }, () => attached(io));
  for (let round = 0; round < 20; round++) {
    for (const [index, op] of ops.entries()) {
      const position = world.prng.below(200) * 4096;
      if (index % 5 === 4) io.sync(op, file);
      else if (index % 2 === 0) io.read(op, file, slab, index * 8192, 8192, position);
      else io.write(op, file, slab, index * 8192, 8192, position, false);
    }
    await world.run();
  }
  const results = ops.map((op) => op.results.join()).join(";");
  return { hash: world.traceHash, nowMs: world.nowMs, results };
}

test("a FakeWorld's run is the same when its seed is, and another when it is not", async () => {
  const first = await storm(7);
  deepStrictEqual(await storm(7), first);
  const other = await storm(8);
  notStrictEqual(other.hash, first.hash);
  notStrictEqual(other.nowMs, first.nowMs);
  ok(first.results.includes("8192,8192"));
});

test("a FakeWorld tells each event when it is traced", async () => {
  const lines: string[] = [];
  const world = new FakeWorld({ seed: 1, trace: (line) => lines.push(line) });
  const { io } = world.process({ host: "node-a", name: "engine" });
  const file = await openFile(world, io);
  io.sync(attached(io), file);
  await world.run();
  strictEqual(lines.length, world.eventCount);
  ok(
    lines.some((line) => / engine sync \/a @0 0$/.test(line)),
    lines.join("\n"),
  );
});

test("runUntil says that the world is stuck when nothing can settle the promise", async () => {
  const world = new FakeWorld({ seed: 1 });
  await rejects(world.runUntil(new Promise(() => {})), { code: "world-stuck" });
  const { io } = world.process();
  const late = new Promise<void>((resolve) => {
    io.clock.startTimer(1000, resolve);
  });
  await rejects(world.runUntil(late, { untilMs: 999 }), { code: "world-stuck" });
  await world.runUntil(late);
  strictEqual(world.nowMs, 1000);
});

test("run stops at its limits and moves the time to the deadline", async () => {
  const world = new FakeWorld({ seed: 1 });
  const { io } = world.process();
  const fired: number[] = [];
  for (const delayMs of [5, 10, 15]) io.clock.startTimer(delayMs, () => fired.push(delayMs));
  await world.run({ untilMs: 12 });
  deepStrictEqual(fired, [5, 10]);
  strictEqual(io.clock.nowMs(), 12);
  io.clock.startTimer(1, () => fired.push(13));
  await world.run({ eventCountMax: 1 });
  deepStrictEqual(fired, [5, 10, 13]);
  await world.run();
  deepStrictEqual(fired, [5, 10, 13, 15]);
});

test("a paused process does nothing until it goes on, in order", async () => {
  const world = new FakeWorld({ seed: 1 });
  const process = world.process();
  const fired: string[] = [];
  process.io.clock.startTimer(1, () => fired.push("one"));
  process.io.clock.startTimer(2, () => fired.push("two"));
  const cancelled = process.io.clock.startTimer(3, () => fired.push("three"));
  process.pause();
  await world.run({ untilMs: 50 });
  deepStrictEqual(fired, []);
  cancelled.cancel();
  process.resume();
  await world.run();
  deepStrictEqual(fired, ["one", "two"]);
  strictEqual(world.nowMs, 50);
});

test("a killed process hears nothing more and frees its claims", async () => {
  const world = new FakeWorld({ seed: 1 });
  const first = world.process();
  const file = await openFile(world, first.io);
  const op = attached(first.io);
  first.io.sync(op, file);
  first.io.clock.startTimer(1, () => op.results.push(-1));
  const second = world.process();
  const again = () => second.io.openFile({ path: "/a", write: true });
  await rejects(world.runUntil(again()), { code: "claimed" });
  first.kill();
  strictEqual(first.isAlive, false);
  await world.runUntil(again());
  await world.run();
  deepStrictEqual(op.results, []);
});
