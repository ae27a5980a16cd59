// Tests of the buffer pool: classes, splitting and joining, the limit, waiters, the reserve.

import { notStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import {
  BUFFER_BYTES_MAX,
  BufferPool,
  BufferReserve,
  type BufferWaiter,
  type PoolBuffer,
} from "./buffer-pool.ts";
import { HeapSlabSpace } from "./slab-space-heap.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

function makePool(limitBytes = MIB): BufferPool {
  return new BufferPool(new HeapSlabSpace(), { limitBytes });
}

/** A buffer that must be there. */
function take(pool: { acquire(lengthBytes: number): PoolBuffer | null }, length: number) {
  const buffer = pool.acquire(length);
  ok(buffer !== null, `a buffer of ${length}`);
  return buffer;
}

/** Everything that the pool still gives, in pieces of `length`. */
function takeAll(pool: BufferPool, length: number): PoolBuffer[] {
  const all: PoolBuffer[] = [];
  for (let got = pool.acquire(length); got !== null; got = pool.acquire(length)) all.push(got);
  return all;
}

test("acquire gives the smallest class that holds the length", () => {
  const pool = makePool(64 * MIB);
  for (const [length, expected] of [
    [1, 4 * KIB],
    [4 * KIB, 4 * KIB],
    [4 * KIB + 1, 8 * KIB],
    [8 * KIB, 8 * KIB],
    [100 * KIB, 128 * KIB],
    [512 * KIB + 1, MIB],
    [MIB, MIB],
  ] as const) {
    const buffer = take(pool, length);
    strictEqual(buffer.lengthBytes, expected, `for ${length}`);
    strictEqual(buffer.offset % expected, 0, "a buffer is aligned to its class");
    strictEqual(buffer.references, 1);
  }
});

test("acquire asserts when the length is no buffer's", () => {
  const pool = makePool();
  for (const length of [0, -1, BUFFER_BYTES_MAX + 1]) {
    throws(() => pool.acquire(length), { code: "assertion-failed" });
  }
  throws(() => makePool(MIB - 1), { code: "assertion-failed" });
});

test("buffers never overlap when sizes are mixed", () => {
  const pool = makePool(4 * MIB);
  const taken: PoolBuffer[] = [];
  const sizes = [4, 64, 4, 8, 256, 16, 4, 512, 32, 128, 4, 1024];
  for (const size of sizes) taken.push(take(pool, size * KIB));
  for (const [index, buffer] of taken.entries())
    buffer.slab.bytes.fill(index + 1, buffer.offset, buffer.offset + buffer.lengthBytes);
  for (const [index, { slab, offset, lengthBytes }] of taken.entries()) {
    const bytes = slab.bytes.subarray(offset, offset + lengthBytes);
    ok(
      bytes.every((byte) => byte === index + 1),
      `buffer ${index} is whole`,
    );
  }
});

test("a pool gives exactly its limit when it is emptied, and all of it again", () => {
  const pool = makePool(2 * MIB);
  const small = takeAll(pool, 4 * KIB);
  strictEqual(small.length, 512);
  strictEqual(pool.heldBytes, 2 * MIB);
  strictEqual(pool.allocatedBytes, 2 * MIB);
  strictEqual(pool.acquire(1), null);
  for (const buffer of small) buffer.release();
  strictEqual(pool.heldBytes, 0);
  // Split to the smallest class; joined again because nothing else would do.
  const large = takeAll(pool, MIB);
  strictEqual(large.length, 2);
  notStrictEqual(large[0]?.slab, large[1]?.slab);
  for (const buffer of large) buffer.release();
  strictEqual(takeAll(pool, 256 * KIB).length, 8);
  strictEqual(pool.allocatedBytes, 2 * MIB);
});

test("buddies are joined only with their own when another one is held", () => {
  const pool = makePool();
  const all = takeAll(pool, 64 * KIB).sort((a, b) => a.offset - b.offset);
  strictEqual(all.length, 16);
  const [first, second, third] = all;
  // Second and third are neighbours but no buddies: no 128 KiB comes of them.
  second?.release();
  third?.release();
  strictEqual(pool.acquire(128 * KIB), null);
  first?.release();
  const joined = take(pool, 128 * KIB);
  strictEqual(joined.offset, 0);
  strictEqual(pool.acquire(128 * KIB), null);
  strictEqual(take(pool, 64 * KIB).offset, third?.offset);
});

test("references hold a buffer back when some are left", () => {
  const pool = makePool();
  const buffer = take(pool, MIB);
  buffer.retain();
  buffer.retain();
  buffer.release();
  buffer.release();
  strictEqual(pool.acquire(1), null);
  buffer.release();
  strictEqual(pool.heldBytes, 0);
  throws(() => buffer.release(), { code: "assertion-failed" });
  throws(() => buffer.retain(), { code: "assertion-failed" });
});

class Waiter implements BufferWaiter {
  readonly #pool: BufferPool;
  readonly #log: string[];
  readonly #name: string;
  got: PoolBuffer | null = null;

  constructor(pool: BufferPool, log: string[], name: string) {
    this.#pool = pool;
    this.#log = log;
    this.#name = name;
    pool.wait(this);
  }

  buffersAvailable(): void {
    this.got = this.#pool.acquire(MIB);
    this.#log.push(`${this.#name} ${this.got === null ? "waits" : "has"}`);
    if (this.got === null) this.#pool.wait(this);
  }
}

test("waiters are called in their order, and keep it when they wait again", () => {
  const pool = makePool();
  const held = take(pool, MIB);
  const log: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => new Waiter(pool, log, name));
  strictEqual(pool.wakeWaiters(), false, "nothing was released");
  held.release();
  strictEqual(pool.wakeWaiters(), true);
  strictEqual(log.join(), "a has,b waits,c waits");
  strictEqual(pool.wakeWaiters(), false);
  pool.stopWaiting(b as Waiter);
  a?.got?.release();
  strictEqual(pool.wakeWaiters(), true);
  strictEqual(log.join(), "a has,b waits,c waits,c has");
  c?.got?.release();
  strictEqual(pool.wakeWaiters(), false, "nobody waits");
});

test("a reserve lets one request go on when the pool is exhausted", () => {
  const pool = makePool();
  const reserve = BufferReserve.create(pool, 64 * KIB);
  ok(reserve !== null);
  takeAll(pool, 4 * KIB);
  for (let round = 0; round < 3; round++) {
    const buffer = take(reserve, 64 * KIB);
    strictEqual(reserve.acquire(4 * KIB), null, "there is one");
    strictEqual(pool.acquire(4 * KIB), null, "and the pool does not get it");
    const log: string[] = [];
    const waiter = new Waiter(pool, log, "w");
    buffer.release();
    strictEqual(pool.wakeWaiters(), true, "a free reserve is worth another try");
    pool.stopWaiting(waiter);
  }
  strictEqual(reserve.acquire(64 * KIB + 1), null, "it is too small for that");
});

test("a reserve is not touched when the pool has buffers", () => {
  const pool = makePool();
  const reserve = BufferReserve.create(pool, 64 * KIB);
  ok(reserve !== null);
  const fromPool = take(reserve, 64 * KIB);
  takeAll(pool, 4 * KIB);
  take(reserve, 64 * KIB);
  fromPool.release();
  strictEqual(take(pool, 64 * KIB), fromPool, "what came from the pool goes back to it");
});

test("a closed reserve goes back to the pool, at once or when it is released", () => {
  const pool = makePool();
  const idle = BufferReserve.create(pool, 512 * KIB);
  const busy = BufferReserve.create(pool, 512 * KIB);
  ok(idle !== null && busy !== null);
  strictEqual(BufferReserve.create(pool, 4 * KIB), null);
  const buffer = take(busy, 1);
  busy.close();
  strictEqual(pool.acquire(1), null);
  strictEqual(pool.heldBytes, MIB);
  idle.close();
  strictEqual(pool.heldBytes, 512 * KIB);
  buffer.release();
  strictEqual(pool.heldBytes, 0);
  strictEqual(take(pool, MIB).lengthBytes, MIB);
});

test("BufferPool gives back what nobody holds when it is trimmed, and takes other limits", () => {
  const slabs = new HeapSlabSpace();
  const pool = new BufferPool(slabs, { limitBytes: 4 * MIB });
  const held = pool.acquire(8192);
  const others = [pool.acquire(MIB), pool.acquire(4096), pool.acquire(MIB / 2)];
  strictEqual(pool.allocatedBytes, 2 * MIB);
  for (const buffer of others) buffer?.release();
  pool.trim();
  strictEqual(pool.allocatedBytes, MIB);
  strictEqual(slabs.allocatedBytes, MIB);
  held?.release();
  pool.trim();
  strictEqual(slabs.allocatedBytes, 0);
  pool.setLimit(MIB);
  strictEqual(pool.limitBytes, MIB);
  const whole = pool.acquire(MIB);
  strictEqual(pool.acquire(4096), null);
  throws(() => pool.setLimit(MIB / 2));
  whole?.release();
  pool.setLimit(2 * MIB);
  notStrictEqual(pool.acquire(MIB), null);
  notStrictEqual(pool.acquire(MIB), null);
});
