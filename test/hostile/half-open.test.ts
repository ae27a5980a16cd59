/**
 * Connections that never finish their handshake are closed after its time limit, whether they say
 * nothing, stop half-way, or keep talking slowly. A session that is merely idle is left alone.
 */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Option } from "../../src/proto/nbd/constants.ts";
import { LEVELS } from "../../src/testing/levels.ts";
import { clientFlags, goData, option } from "../../src/testing/nbd-bytes.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";

/** The limit is 30 s; sweeps and a loaded machine come on top. */
const CLOSED_MS_MAX = 75_000;
const CLOSED_MS_MIN = 5_000;
const SLOW_PAUSE_MS = 1000;

const SILENT: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  "half of the flags": clientFlags(3).subarray(0, 2),
  flags: clientFlags(3),
  "half of an option": Buffer.concat([
    clientFlags(3),
    option(Option.go, goData("vol")).subarray(0, 20),
  ]),
  "a list, then nothing": Buffer.concat([clientFlags(3), option(Option.list)]),
};

// All levels at once: nearly all of the time is waiting.
suite("half-open connections", { concurrency: true }, () => {
  for (const level of LEVELS) {
    test(`are closed, at ${level.name}`, { timeout: 120_000 }, async (t) => {
      const pipe = "malloc:///m?size=1MiB | nbd://127.0.0.1:0/vol";
      const { uri } = await startPenstock(t, pipe, { level });
      const session = await NbdRawClient.open(uri);
      const closing = Object.entries(SILENT).map(async ([what, bytes]) => {
        const raw = await RawSocket.connect(uri);
        await raw.write(bytes);
        await assertClosedInTime(raw, what);
      });
      await Promise.all([...closing, slowTalker(uri), endlessTalker(uri)]);
      await session.write(0, Buffer.alloc(512, 9));
      assert.ok((await session.read(0, 512)).equals(Buffer.alloc(512, 9)));
      await session.disconnect();
    });
  }
});

/** One byte of a valid option each second. */
async function slowTalker(uri: string): Promise<void> {
  const raw = await RawSocket.connect(uri);
  const bytes = Buffer.concat([clientFlags(3), option(0x7777, Buffer.alloc(1000))]);
  const closed = assertClosedInTime(raw, "one byte each second");
  for (let at = 0; at < bytes.length && !raw.isClosed; at += 1) {
    await raw.write(bytes.subarray(at, at + 1));
    await sleep(SLOW_PAUSE_MS);
  }
  await closed;
}

/** A whole option each second, each answered, and never GO. */
async function endlessTalker(uri: string): Promise<void> {
  const raw = await RawSocket.connect(uri);
  const closed = assertClosedInTime(raw, "option after option");
  await raw.write(clientFlags(3));
  while (!raw.isClosed) {
    await raw.write(option(Option.list));
    await sleep(SLOW_PAUSE_MS);
  }
  await closed;
}

async function assertClosedInTime(raw: RawSocket, what: string): Promise<void> {
  const startMs = performance.now();
  await raw.readToEnd(CLOSED_MS_MAX);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs > CLOSED_MS_MIN, `${what}: closed after only ${tookMs} ms`);
}
