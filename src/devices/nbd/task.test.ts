// Tests of a task's block status: extents of any length become extents of whole blocks that claim
// no more than was said.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../../block/awaited-request.ts";
import { ExtentFlag, ExtentList } from "../../block/extents.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Prng } from "../../util/prng.ts";
import { LossLedger } from "../remote/loss-ledger.ts";
import { NbdTask } from "./task.ts";

const BLOCK = 512;
const BLOCKS = 40;

/** Answers as a server does, until the task has all; returns the number of answers. */
function answer(task: NbdTask, truth: Uint8Array, prng: Prng): number {
  const { request } = task;
  ok(request !== null);
  let answers = 0;
  for (let isDone = false; !isDone; answers++) {
    ok(answers < 1000, "it gets on");
    task.offset = request.offset + task.done;
    task.length = request.length - task.done;
    task.beginStatus();
    const extentsMax = 1 + prng.below(6);
    let at = task.offset;
    for (let count = 0; count < extentsMax && at < task.offset + task.length; count++) {
      const start = at;
      while (at < truth.length && truth[at] === truth[start]) at++;
      // Servers may cut extents anywhere, and go on behind the range with the last one.
      if (prng.chance(0.3)) at = start + 1 + prng.below(at - start);
      task.extent(at - start, truth[start] as number);
    }
    isDone = task.endStatus();
  }
  return answers;
}

test("NbdTask makes whole blocks of a server's extents, and claims no more", () => {
  for (let seed = 0; seed < 300; seed++) {
    const prng = new Prng(seed);
    const truth = new Uint8Array((BLOCKS + 4) * BLOCK);
    for (let at = 0; at < truth.length; ) {
      const length = prng.chance(0.5) ? BLOCK * prng.below(6) : prng.below(1500);
      truth.fill(prng.below(4), at, at + length);
      at += length;
    }
    const request = new AwaitedRequest();
    request.operation = Operation.blockStatus;
    request.offset = BLOCK * prng.below(8);
    request.length = BLOCK * (1 + prng.below(BLOCKS - 8));
    request.flags = prng.chance(0.2) ? RequestFlag.oneExtent : 0;
    request.extents = new ExtentList();
    const task = new NbdTask();
    task.begin(request, 0, new LossLedger());
    answer(task, truth, prng);
    const { extents, offset, length, flags } = request;
    if (flags === 0) strictEqual(extents.lengthBytes, length, `seed ${seed}`);
    else strictEqual(extents.count, 1);
    let at = offset;
    for (let index = 0; index < extents.count; index++) {
      const extentBytes = extents.lengths[index] as number;
      const state = extents.flags[index] as number;
      strictEqual(extentBytes % BLOCK, 0);
      const part = truth.subarray(at, at + extentBytes);
      // A hole counts only where it is known to read as zeroes.
      for (const flag of [ExtentFlag.hole, ExtentFlag.zero]) {
        if ((state & flag) !== 0) ok(part.every((each) => (each & flag) !== 0));
      }
      ok((state & ExtentFlag.zero) !== 0 || state === 0);
      at += extentBytes;
    }
    ok(at <= offset + length);
  }
});
