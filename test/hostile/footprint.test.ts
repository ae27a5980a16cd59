/**
 * What a server costs that nobody uses, and what is left after it was used a lot.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { checkHealth } from "../../src/testing/health-probe.ts";
import { forEachLevel, LEVELS, type Level } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { processorMs, totalResidentBytes } from "../../src/testing/process-usage.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const EXPORT_COUNT = 100;
const SETTLE_MS = 2000;
const WINDOW_MS = 4000;
/** One of several windows has to be quiet: collecting garbage once is not being busy. */
const WINDOW_COUNT_MAX = 8;
const IDLE_SHARE_MAX = 0.01;

const MIB = 2 ** 20;
const RESIDENT_BYTES_MAX = 200 * MIB;
const DISK_MIB = 256;
const SERVED_MIB = forLongRun(1024, 10 * 1024);

// All levels at once: idle processes do not disturb each other.
suite("a hundred idle exports", { concurrency: true }, () => {
  for (const level of LEVELS) {
    test(`cost nothing, at ${level.name}`, { timeout: 180_000 }, (t) => checkIdle(t, level));
  }
});

forEachLevel(
  `resident memory after serving ${SERVED_MIB} MiB`,
  { skip: missingTools("nbdcopy"), timeoutMs: forLongRun(120, 1200) * 1000 },
  async (t, level) => {
    const folder = makeTempDir(t);
    const pipe = `file://${folder}/disk.img?size=${DISK_MIB}MiB | nbd://127.0.0.1:0/vol`;
    const server = await startPenstock(t, pipe, { level });
    const image = join(folder, "image");
    const fill = `head -c ${DISK_MIB}M /dev/zero | tr '\\0' 'p' >"$1"`;
    await runCommand("sh", ["-c", fill, "sh", image]);
    for (let servedMib = 0; servedMib < SERVED_MIB; servedMib += 2 * DISK_MIB) {
      await runCommand("nbdcopy", ["--connections=4", image, server.uri]);
      await runCommand("nbdcopy", ["--no-extents", "--connections=2", server.uri, "null:"]);
    }
    const bytes = totalResidentBytes(server.pid);
    t.diagnostic(`${Math.round(bytes / MIB)} MiB resident`);
    assert.ok(bytes < RESIDENT_BYTES_MAX, `${bytes} bytes resident`);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  },
);

async function checkIdle(t: TestContext, level: Level): Promise<void> {
  const folder = makeTempDir(t);
  const pipes = Array.from({ length: EXPORT_COUNT }, (_, index) => {
    return `malloc:///m${index}?size=1MiB | nbd+unix:///vol${index}?socket=${folder}/${index}`;
  });
  const server = await startPenstock(t, pipes, { level });
  await checkHealth(server.uri, new Prng(testSeed(t)));
  const clients = await Promise.all(server.uris.map((uri) => NbdRawClient.open(uri)));
  await sleep(SETTLE_MS);
  const shares: number[] = [];
  while (shares.length < WINDOW_COUNT_MAX && !shares.some((share) => share < IDLE_SHARE_MAX)) {
    const beforeMs = processorMs(server.pid);
    await sleep(WINDOW_MS);
    shares.push((processorMs(server.pid) - beforeMs) / WINDOW_MS);
  }
  t.diagnostic(`share of a core: ${shares.join(", ")}`);
  assert.ok(Math.min(...shares) < IDLE_SHARE_MAX, `busy for ${shares.join(", ")} of a core`);
  await Promise.all(clients.map((client) => client.disconnect()));
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
}
