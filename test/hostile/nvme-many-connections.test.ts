/**
 * Thousands of NVMe/TCP connections that come and go or stay silent: memory stays bounded, nothing
 * leaks, controllers are given back, other hosts are served as before.
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { cycles } from "../../src/testing/cycles.ts";
import { ALL_LEVELS, forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { capsule, connectCommand, icReq } from "../../src/testing/nvme-bytes.ts";
import { NvmeProbe, subsystemOf } from "../../src/testing/nvme-health.ts";
import { NvmeRawClient } from "../../src/testing/nvme-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { openFileCount, residentBytes, sharedBytes } from "../../src/testing/process-usage.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";
import { settles } from "../../src/testing/settles.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const PIPE = "malloc:///m?size=4MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:test";
const IDLE_COUNT = forLongRun(400, 1000);
const CYCLE_COUNT = forLongRun(1000, 10_000);
const AT_ONCE = 20;
const MIB = 2 ** 20;
/** Far more than a connection's state, far less than a buffer for each of them would be. */
const IDLE_BYTES_MAX = 48 * MIB;
/** V8 lets garbage pile up until it is worth collecting. */
const GROWTH_BYTES_MAX = 40 * MIB;
const SHARED_GROWTH_BYTES_MAX = 3 * MIB;
/** A silent peer without a controller is ended after some 30 s; sweeps come on top. */
const SILENCE_MS_MAX = 60_000;

// Half a minute of waiting: every day at one level.
const silenceOptions = { levels: forLongRun(["uring"] as const, ALL_LEVELS) };

forEachLevel("NVMe/TCP connections that stay silent", silenceOptions, async (t, level) => {
  const server = await startPenstock(t, PIPE, { level });
  const probe = await NvmeProbe.open(server.uri, new Prng(testSeed(t)));
  await exercise(probe);
  const before = { memory: residentBytes(server.pid), files: openFileCount(server.pid) };
  const idle: RawSocket[] = [];
  while (idle.length < IDLE_COUNT) {
    const batch = Array.from({ length: AT_ONCE }, (_, index) => silentHost(server.uri, index));
    idle.push(...(await Promise.all(batch)));
  }
  await exercise(probe);
  const growth = residentBytes(server.pid) - before.memory;
  t.diagnostic(`${Math.round(growth / IDLE_COUNT)} bytes per silent connection`);
  assert.ok(growth < IDLE_BYTES_MAX, `${growth} bytes more for ${IDLE_COUNT} connections`);
  const ended = Promise.all(idle.map((raw) => raw.closed));
  await Promise.race([
    ended,
    sleep(SILENCE_MS_MAX, undefined, { ref: false }).then(() => {
      const left = idle.filter((raw) => !raw.isClosed).length;
      assert.fail(`${left} silent connections are still there after ${SILENCE_MS_MAX} ms`);
    }),
  ]);
  await settles(
    () => openFileCount(server.pid) <= before.files,
    () => `${openFileCount(server.pid)} open files instead of ${before.files}`,
  );
  await exercise(probe);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

const cycleOptions = { timeoutMs: forLongRun(120, 900) * 1000 };

forEachLevel("NVMe/TCP connections that come and go", cycleOptions, async (t, level) => {
  const server = await startPenstock(t, PIPE, { level });
  const prng = new Prng(testSeed(t));
  const cycle = () => oneCycle(server.uri, prng);
  await cycles({ count: CYCLE_COUNT / 2, atOnce: AT_ONCE }, cycle);
  await sleep(500);
  const files = openFileCount(server.pid);
  const memory = residentBytes(server.pid);
  const shared = sharedBytes(server.pid);
  await cycles({ count: CYCLE_COUNT, atOnce: AT_ONCE }, cycle);
  await settles(
    () => openFileCount(server.pid) <= files,
    () => `${openFileCount(server.pid)} open files instead of ${files}`,
  );
  const growthNow = () => residentBytes(server.pid) - memory;
  await settles(
    () => growthNow() < GROWTH_BYTES_MAX,
    () => `${growthNow()} bytes more after ${CYCLE_COUNT} connections`,
  );
  const sharedGrowth = sharedBytes(server.pid) - shared;
  t.diagnostic(`${growthNow()} bytes more, ${sharedGrowth} of them shared`);
  assert.ok(sharedGrowth < SHARED_GROWTH_BYTES_MAX, `${sharedGrowth} shared bytes more`);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

async function exercise(probe: NvmeProbe): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) {
    await probe.check();
  }
}

/** Falls silent at one of several points before it has a controller. */
async function silentHost(uri: string, index: number): Promise<RawSocket> {
  const raw = await RawSocket.connect(uri);
  const { sqe, data } = connectCommand({ qid: 0, subsystem: subsystemOf(uri) });
  const connect = capsule(sqe, undefined, data);
  switch (index % 4) {
    case 0:
      break;
    case 1:
      await raw.write(icReq().subarray(0, 60));
      break;
    case 2:
      await raw.write(icReq());
      await raw.read(128);
      break;
    default:
      await raw.write(icReq());
      await raw.read(128);
      await raw.write(connect.subarray(0, 200));
  }
  return raw;
}

/** An association of two queues, some work, then one of the ways to leave. */
async function oneCycle(uri: string, prng: Prng): Promise<void> {
  const digests = { header: prng.chance(0.5), data: prng.chance(0.5) };
  const options = { subsystem: subsystemOf(uri), digests };
  const admin = await NvmeRawClient.openAdmin(uri, options);
  const io = await NvmeRawClient.openIo(uri, admin, options);
  const block = prng.below(256) * 8;
  await io.write(block, Buffer.alloc(4096 * (1 + prng.below(16)), 1), 512);
  await io.read(block, 8, 512);
  const [first, second] = prng.chance(0.5) ? [admin, io] : [io, admin];
  if (prng.chance(0.3)) {
    await admin.setProperty(0x14, 0x0046_4001);
  }
  first.raw.destroy(prng.chance(0.5));
  if (first === admin || prng.chance(0.5)) {
    second.raw.destroy(prng.chance(0.5));
  } else {
    second.raw.end();
  }
  await Promise.all([first.raw.closed, second.raw.closed]);
}
