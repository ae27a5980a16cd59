// Tests of the receive window: room, references of payloads in flight, growth and shrinking.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferPool } from "../../reactor/buffer-pool.ts";
import { HeapSlabSpace } from "../../reactor/slab-space-heap.ts";
import { ReceiveWindow } from "./receive-window.ts";

const MIB = 1024 * 1024;

function make(limitBytes = 4 * MIB): { pool: BufferPool; window: ReceiveWindow } {
  const pool = new BufferPool(new HeapSlabSpace(), { limitBytes });
  const buffer = pool.acquire(4096);
  assert.ok(buffer !== null);
  return { pool, window: new ReceiveWindow(pool, buffer) };
}

/** Bytes that can be told apart. */
function arrive(window: ReceiveWindow, length: number, first = 0): void {
  const { slab, offset } = window.buffer;
  for (let index = 0; index < length; index++) {
    slab.bytes[offset + window.end + index] = (first + index) & 0xff;
  }
  window.received(length);
}

function unreadBytes(window: ReceiveWindow): number[] {
  const { slab, offset } = window.buffer;
  return [...slab.bytes.subarray(offset + window.start, offset + window.end)];
}

test("ReceiveWindow starts over at its beginning when everything is read", () => {
  const { window } = make();
  arrive(window, 1000);
  window.start = 1000;
  assert.equal(window.prepare(28), true);
  assert.equal(window.start, 0);
  assert.equal(window.room, window.buffer.lengthBytes);
});

test("ReceiveWindow keeps the unread bytes when it makes room", () => {
  const { window } = make();
  arrive(window, 4000);
  window.start = 3990;
  const before = unreadBytes(window);
  assert.equal(window.prepare(4096 - 10), true);
  assert.deepEqual(unreadBytes(window), before);
  assert.ok(window.room >= 4096 - 10 - 10);
});

test("ReceiveWindow grows for what must fit in all", () => {
  const { window } = make();
  arrive(window, 100);
  const before = unreadBytes(window);
  assert.equal(window.prepare(20_000), true);
  assert.ok(window.buffer.lengthBytes >= 20_000);
  assert.deepEqual(unreadBytes(window), before);
});

test("ReceiveWindow leaves a buffer to the payloads that lie in it", () => {
  const { window } = make();
  arrive(window, 4096);
  const old = window.buffer;
  old.retain();
  window.start = 4090;
  const before = unreadBytes(window);
  assert.equal(window.prepare(28), true);
  assert.notEqual(window.buffer, old);
  assert.deepEqual(unreadBytes(window), before);
  assert.equal(old.references, 1);
  assert.equal(old.slab.bytes[old.offset + 5], 5);
});

test("ReceiveWindow says no when a payload holds its buffer and there is no other", () => {
  const { pool, window } = make(MIB);
  const taken = [];
  for (let next = pool.acquire(4096); next !== null; next = pool.acquire(4096)) taken.push(next);
  arrive(window, 4096);
  window.buffer.retain();
  window.start = 4090;
  assert.equal(window.prepare(28), false);
  window.buffer.release();
  assert.equal(window.prepare(28), true);
  assert.equal(unreadBytes(window).length, 6);
});

test("ReceiveWindow grows while receives fill it, and shrinks when they are small again", () => {
  const { window } = make();
  for (let round = 0; round < 6; round++) {
    arrive(window, window.room);
    window.start = window.end;
    assert.equal(window.prepare(28), true);
  }
  assert.equal(window.buffer.lengthBytes, 256 * 1024);
  for (let round = 0; round < 5; round++) {
    arrive(window, 28);
    window.start = window.end;
    assert.equal(window.prepare(28), true);
  }
  assert.equal(window.buffer.lengthBytes, 4096);
});
