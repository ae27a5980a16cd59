/**
 * kill -9 of the server during verified writes, again and again on the same storage: every
 * acknowledged write is there, and what was not acknowledged is there or not, sector by sector.
 *
 * safety rule 1: acknowledged data survives kill -9 of every process of ours.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { usualBackingsOf } from "../../src/testing/backings.ts";
import { ALL_LEVELS, forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const SIZE_BYTES = 32 * 2 ** 20;
const ROUNDS = forLongRun(2, 40);
const CONNECTIONS = 2;
const DEPTH = 16;
const LOAD_MS_MIN = 50;
const LOAD_MS_MAX = 300;
/** In each round, however slow the machine is: less would show nothing. */
const WRITES_MIN = 20;
/** Each level and each file-like backing. */
const EVERYDAY = {
  uring: ["direct", "loop"],
  posix: ["buffered"],
  portable: ["buffered"],
  "uring apart": ["direct"],
} as const;

forEachLevel(
  "kill -9 loses no acknowledged write",
  { levels: ALL_LEVELS, timeoutMs: 600_000 },
  async (t, level) => {
    for (const backing of usualBackingsOf(level, EVERYDAY)) {
      if (backing.name === "malloc") continue;
      await t.test(backing.name, { skip: backing.skip }, async (t) => {
        const prng = new Prng(testSeed(t));
        const source = await backing.make(t, SIZE_BYTES);
        const path = source.path ?? "";
        // The same socket each time: a socket that a killed server left behind is no obstacle.
        const pipe = `${source.stage} | nbd+unix:///vol?socket=${join(makeTempDir(t), "nbd.sock")}`;
        const half = SIZE_BYTES / CONNECTIONS;
        const writers = Array.from(
          { length: CONNECTIONS },
          (_, index) =>
            new VerifiedWriter({
              offset: index * half,
              lengthBytes: half,
              prng: prng.fork(`writer ${index}`),
              depth: DEPTH,
            }),
        );
        const acknowledged = (): number =>
          writers.reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0);
        for (let round = 1; round <= ROUNDS; round += 1) {
          const server = await startPenstock(t, pipe, { level });
          // All are there before the time runs: a busy machine may take longer to greet them.
          const clients = await Promise.all(writers.map(() => NbdRawClient.open(server.uri)));
          const load = writers.map((writer, index) => writer.run(clients[index] as NbdRawClient));
          const before = acknowledged();
          await sleep(LOAD_MS_MIN + prng.below(LOAD_MS_MAX - LOAD_MS_MIN));
          while (acknowledged() < before + WRITES_MIN) await sleep(1);
          assert.deepEqual(await server.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
          await Promise.all(load);
          const content = readFileSync(path);
          for (const [index, writer] of writers.entries()) {
            writer.check(content.subarray(index * half, (index + 1) * half));
          }
        }
        t.diagnostic(`${acknowledged()} writes acknowledged in ${ROUNDS} rounds`);
      });
    }
  },
);
