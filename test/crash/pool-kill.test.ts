/**
 * kill -9 of an engine with a pool on two disks, while replicas come, are written and go: after
 * each kill the pool's trees, maps and counters agree, every replica is there that must be, and
 * holds every acknowledged write; what was not acknowledged is there or not, sector by sector.
 *
 * safety rule 1: acknowledged data survives kill -9 of every process of ours.
 */

import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine } from "../../src/api/engine-client.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { PENSTOCK, startEngine } from "../../src/testing/penstock-process.ts";
import { PoolChurn } from "../../src/testing/pool-churn.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const DISK_BYTES = 64 * MIB;
const DISK_COUNT = 2;
const REPLICA_BYTES = 8 * MIB;
const KILLS = forLongRun(3, 200);
/** In each round, however slow the machine is: less would show nothing. */
const WRITES_MIN = 50;
/** Before each kill so many replicas are made or ended, at most. */
const CHANGES_MAX = 4;
/** Then the next change is on its way, somewhere. */
const DELAY_MS_MAX = 150;

forEachLevel(
  "kill -9 of a pool loses no replica and no acknowledged write",
  {
    levels: forLongRun(["uring"], ["uring", "portable"]),
    timeoutMs: forLongRun(300_000, 3_600_000),
  },
  async (t, level) => {
    const prng = new Prng(testSeed(t));
    const folder = makeTempDir(t);
    const disks = Array.from({ length: DISK_COUNT }, (_, index) => join(folder, `disk-${index}`));
    for (const disk of disks) {
      writeFileSync(disk, "");
      truncateSync(disk, DISK_BYTES);
    }
    const start = () => startEngine(t, join(folder, "data"), { level, args: ["--no-supervisor"] });
    const churn = new PoolChurn({ pool: "p", sizeBytes: REPLICA_BYTES, prng: prng.fork("churn") });
    let engine = await start();
    const pool = { name: "p", disks };
    await askEngine(parseEngineAddress(engine.uri), ({ pools }) => pools.createPool(pool));
    for (let kill = 1; kill <= KILLS; kill++) {
      const writes = churn.acknowledgedCount + WRITES_MIN;
      const changes = churn.changeCount + prng.below(CHANGES_MAX + 1);
      const running = churn.run(engine);
      const enough = async (): Promise<void> => {
        while (churn.acknowledgedCount < writes || churn.changeCount < changes) await sleep(1);
        await sleep(prng.below(DELAY_MS_MAX));
      };
      // What goes wrong before the kill is told at once.
      await Promise.race([enough(), running]);
      assert.deepEqual(await engine.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
      await running;
      await runCommand(PENSTOCK, ["pool", "inspect", ...disks, "--check"]);
      engine = await start();
      await churn.recover(engine);
    }
    t.diagnostic(`${churn.acknowledgedCount} writes, ${churn.changeCount} replicas made or ended`);
    await askEngine(parseEngineAddress(engine.uri), ({ pools }) => pools.exportPool({ name: "p" }));
    assert.deepEqual(await engine.stop(), { code: 0, signal: null });
    await runCommand(PENSTOCK, ["pool", "inspect", ...disks, "--check"]);
  },
);
