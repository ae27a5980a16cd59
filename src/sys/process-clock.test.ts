/** Processor time of processes, checked against what Node says of its own. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { processorTimeNs } from "./process-clock.ts";

const BURN_MS = 60;
const BURN = `const end = performance.now() + ${BURN_MS}; while (performance.now() < end);`;

test("processorTimeNs counts a thread when it has ended", async () => {
  const usageBefore = process.cpuUsage();
  const before = processorTimeNs(process.pid) ?? 0;
  await once(new Worker(BURN, { eval: true }), "exit");
  const countedUs = ((processorTimeNs(process.pid) ?? 0) - before) / 1e3;
  const usage = process.cpuUsage(usageBefore);
  // Node's figure encloses ours, but for the kernel's tick on each side.
  assert.ok(countedUs > 0, `${countedUs} us`);
  assert.ok(Math.abs(usage.user + usage.system - countedUs) < 25_000, JSON.stringify(usage));
});

test("processorTimeNs returns null when there is no such process", () => {
  const { pid } = spawnSync("true");
  assert.equal(processorTimeNs(pid), null);
});
