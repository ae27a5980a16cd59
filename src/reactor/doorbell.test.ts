// Tests of the doorbell: every state and who signals in it.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { BellPush, Doorbell } from "./doorbell.ts";
import type { Io } from "./io.ts";
import { HeapSlabSpace } from "./slab-space-heap.ts";

const HANDLE = 7;

/** An Io that other threads could wake; keeps what it was asked to wake. */
function makeBell() {
  const woken: number[] = [];
  const parts = {
    slabs: new HeapSlabSpace(),
    wakeHandle: HANDLE,
    wake: (h: number) => woken.push(h),
  };
  const io = parts as unknown as Io;
  const bell = new Doorbell(io);
  const push = new BellPush(io, structuredClone(bell.address));
  return { bell, push, woken };
}

test("ring signals nobody when the reactor is awake, and is answered once", () => {
  const { bell, push, woken } = makeBell();
  bell.wake();
  strictEqual(bell.answer(), false);
  push.ring();
  push.ring();
  strictEqual(bell.isRung, true);
  strictEqual(bell.answer(), true);
  strictEqual(bell.answer(), false);
  strictEqual(bell.isRung, false);
  deepStrictEqual(woken, []);
});

test("ring signals once when the reactor sleeps, however many ring", () => {
  const { bell, push, woken } = makeBell();
  bell.wake();
  strictEqual(bell.sleep(), true);
  push.ring();
  push.ring();
  deepStrictEqual(woken, [HANDLE]);
  bell.wake();
  strictEqual(bell.answer(), true);
  push.ring();
  deepStrictEqual(woken, [HANDLE]);
});

test("sleep fails when the bell was rung since the last answer", () => {
  const { bell, push, woken } = makeBell();
  bell.wake();
  push.ring();
  strictEqual(bell.sleep(), false);
  strictEqual(bell.answer(), true);
  strictEqual(bell.sleep(), true);
  deepStrictEqual(woken, []);
});

test("an Io that never says when it sleeps is signalled after each answer", () => {
  const { bell, push, woken } = makeBell();
  for (let round = 1; round <= 3; round++) {
    push.ring();
    push.ring();
    strictEqual(woken.length, round);
    strictEqual(bell.answer(), true);
  }
});

test("a push asserts that the address is a doorbell of the same slabs", () => {
  const { bell } = makeBell();
  const slabs = new HeapSlabSpace();
  slabs.allocate(4096);
  const elsewhere = { slabs } as unknown as Io;
  throws(() => new BellPush(elsewhere, bell.address), { code: "assertion-failed" });
});
