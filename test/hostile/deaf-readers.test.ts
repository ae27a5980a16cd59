/**
 * Clients that ask for gigabytes and read nothing, and one that floods without reading: memory
 * stays bounded, and another client is served as if they were not there.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Command } from "../../src/proto/nbd/constants.ts";
import { checkLongTransfer, HealthProbe } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { request } from "../../src/testing/nbd-bytes.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { residentBytes } from "../../src/testing/process-usage.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
/** Beyond it other clients write. */
const PROBE_BYTES = 4 * MIB;
const DEAF_COUNT = 64;
const READS_PER_CLIENT = 256;
/** All of them together ask for some 50 GiB. */
const READ_BYTES = [4096, 65_536, MIB, 16 * MIB];
const FLOOD_REQUESTS = 20_000;
/** The buffers of two reactors (64 MiB each), and room for the heap to breathe. */
const GROWTH_BYTES_MAX = 160 * MIB;
const WATCH_MS = 2500;

forEachLevel("clients that ask for gigabytes and read nothing", {}, async (t, level) => {
  const path = join(makeTempDir(t), "disk.img");
  const pipes = [
    `file://${path}?size=64MiB | nbd://127.0.0.1:0/vol`,
    "malloc:///other?size=4MiB | nbd://127.0.0.1:0/other",
  ];
  const server = await startPenstock(t, pipes, { level });
  const prng = new Prng(testSeed(t));
  await fill(server.uri);
  // Both on the same export and on another one.
  const probes = await Promise.all(
    server.uris.map((uri) => HealthProbe.open(uri, prng.fork(uri), PROBE_BYTES)),
  );
  const before = residentBytes(server.pid);
  const probing = Promise.all(probes.map((probe) => probe.run()));

  const late: Promise<Buffer>[] = [];
  const deaf = await Promise.all(
    Array.from({ length: DEAF_COUNT }, (_, index) => deafClient(server.uri, index, late)),
  );
  let mostBytes = 0;
  for (const startMs = performance.now(); performance.now() - startMs < WATCH_MS; ) {
    mostBytes = Math.max(mostBytes, residentBytes(server.pid) - before);
    await sleep(50);
  }
  // Newcomers, and requests that need more than a small buffer.
  await checkLongTransfer(server.uri, 32 * MIB);
  for (const probe of probes) {
    probe.stop();
  }
  await probing;
  const slowest = Math.max(...probes.map(({ slowestMs }) => slowestMs));
  const checks = probes.reduce((sum, { checkCount }) => sum + checkCount, 0);
  t.diagnostic(`${mostBytes} bytes more; ${checks} checks, slowest request ${slowest} ms`);
  assert.ok(mostBytes < GROWTH_BYTES_MAX, `${mostBytes} bytes more`);
  assert.ok(checks > 100, `only ${checks} checks in ${WATCH_MS} ms`);

  // The first one changes its mind: everything it asked for comes, whole.
  const first = deaf[0];
  assert.ok(first !== undefined);
  for (const client of deaf.slice(1)) {
    client.raw.destroy();
  }
  first.raw.resumeReading();
  for (const read of await Promise.all([...late, first.read(0, 4 * MIB)])) {
    assert.equal(read.length, 4 * MIB);
  }
  first.raw.destroy();
});

/** Data everywhere: holes would be answered in a few bytes. */
async function fill(uri: string): Promise<void> {
  const client = await NbdRawClient.open(uri);
  const chunk = Buffer.alloc(4 * MIB, 0x6b);
  for (let offset = 0; offset < client.sizeBytes; offset += chunk.length) {
    await client.write(offset, chunk);
  }
  await client.disconnect();
}

/** What the first one asks for goes into `late`. */
async function deafClient(
  uri: string,
  index: number,
  late: Promise<Buffer>[],
): Promise<NbdRawClient> {
  const client = await NbdRawClient.open(uri, {
    replies: index % 2 === 0 ? "structured" : "simple",
  });
  client.raw.stopReading();
  if (index === 0) {
    // Little, so that it can be read after all.
    for (let turn = 0; turn < 8; turn += 1) {
      late.push(client.read(0, 4 * MIB));
    }
    return client;
  }
  const length = READ_BYTES[index % READ_BYTES.length] ?? MIB;
  const header = request({ command: Command.read, cookie: 1, offset: 0, length });
  const count = length === 4096 ? FLOOD_REQUESTS : READS_PER_CLIENT;
  void client.raw.write(Buffer.concat(new Array<Buffer>(count).fill(header)));
  return client;
}
