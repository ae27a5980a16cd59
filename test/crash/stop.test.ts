/**
 * SIGTERM and SIGINT, idle and under load: requests are drained, the exit code is 0, it takes not
 * much longer than the storage needs to flush, and no reply is cut in half.
 */

import assert from "node:assert/strict";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Command, CommandFlag } from "../../src/proto/nbd/constants.ts";
import { usualBackingsOf } from "../../src/testing/backings.ts";
import type { TestScope } from "../../src/testing/cleanup.ts";
import { ALL_LEVELS, forEachLevel, type Level } from "../../src/testing/levels.ts";
import { type Answer, NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { type PenstockProcess, startPenstock } from "../../src/testing/penstock-process.ts";
import { ConnectionClosed, RawSocket } from "../../src/testing/raw-socket.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const SIZE_BYTES = 32 * 2 ** 20;
/** Two seconds is what people are told; a busy machine takes its time. */
const STOP_MS_MAX = 8000;
/** The slow reader goes on then; draining cuts off what has not been read after 1500 ms. */
const READ_AFTER_MS = 100;
/** For what was sent to arrive. */
const ARRIVAL_MS = 500;
const DEPTH = 32;
const LOAD_MS = 250;

forEachLevel(
  "a stop under load keeps what was acknowledged",
  { levels: ALL_LEVELS },
  async (t, level) => {
    for (const backing of usualBackingsOf(level)) {
      await t.test(backing.name, { skip: backing.skip }, async (t) => {
        const source = await backing.make(t, SIZE_BYTES);
        const stage = `${source.stage} | nbd://127.0.0.1:0/vol`;
        const server = await startPenstock(t, stage, { level });
        const prng = new Prng(testSeed(t));
        const writer = new VerifiedWriter({ lengthBytes: SIZE_BYTES, prng, depth: DEPTH });
        const client = await NbdRawClient.open(server.uri);
        const load = writer.run(client);
        await sleep(LOAD_MS);
        while (writer.acknowledgedCount <= DEPTH) await sleep(1);
        await stopInTime(server, "SIGTERM", makeTempDir(t));
        await load;
        assertCleanEnd(client);
        assert.ok(writer.acknowledgedCount > DEPTH, `only ${writer.acknowledgedCount} writes`);
        if (source.path !== undefined) {
          writer.check(readFileSync(source.path));
        }
      });
    }
  },
);

forEachLevel("a stop answers every request that has arrived", {}, async (t, level) => {
  const path = join(makeTempDir(t), "disk.img");
  const pipe = `file://${path}?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/vol`;
  const server = await startPenstock(t, pipe, { level });
  const client = await NbdRawClient.open(server.uri);
  const payload = Buffer.alloc(8192, 0x5c);
  // Durable writes are slow, so the answer to the first finds most of the others in flight.
  const answers = Array.from({ length: DEPTH }, (_, index) =>
    client.command({
      command: Command.write,
      flags: CommandFlag.fua,
      offset: index * payload.length,
      length: payload.length,
      payload,
    }),
  );
  await answers[0];
  await stopInTime(server, "SIGTERM", makeTempDir(t));
  const errors = (await Promise.all(answers)).map(({ error }) => error);
  assert.deepEqual(errors, new Array(DEPTH).fill(0));
  assertCleanEnd(client);
  const written = readFileSync(path).subarray(0, DEPTH * payload.length);
  assert.ok(written.equals(Buffer.alloc(written.length, 0x5c)), "every answered write is there");
});

forEachLevel("a stop waits for no idle or stuck client", {}, async (t, level) => {
  // Side by side: most of the time is the limit for clients that do not read.
  await Promise.all([stopBesideStuck(t, level, "SIGTERM"), stopBesideStuck(t, level, "SIGINT")]);
});

async function stopBesideStuck(t: TestScope, level: Level, signal: NodeJS.Signals): Promise<void> {
  const socketPath = join(makeTempDir(t), "nbd.sock");
  const pipe = `malloc:///m?size=${SIZE_BYTES}B | nbd+unix:///vol?socket=${socketPath}`;
  const server = await startPenstock(t, pipe, { level });
  const idle = await NbdRawClient.open(server.uri);
  const halfOpen = await RawSocket.connect(server.uri);
  const deaf = await NbdRawClient.open(server.uri);
  const unread = await requestUnread(deaf);
  assert.equal(unread.length, DEPTH);
  const stuck = await NbdRawClient.open(server.uri);
  // The header of a write without its data.
  void stuck.command({ command: Command.write, offset: 0, length: 65536 });
  await sleep(200);
  await stopInTime(server, signal, makeTempDir(t));
  await Promise.all([idle.raw.closed, halfOpen.closed, stuck.raw.closed]);
  deaf.raw.destroy();
  assertCleanEnd(idle);
  assert.equal(existsSync(socketPath), false, "the socket is gone");
}

forEachLevel("a stop sends the answers that a slow reader fetches", {}, async (t, level) => {
  const pipe = `malloc:///m?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/vol`;
  const server = await startPenstock(t, pipe, { level });
  const client = await NbdRawClient.open(server.uri);
  const answers = await requestUnread(client);
  await sleep(ARRIVAL_MS);
  const stopped = stopInTime(server, "SIGTERM", makeTempDir(t));
  await sleep(READ_AFTER_MS);
  client.raw.resumeReading();
  for (const { error, data } of await Promise.all(answers)) {
    assert.equal(error, 0);
    assert.ok(data.equals(Buffer.alloc(data.length, 0x3a)));
  }
  await stopped;
  assertCleanEnd(client);
});

/** Asks for more than all buffers on the way hold, and reads nothing of it. */
async function requestUnread(client: NbdRawClient): Promise<Promise<Answer>[]> {
  const length = 2 ** 20;
  // Zeroes would be answered as a hole, in a few bytes.
  await client.write(0, Buffer.alloc(length, 0x3a));
  client.raw.stopReading();
  return Array.from({ length: DEPTH }, () => {
    return client.command({ command: Command.read, offset: 0, length });
  });
}

/** Exit code 0, and soon: beside what a flush of the same amount takes here and now. */
async function stopInTime(
  server: PenstockProcess,
  signal: NodeJS.Signals,
  folder: string,
): Promise<void> {
  const startMs = performance.now();
  const status = await server.stop(signal);
  const tookMs = performance.now() - startMs;
  assert.deepEqual(status, { code: 0, signal: null }, server.stderr);
  if (tookMs > STOP_MS_MAX) {
    const flushMs = measureFlushMs(folder);
    const limitMs = STOP_MS_MAX + flushMs;
    assert.ok(tookMs < limitMs, `stopped after ${tookMs} ms, a flush takes ${flushMs} ms`);
  }
}

function measureFlushMs(folder: string): number {
  const file = openSync(join(folder, "flush"), "w");
  writeSync(file, Buffer.alloc(SIZE_BYTES, 1));
  const startMs = performance.now();
  fsyncSync(file);
  const tookMs = performance.now() - startMs;
  closeSync(file);
  return tookMs;
}

/** The connection ended between two replies; a torn one has another failure. */
function assertCleanEnd(client: NbdRawClient): void {
  const { failure } = client;
  assert.ok(failure === undefined || failure instanceof ConnectionClosed, String(failure));
}
