// Tests of memory that a request leaves to a device beyond its end, and of what it may not leave.

import { deepStrictEqual, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { BUFFER_BYTES_MAX, BufferReserve } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { BufferRequest } from "./buffer-request.ts";

const BLOCK_BYTES = 4096;
const POOL_BYTES = 2 * BUFFER_BYTES_MAX;

class PlainRequest extends BufferRequest {
  override complete(): void {}
}

function withPool(body: (reactor: Reactor) => Promise<void>): Promise<void> {
  return withReactor("fake", ({ reactor }) => body(reactor), { bufferLimitBytes: POOL_BYTES });
}

test("memory that is pinned goes back to the pool when its last holder has let go", () =>
  withPool(async ({ buffers }) => {
    const request = new PlainRequest();
    strictEqual(request.canPin, false, "without memory there is none to leave");
    request.buffer = buffers.acquire(BLOCK_BYTES);
    strictEqual(request.canPin, true);
    const pin = request.pinMemory();
    request.buffer?.release();
    strictEqual(buffers.heldBytes, BLOCK_BYTES);
    pin.release();
    strictEqual(buffers.heldBytes, 0);
  }));

test("a read that is moved has other memory, as much as before", () =>
  withPool(async ({ buffers }) => {
    const request = new PlainRequest();
    const before = buffers.acquire(4 * BLOCK_BYTES);
    request.buffer = before;
    request.length = BLOCK_BYTES;
    const pin = request.moveMemory(buffers);
    strictEqual(pin, before);
    const { buffer } = request;
    notStrictEqual(buffer, before);
    strictEqual(buffer?.lengthBytes, 4 * BLOCK_BYTES);
    const { segments } = request;
    deepStrictEqual(
      [segments.count, segments.slabId(0), segments.offset(0), segments.length(0)],
      [1, buffer.slab.id, buffer.offset, BLOCK_BYTES],
    );
    pin?.release();
    buffer.release();
    strictEqual(buffers.heldBytes, 0);
  }));

test("a read stays where it is while there is no other memory", () =>
  withPool(async ({ buffers }) => {
    const request = new PlainRequest();
    const before = buffers.acquire(BUFFER_BYTES_MAX);
    const other = buffers.acquire(BUFFER_BYTES_MAX);
    request.buffer = before;
    strictEqual(request.moveMemory(buffers), null);
    strictEqual(request.buffer, before);
    before?.release();
    other?.release();
  }));

test("a reserve's buffer is never left to others", () =>
  withPool(async ({ buffers }) => {
    const reserve = BufferReserve.create(buffers, BLOCK_BYTES);
    const request = new PlainRequest();
    request.buffer = reserve?.acquire(BLOCK_BYTES) ?? null;
    strictEqual(request.canPin, true, "the pool's, as long as that has any");
    request.buffer?.release();
    const taken = [];
    for (let buffer = buffers.acquire(BLOCK_BYTES); buffer !== null; ) {
      taken.push(buffer);
      buffer = buffers.acquire(BLOCK_BYTES);
    }
    request.buffer = reserve?.acquire(BLOCK_BYTES) ?? null;
    notStrictEqual(request.buffer, null);
    strictEqual(request.canPin, false);
    throws(() => request.pinMemory(), /pool's/);
    throws(() => request.moveMemory(buffers), /pool's/);
    request.buffer?.release();
    for (const buffer of taken) buffer.release();
    reserve?.close();
    strictEqual(buffers.heldBytes, 0);
  }));
