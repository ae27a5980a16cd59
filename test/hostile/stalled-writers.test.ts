/**
 * Clients that announce long writes, send a few bytes of each and fall silent, or go on one
 * crumb at a time: they hold no more memory than their share, and other clients write as before.
 */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { Command } from "../../src/proto/nbd/constants.ts";
import { checkLongTransfer, HealthProbe } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { request } from "../../src/testing/nbd-bytes.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { residentBytes } from "../../src/testing/process-usage.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
/** Beyond it other clients write. */
const PROBE_BYTES = 4 * MIB;
const STALLED_COUNT = 400;
const AT_ONCE = 20;
/** Some fit a buffer of any size, some are as long as a write may be. */
const LENGTHS = [4096, 60_000, MIB, 4 * MIB, 32 * MIB];
const PAYLOAD_BYTES_SENT = 3000;
const CRUMB_BYTES = 100;
const WATCH_MS = 2500;
const GROWTH_BYTES_MAX = 160 * MIB;

forEachLevel("clients that stall in the middle of their writes", {}, async (t, level) => {
  const pipes = [
    "malloc:///victim?size=128MiB | nbd://127.0.0.1:0/vol",
    "malloc:///other?size=4MiB | nbd://127.0.0.1:0/other",
  ];
  const server = await startPenstock(t, pipes, { level });
  const prng = new Prng(testSeed(t));
  const before = residentBytes(server.pid);
  const stalled: NbdRawClient[] = [];
  while (stalled.length < STALLED_COUNT) {
    const batch = Array.from({ length: AT_ONCE }, (_, index) => stalledWriter(server.uri, index));
    stalled.push(...(await Promise.all(batch)));
  }
  // They come after the memory is taken, which is the hard case.
  const probes = await Promise.all(
    server.uris.map((uri) => HealthProbe.open(uri, prng.fork(uri), PROBE_BYTES)),
  );
  const probing = Promise.all(probes.map((probe) => probe.run()));
  const crumb = Buffer.alloc(CRUMB_BYTES, 0x7e);
  for (const startMs = performance.now(); performance.now() - startMs < WATCH_MS; ) {
    await Promise.all(stalled.slice(0, STALLED_COUNT / 4).map(({ raw }) => raw.write(crumb)));
    await sleep(100);
  }
  await checkLongTransfer(server.uri, 32 * MIB);
  for (const probe of probes) {
    probe.stop();
  }
  await probing;
  const growth = residentBytes(server.pid) - before;
  const slowest = Math.max(...probes.map(({ slowestMs }) => slowestMs));
  t.diagnostic(`${growth} bytes more; slowest request ${slowest} ms`);
  assert.ok(growth < GROWTH_BYTES_MAX, `${growth} bytes more`);

  for (const { raw } of stalled) {
    raw.destroy();
  }
  await checkLongTransfer(server.uri, 32 * MIB);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

async function stalledWriter(uri: string, index: number): Promise<NbdRawClient> {
  const client = await NbdRawClient.open(uri);
  const length = LENGTHS[index % LENGTHS.length] ?? MIB;
  await client.raw.write(request({ command: Command.write, cookie: 1, offset: 64 * MIB, length }));
  await client.raw.write(Buffer.alloc(PAYLOAD_BYTES_SENT, 0x7e));
  return client;
}
