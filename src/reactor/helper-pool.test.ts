// Tests of helper threads: every call is answered once, however many there are, and they end.

import { ok, strictEqual } from "node:assert/strict";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { probeCapabilities } from "../sys/capabilities.ts";
import { HELPER_CALLS_MAX, HelperCall } from "../sys/helper-queue.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Errno } from "./errno.ts";

const { ffi } = await probeCapabilities();
const skip = ffi.available ? false : ffi.reason;
const SEEK_HOLE = 4;
/** More than the queue holds, and more than once around it. */
const CALLS = HELPER_CALLS_MAX * 3 + 7;
/** All that a pool may have at once. */
const BROKEN_THREADS = 2;

/** Collects answers by slot until there are `count`. */
async function collect(
  pool: { reap(sink: { operationCompleted(slot: number, result: number): void }): number },
  count: number,
): Promise<Map<number, number>> {
  const answers = new Map<number, number>();
  const sink = {
    operationCompleted: (slot: number, result: number): void => {
      ok(!answers.has(slot), `slot ${slot} is answered once`);
      answers.set(slot, result);
    },
  };
  while (answers.size < count) {
    if (pool.reap(sink) === 0) await sleep(1);
  }
  strictEqual(pool.reap(sink), 0);
  return answers;
}

for (const threads of [1, 4]) {
  test(`HelperPool answers each call once, with ${threads} threads`, { skip }, async (t) => {
    const { HelperPool } = await import("./helper-pool.ts");
    const path = join(makeTempDir(t), "file");
    writeFileSync(path, Buffer.alloc(CALLS));
    const fd = openSync(path, "r");
    const pool = new HelperPool(threads, () => undefined);
    // Twice, so that the helpers have slept in between.
    for (let round = 0; round < 2; round++) {
      for (let slot = 0; slot < CALLS; slot++) {
        // Past the end there is nothing; before it the next hole is the end.
        const position = slot % 2 === 0 ? slot : CALLS + slot;
        pool.call(slot, HelperCall.seek, fd, 0, 0, position, SEEK_HOLE);
      }
      const answers = await collect(pool, CALLS);
      for (let slot = 0; slot < CALLS; slot++) {
        strictEqual(answers.get(slot), slot % 2 === 0 ? CALLS : -Errno.ENXIO, `slot ${slot}`);
      }
      await sleep(20);
    }
    await pool.close();
    await pool.close();
    closeSync(fd);
  });
}

test("HelperPool has a new thread when all have failed and calls wait", { skip }, async (t) => {
  const { HelperPool, makeHelper } = await import("./helper-pool.ts");
  const path = join(makeTempDir(t), "file");
  writeFileSync(path, Buffer.alloc(CALLS));
  const fd = openSync(path, "r");
  let threads = 0;
  let turns = 0;
  const pool = new HelperPool(
    BROKEN_THREADS,
    () => turns++,
    (memory) => {
      threads++;
      if (threads > BROKEN_THREADS) return makeHelper(memory);
      return new Worker("throw new Error('a helper that cannot start')", { eval: true });
    },
  );
  for (let slot = 0; slot < CALLS; slot++) {
    pool.call(slot, HelperCall.seek, fd, 0, 0, slot, SEEK_HOLE);
  }
  strictEqual(threads, BROKEN_THREADS);
  const answers = await collect(pool, CALLS);
  for (let slot = 0; slot < CALLS; slot++) {
    const expected = slot < HELPER_CALLS_MAX ? -Errno.EIO : CALLS;
    strictEqual(answers.get(slot), expected, `slot ${slot}`);
  }
  strictEqual(turns, 1, "nobody else tells of those answers");
  ok(threads > BROKEN_THREADS);
  await pool.close();
  closeSync(fd);
});
