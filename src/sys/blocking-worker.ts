/**
 * blocking-worker: a helper thread, which makes the calls that may block.
 *
 * Runs as a worker of one HelperPool until it takes the call `exit`. It never leaves a call without
 * an answer.
 */

import { workerData } from "node:worker_threads";
import { assert } from "../util/assert.ts";
import { type Call, HelperCall, type HelperMemory, HelperQueue } from "./helper-queue.ts";
import * as libc from "./libc.ts";
import { mapShared, viewShared } from "./memory.ts";

const EINTR = -4;
const EIO = -5;
const TWO_32 = 4294967296;
const IOVEC_BYTES = 16;

const call: Call = {
  slot: 0,
  call: 0,
  fd: 0,
  address: 0,
  length: 0,
  position: 0,
  operationFlags: 0,
};

/** One iovec of this thread. */
const iovec = mapShared(4096);
const iovecWords = new Int32Array(iovec.buffer);

serve(new HelperQueue(workerData as HelperMemory));

function serve(queue: HelperQueue): void {
  for (;;) {
    while (!queue.take(call)) queue.waitForCall();
    if (call.call === HelperCall.exit) return;
    const { slot } = call;
    const eventfd = queue.answer(slot, runSafely());
    if (eventfd >= 0) libc.signalEventfd(eventfd);
  }
}

function runSafely(): number {
  try {
    return run();
  } catch (_bug) {
    return EIO;
  }
}

function run(): number {
  const { fd, address, length, position, operationFlags } = call;
  switch (call.call) {
    case HelperCall.read:
    case HelperCall.write:
      return moveRange(address, length, position);
    case HelperCall.readv:
    case HelperCall.writev:
      return moveVector(address, length);
    case HelperCall.fsync:
      return retry(() => libc.fdatasyncBlocking(fd));
    case HelperCall.fallocate:
      return retry(() => libc.fallocateBlocking(fd, length, position, address));
    case HelperCall.seek:
      return libc.lseekBlocking(fd, position, operationFlags);
    default:
      assert(false, `a helper knows its call, found ${call.call}`);
  }
}

function retry(attempt: () => number): number {
  let result = attempt();
  while (result === EINTR) result = attempt();
  return result;
}

/** All of a range, or up to the end of the file. */
function moveRange(address: number, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    setIovec(address + done, length - done);
    const result = move(iovec.address, 1, position + done);
    if (result === EINTR) continue;
    // A part that was moved before is not told: short means the end of the file.
    if (result < 0) return result;
    if (result === 0) return isRead() ? done : EIO;
    done += result;
  }
  return done;
}

/** All of `count` ranges. The kernel mostly takes them at once; what it leaves goes one by one. */
function moveVector(iovecs: number, count: number): number {
  const entries = new DataView(viewShared(iovecs, count * IOVEC_BYTES).buffer);
  let total = 0;
  for (let index = 0; index < count; index++) total += lengthAt(entries, index);
  const first = retry(() => move(iovecs, count, call.position));
  if (first < 0 || first === total) return first;
  if (first === 0) return isRead() ? 0 : EIO;
  let done = first;
  let start = 0;
  for (let index = 0; index < count; index++) {
    const length = lengthAt(entries, index);
    const skip = Math.max(done - start, 0);
    start += length;
    if (skip >= length) continue;
    const address = Number(entries.getBigUint64(index * IOVEC_BYTES, true));
    const moved = moveRange(address + skip, length - skip, call.position + done);
    if (moved < 0) return moved;
    done += moved;
    if (moved < length - skip) return done;
  }
  return done;
}

function lengthAt(entries: DataView, index: number): number {
  return entries.getUint32(index * IOVEC_BYTES + 8, true);
}

function isRead(): boolean {
  return call.call === HelperCall.read || call.call === HelperCall.readv;
}

function move(iovecs: number, count: number, position: number): number {
  return isRead()
    ? libc.preadv2(BigInt(call.fd), BigInt(iovecs), count, position, call.operationFlags)
    : libc.pwritev2(BigInt(call.fd), BigInt(iovecs), count, position, call.operationFlags);
}

function setIovec(address: number, length: number): void {
  iovecWords[0] = (address % TWO_32) | 0;
  iovecWords[1] = (address / TWO_32) | 0;
  iovecWords[2] = length;
  iovecWords[3] = 0;
}
