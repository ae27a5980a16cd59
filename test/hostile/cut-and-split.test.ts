/**
 * A valid session, cut off after every single byte, sent one byte at a time, and split anywhere.
 *
 * Cut: the server forgets the connection. Split: the answers are the same as in one piece.
 */

import assert from "node:assert/strict";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

import { checkHealth, HealthProbe } from "../../src/testing/health-probe.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { validSession } from "../../src/testing/nbd-valid-session.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { openFileCount } from "../../src/testing/process-usage.ts";
import { RawSocket } from "../../src/testing/raw-socket.ts";
import { settles } from "../../src/testing/settles.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const AT_ONCE = 32;
const SPLIT_COUNT = 40;
const PIPES = [
  "malloc:///victim?size=1MiB | nbd://127.0.0.1:0/vol",
  "malloc:///other?size=1MiB | nbd://127.0.0.1:0/other",
];

forEachLevel("a session cut off after any byte", {}, async (t, level) => {
  const server = await startPenstock(t, PIPES, { level });
  const prng = new Prng(testSeed(t));
  await checkHealth(server.uri, prng);
  // Its connection may be on its way out.
  await sleep(500);
  const filesBefore = openFileCount(server.pid);
  const bytes = validSession("vol");
  for (let start = 0; start <= bytes.length; start += AT_ONCE) {
    const lengths = Array.from({ length: AT_ONCE }, (_, index) => start + index);
    await Promise.all(
      lengths
        .filter((length) => length <= bytes.length)
        .map(async (length) => {
          const raw = await RawSocket.connect(server.uri);
          await raw.write(bytes.subarray(0, length));
          if (prng.chance(0.5)) {
            raw.destroy(prng.chance(0.5));
          } else {
            // Half-closed: what was asked is answered, then the server closes too.
            raw.end();
          }
          await raw.closed;
        }),
    );
  }
  await checkHealth(server.uri, prng);
  await settles(
    () => openFileCount(server.pid) <= filesBefore,
    () => `${openFileCount(server.pid)} open files instead of ${filesBefore}`,
  );
});

forEachLevel("a session in one piece, in single bytes, in any pieces", {}, async (t, level) => {
  const server = await startPenstock(t, PIPES, { level });
  const prng = new Prng(testSeed(t));
  const bytes = validSession("vol");
  const probe = await HealthProbe.open(server.uris[1] ?? "", prng.fork("probe"));
  const probing = probe.run();
  // Writes nothing new after the first time, so every answer stays the same.
  await answersTo(server.uri, [bytes]);
  const expected = await answersTo(server.uri, [bytes]);
  assert.ok(expected.length > 70_000, `only ${expected.length} bytes`);

  const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
  assert.ok((await answersTo(server.uri, single)).equals(expected), "byte by byte");
  for (let turn = 0; turn < SPLIT_COUNT; turn += 1) {
    const pieces = split(bytes, prng);
    const lengths = pieces.map(({ length }) => length).join(" ");
    assert.ok((await answersTo(server.uri, pieces)).equals(expected), `pieces of ${lengths}`);
  }
  probe.stop();
  await probing;
});

/** Sends the pieces in segments of their own; all the server said until it closed. */
async function answersTo(uri: string, pieces: readonly Buffer[]): Promise<Buffer> {
  const raw = await RawSocket.connect(uri);
  const answers = raw.readToEnd();
  for (const piece of pieces) {
    await raw.write(piece);
    await nextTurn();
  }
  return sortReplies(await answers);
}

/** Commands run side by side, so their replies may come in any order; here that is no matter. */
function sortReplies(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toSorted());
}

function split(bytes: Buffer, prng: Prng): Buffer[] {
  const pieces: Buffer[] = [];
  const pieceBytesMax = prng.pick([2, 7, 29, 100, 400]);
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + prng.below(pieceBytesMax);
    pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces;
}
