// Tests of ReceivedBytes: order across chunks, when it is full, and whose memory it frees.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";

import { ReceivedBytes } from "./received-bytes.ts";

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

test("ReceivedBytes gives what was pushed, in order, across chunks", () => {
  const received = new ReceivedBytes();
  received.push(bytes(1, 2, 3));
  received.push(bytes());
  received.push(bytes(4, 5));
  strictEqual(received.lengthBytes, 5);
  const into = new Uint8Array(6);
  strictEqual(received.take(into, 1, 2), 2);
  strictEqual(received.take(into, 3, 2), 2);
  strictEqual(received.lengthBytes, 1);
  strictEqual(received.take(into, 5, 10), 1);
  strictEqual(received.take(into, 0, 1), 0);
  deepStrictEqual([...into], [0, 1, 2, 3, 4, 5]);
});

test("ReceivedBytes frees a chunk's memory as soon as all of it is taken", () => {
  const received = new ReceivedBytes();
  const chunk = bytes(1, 2, 3);
  received.push(chunk);
  received.take(new Uint8Array(3), 0, 2);
  strictEqual(chunk.buffer.byteLength, 3);
  received.take(new Uint8Array(3), 0, 1);
  strictEqual(chunk.buffer.byteLength, 0);
});

test("ReceivedBytes leaves memory alone that a chunk is only a part of", () => {
  const received = new ReceivedBytes();
  const whole = bytes(1, 2, 3, 4);
  received.push(whole.subarray(1, 3));
  strictEqual(received.take(new Uint8Array(2), 0, 2), 2);
  deepStrictEqual([...whole], [1, 2, 3, 4]);
});

test("ReceivedBytes is full by bytes and by chunks", () => {
  const byBytes = new ReceivedBytes();
  byBytes.push(new Uint8Array(64 * 1024 - 1));
  strictEqual(byBytes.isFull, false);
  byBytes.push(bytes(1));
  strictEqual(byBytes.isFull, true);
  byBytes.clear();
  strictEqual(byBytes.isFull, false);
  const byChunks = new ReceivedBytes();
  for (let count = 0; count < 64; count++) byChunks.push(bytes(1));
  strictEqual(byChunks.isFull, true);
});
