// Tests of SpaceMap against sets of blocks: random programs with checkpoints; after each one the
// bitmaps on the disks are exactly what is in use; another map goes on from there.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { IoLevel } from "../../reactor/io.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { mallocDisks } from "../../testing/pool-disks-rig.ts";
import { KEYS, type Shape, SpaceBench } from "../../testing/space-bench.ts";
import { Prng } from "../../util/prng.ts";
import { type Address, addressOf } from "../pool-layout.ts";
import type { TakenRun } from "./space-map.ts";
/** Takes as many as there are now; in flight until applied. */
async function take(bench: SpaceBench, count: number): Promise<Address[] | "no-space"> {
  const { space, taken } = bench;
  const run: TakenRun = { address: 0, count: 0 };
  for (let tries = 0; ; tries++) {
    ok(tries < 100, "a wait comes to an end");
    // Clients' reads end by themselves.
    if (tries > 10) {
      bench.endReads(0);
      await logPending(bench);
    }
    const before = [bench.flushesWanted, bench.checkpointsWanted];
    const answer = space.take(count, run, true);
    if (answer === "no-space") return answer;
    if (answer === "wait") {
      if (bench.checkpointsWanted > (before[1] as number)) await bench.checkpoint();
      else if (bench.flushesWanted > (before[0] as number)) {
        bench.reuse.durableThrough(bench.sequence++);
        await bench.turn();
      } else await bench.turn();
      continue;
    }
    const addresses = Array.from({ length: run.count }, (_, index) => run.address + index);
    const inUse = new Set(bench.mapped.values());
    for (const address of addresses) {
      ok(!taken.has(address) && !inUse.has(address) && !bench.held.has(address), "taken once");
      taken.add(address);
    }
    return addresses;
  }
}

async function admit(bench: SpaceBench, blocks: number): Promise<void> {
  for (let tries = 0; !bench.cache.admit(blocks); tries++) {
    ok(tries < 100, "room comes in the end");
    if (tries > 10) await logPending(bench);
    if (bench.checkpointsWanted > 0) {
      bench.checkpointsWanted = 0;
      await bench.checkpoint();
    } else await bench.turn();
  }
}

/** A write of consecutive keys, from the beginning to the end. */
async function write(bench: SpaceBench, first: number, count: number): Promise<boolean> {
  const { prng } = bench;
  await admit(bench, count);
  const addresses = await take(bench, count);
  if (addresses === "no-space") {
    bench.cache.applied(count);
    return false;
  }
  const { space, taken } = bench;
  await bench.writeData(addresses);
  if (prng.chance(0.1)) {
    space.giveBack(addresses[0] as Address, addresses.length);
    for (const address of addresses) taken.delete(address);
    bench.cache.applied(count);
    return true;
  }
  // What was admitted for all is given back for what there was.
  bench.cache.applied(count);
  await admit(bench, addresses.length);
  const entry = { first, end: first + addresses.length, addresses };
  if (prng.chance(0.3)) bench.pending.push(entry);
  else await bench.log(entry);
  return true;
}

/** Unmaps step by step; small ones, as one record is. */
async function unmap(bench: SpaceBench, first: number, end: number): Promise<void> {
  for (let from = first; from < end; from += 200) {
    const until = Math.min(from + 200, end);
    await admit(bench, until - from);
    await bench.log({ first: from, end: until, addresses: null });
  }
}

/** Writes go on while it is under way, as long as they need not wait for it. */
async function busyCheckpoint(bench: SpaceBench, isCut: boolean): Promise<void> {
  await bench.checkpoint(isCut, async () => {
    const run: TakenRun = { address: 0, count: 0 };
    bench.reuse.durableThrough(bench.sequence);
    for (let round = bench.prng.below(20); round > 0; round--) {
      const first = bench.prng.below(bench.shape.keys - 8);
      if (!bench.cache.admit(8)) return;
      if (bench.space.take(8, run, true) !== "ok") {
        bench.cache.applied(8);
        return;
      }
      const addresses = Array.from({ length: run.count }, (_, index) => run.address + index);
      for (const address of addresses) bench.taken.add(address);
      bench.cache.admitLess(8, run.count);
      await bench.writeData(addresses);
      await bench.log({ first, end: first + run.count, addresses });
    }
  });
}

/** What is pending reaches the log. */
async function logPending(bench: SpaceBench): Promise<void> {
  for (let entry = bench.pending.shift(); entry !== undefined; entry = bench.pending.shift()) {
    await bench.log(entry);
  }
}

async function run(shape: Shape, steps: number): Promise<void> {
  await withReactor(IoLevel.fake, async ({ reactor, seed }) => {
    const { disks } = await mallocDisks(reactor, shape.diskBlocks);
    const bench = new SpaceBench(reactor, disks, shape, new Prng(seed));
    bench.open();
    await bench.checkpoint();
    bench.space.endReplay();
    const { prng } = bench;
    const { reads } = bench;
    let full = 0;
    const isFilled = shape.isFilled === true;
    for (let step = 0; step < steps; step++) {
      const choice = prng.below(103);
      const key = prng.below(shape.keys);
      if (choice < 60) {
        const count = Math.min(
          1 + prng.below(prng.chance(isFilled ? 0.5 : 0.1) ? 100 : 4),
          shape.keys - key,
        );
        if (!(await write(bench, key, count))) full++;
      } else if (choice < 68) {
        await unmap(
          bench,
          key,
          Math.min(key + 1 + prng.below(shape.keys >>> (isFilled ? 8 : 3)), shape.keys),
        );
      } else if (choice < 78) reads.push(bench.reuse.beginRead());
      else if (choice < 90) {
        bench.endReads(2);
      } else if (choice < 95) {
        bench.reuse.durableThrough(bench.sequence - prng.below(3));
        await bench.turn();
      } else if (choice < 98) {
        bench.endReads(0);
        await busyCheckpoint(bench, false);
      } else if (choice < 99) {
        await logPending(bench);
      } else {
        if (prng.chance(0.5)) await busyCheckpoint(bench, true);
        await bench.reopen();
      }
      bench.checkCounters();
    }
    bench.endReads(0);
    await logPending(bench);
    await bench.checkpoint();
    await bench.turn();
    bench.reuse.durableThrough(bench.sequence + 1);
    for (let turns = 0; bench.space.waitingBlocks > 0; turns++) {
      ok(turns < 50, "what waits is free in the end");
      await bench.checkpoint();
    }
    strictEqual(full > 0, isFilled);
    await disks.close();
  });
}

test("a map does what sets do, on one disk with room", () =>
  run({ diskBlocks: [16_384], keptBackBlocks: 600, slots: 256, keys: KEYS >>> 1 }, 500));

test("a map does what sets do, on three disks, the last chunks not whole", () =>
  run({ diskBlocks: [5000, 4133, 6001], keptBackBlocks: 900, slots: 256, keys: KEYS >>> 2 }, 500));

test("a map does what sets do, on a disk that is full", () =>
  run({ diskBlocks: [4096], keptBackBlocks: 700, slots: 256, keys: KEYS, isFilled: true }, 1200));

test("a full disk whose blocks went round can be opened from its label and log", () =>
  withReactor(IoLevel.fake, async ({ reactor, seed }) => {
    const shape = { diskBlocks: [4096], keptBackBlocks: 500, slots: 256, keys: KEYS };
    const { disks } = await mallocDisks(reactor, shape.diskBlocks);
    const bench = new SpaceBench(reactor, disks, shape, new Prng(seed));
    bench.open();
    await bench.checkpoint();
    bench.space.endReplay();
    let key = 0;
    while (bench.space.freeBlocks > 500) {
      await write(bench, key, 32);
      await logPending(bench);
      while (bench.mapped.has(key)) key++;
    }
    await bench.checkpoint();
    const before = bench.label;
    // No block stays free for long: overwriting takes what the record before has freed.
    for (let round = 0; round < 1500; round++) {
      await write(bench, bench.prng.below(key), 1);
      await logPending(bench);
      bench.reuse.durableThrough(bench.sequence);
    }
    ok(bench.label !== before, "a checkpoint came before the log named every free block");
    await bench.reopen();
    await disks.close();
  }));

test("a new disk whose first chunks are all held has room behind them", () =>
  withReactor(IoLevel.fake, async ({ reactor, seed }) => {
    const shape = { diskBlocks: [50_000], keptBackBlocks: 100, slots: 64, keys: 10 };
    const { disks } = await mallocDisks(reactor, shape.diskBlocks);
    const bench = new SpaceBench(reactor, disks, shape, new Prng(seed));
    bench.open([{ address: addressOf(0, 0), count: 64 * 600 }]);
    await bench.checkpoint();
    bench.space.endReplay();
    ok(await write(bench, 0, 4));
    await logPending(bench);
    await bench.reopen();
    await disks.close();
  }));
