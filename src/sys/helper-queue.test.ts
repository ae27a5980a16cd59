// Tests of the queue to helper threads, both of its sides on one thread.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { type Call, HELPER_CALLS_MAX, HelperCall, HelperQueue } from "./helper-queue.ts";

const EVENTFD = 77;

function emptyCall(): Call {
  return {
    slot: -1,
    call: 0,
    fd: 0,
    address: 0,
    length: 0,
    position: 0,
    operationFlags: 0,
  };
}

/** As a helper has it: other views of the same memory. */
function twoSides(): { readonly queue: HelperQueue; readonly helper: HelperQueue } {
  const queue = new HelperQueue();
  queue.eventfd = EVENTFD;
  return { queue, helper: new HelperQueue(queue.memory) };
}

test("HelperQueue carries every argument of a call, in order, many times around", () => {
  const { queue, helper } = twoSides();
  const call = emptyCall();
  for (let round = 0; round < 5; round++) {
    for (let index = 0; index < HELPER_CALLS_MAX; index++) {
      const position = 2 ** 53 - 1 - index;
      queue.push(index, HelperCall.writev, index + 1, 2 ** 46 + index, 3, position, 2);
    }
    for (let index = 0; index < HELPER_CALLS_MAX; index++) {
      strictEqual(helper.take(call), true);
      deepStrictEqual(call, {
        slot: index,
        call: HelperCall.writev,
        fd: index + 1,
        address: 2 ** 46 + index,
        length: 3,
        position: 2 ** 53 - 1 - index,
        operationFlags: 2,
      });
      strictEqual(queue.hasAnswer, false);
      helper.answer(index, -index);
      strictEqual(queue.hasAnswer, true);
      deepStrictEqual([queue.answerSlot, queue.answerResult], [index, -index]);
      queue.nextAnswer();
    }
    strictEqual(helper.take(call), false);
  }
});

test("HelperQueue names the eventfd once for each wish to be signalled", () => {
  const { queue, helper } = twoSides();
  strictEqual(helper.answer(1, 0), -1);
  queue.setSignals(true);
  strictEqual(helper.answer(2, 0), EVENTFD);
  strictEqual(helper.answer(3, 0), -1);
  queue.setSignals(true);
  queue.setSignals(false);
  strictEqual(helper.answer(4, 0), -1);
});

test("a helper does not sleep when a call has come since it looked", () => {
  const { queue, helper } = twoSides();
  strictEqual(helper.take(emptyCall()), false);
  queue.push(1, HelperCall.fsync, 3, 0, 0, 0, 0);
  // Would stand still for ever.
  helper.waitForCall();
  strictEqual(helper.take(emptyCall()), true);
});
