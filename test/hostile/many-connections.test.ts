/**
 * A thousand idle connections, and a thousand that come and go: memory stays bounded, nothing
 * leaks, and other clients are served as before.
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { Option } from "../../src/proto/nbd/constants.ts";
import { cycles } from "../../src/testing/cycles.ts";
import { HealthProbe } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { clientFlags, goData, option } from "../../src/testing/nbd-bytes.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { NbdRawHandshake } from "../../src/testing/nbd-raw-handshake.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import {
  openFileCount,
  processorMs,
  residentBytes,
  sharedBytes,
} from "../../src/testing/process-usage.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";
import { settles } from "../../src/testing/settles.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const PIPE = "malloc:///m?size=4MiB | nbd://127.0.0.1:0/vol";
const IDLE_COUNT = 1000;
const CYCLE_COUNT = forLongRun(1000, 20_000);
const AT_ONCE = 20;
const MIB = 2 ** 20;
/** Far more than a connection's state, far less than a buffer for each of them would be. */
const IDLE_BYTES_MAX = 48 * MIB;
/** V8 lets garbage pile up until it is worth collecting. */
const GROWTH_BYTES_MAX = 40 * MIB;
/** Buffers are pooled, so here a page lost per cycle shows at once: 4 MiB and more. */
const SHARED_GROWTH_BYTES_MAX = 3 * MIB;
const IDLE_WINDOW_MS = 2000;
/** One of several windows has to be quiet: collecting garbage once is not being busy. */
const IDLE_WINDOWS_MAX = 6;
const IDLE_SHARE_MAX = 0.05;

/** How far a client got before it fell silent. */
const STATES = ["connected", "greeted", "half an option", "negotiated", "half a request"] as const;

forEachLevel("a thousand idle connections", {}, async (t, level) => {
  const server = await startPenstock(t, PIPE, { level });
  const probe = await HealthProbe.open(server.uri, new Prng(testSeed(t)));
  await exercise(probe);
  const before = { memory: residentBytes(server.pid), files: openFileCount(server.pid) };
  const idle: RawSocket[] = [];
  while (idle.length < IDLE_COUNT) {
    const batch = Array.from({ length: AT_ONCE }, (_, index) => silentClient(server.uri, index));
    idle.push(...(await Promise.all(batch)));
  }
  // Some were not answered: the server may still have to accept them.
  await filesSettleAt(server.pid, before.files + IDLE_COUNT);
  await exercise(probe);
  const growth = residentBytes(server.pid) - before.memory;
  t.diagnostic(`${Math.round(growth / IDLE_COUNT)} bytes per idle connection`);
  assert.ok(growth < IDLE_BYTES_MAX, `${growth} bytes more for ${IDLE_COUNT} connections`);

  const shares: number[] = [];
  while (shares.length < IDLE_WINDOWS_MAX && !shares.some((share) => share < IDLE_SHARE_MAX)) {
    const cpuBefore = processorMs(server.pid);
    await sleep(IDLE_WINDOW_MS);
    shares.push((processorMs(server.pid) - cpuBefore) / IDLE_WINDOW_MS);
  }
  assert.ok(Math.min(...shares) < IDLE_SHARE_MAX, `busy for ${shares.join(", ")} of a core`);

  for (const raw of idle) {
    raw.destroy();
  }
  await filesSettleAt(server.pid, before.files);
  await exercise(probe);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

const cycleOptions = { timeoutMs: forLongRun(120, 600) * 1000 };

forEachLevel("a thousand connections come and go", cycleOptions, async (t, level) => {
  const server = await startPenstock(t, PIPE, { level });
  const prng = new Prng(testSeed(t));
  // Every size of buffer and every hidden class has been made once.
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

async function exercise(probe: HealthProbe): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) {
    await probe.check();
  }
}

async function silentClient(uri: string, index: number): Promise<RawSocket> {
  const raw = await RawSocket.connect(uri);
  const state = STATES[index % STATES.length] ?? "connected";
  const go = option(Option.go, goData("vol"));
  if (state === "connected") {
    await raw.read(18);
    return raw;
  }
  await raw.write(clientFlags(3));
  if (state === "half an option") {
    await raw.write(go.subarray(0, 17));
  }
  if (state === "negotiated" || state === "half a request") {
    await raw.read(18);
    await new NbdRawHandshake(raw).option(Option.go, goData("vol"));
    if (state === "half a request") {
      await raw.write(Buffer.from("25609513", "hex"));
    }
  }
  return raw;
}

async function filesSettleAt(pid: number, count: number): Promise<void> {
  await settles(
    () => openFileCount(pid) === count,
    () => `${openFileCount(pid)} open files instead of ${count}`,
  );
}

/** Some work, then one of the ways to leave. */
async function oneCycle(uri: string, prng: Prng): Promise<void> {
  const replies = prng.pick(["simple", "structured", "extended"] as const);
  const client = await NbdRawClient.open(uri, { replies });
  const offset = prng.below(512) * 4096;
  await client.write(offset, Buffer.alloc(4096 + prng.below(65_536), 1));
  await client.read(offset, 4096);
  if (prng.chance(0.5)) {
    await client.disconnect();
  } else {
    client.raw.destroy(prng.chance(0.5));
    await client.raw.closed;
  }
}
