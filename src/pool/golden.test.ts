// Pools as earlier versions have written them: they are imported, hold what they held, are right in
// all their accounts, can be used and exported, for ever. PENSTOCK_UPDATE_GOLDEN=1 writes a file
// that is missing; it overwrites none.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../block/promise-device.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { CrashDisk } from "../testing/crash-disk.ts";
import {
  GOLDEN_NOTE,
  GOLDEN_POOLS,
  GOLDEN_VOLUMES,
  keepGolden,
  makeGolden,
  readGolden,
} from "../testing/golden-pool.ts";
import { type PoolImages, tryImages } from "../testing/pool-images.ts";
import { poolEnvironment } from "../testing/pool-rig.ts";
import { uuidOfName } from "../util/uuid.ts";
import { walkPool } from "./check/pool-walk.ts";
import { inspectPool } from "./inspect/inspect-pool.ts";
import { Pool } from "./pool.ts";

const MIB = 2 ** 20;

function openDisks(reactor: Reactor, { disks, sizesBytes }: PoolImages): CrashDisk[] {
  return sizesBytes.map((sizeBytes, index) => {
    const name = `disk${index}`;
    const image = disks[index] ?? new Map();
    return new CrashDisk(reactor, { name, sizeBytes, instanceId: uuidOfName(name), image });
  });
}

for (const golden of GOLDEN_POOLS) {
  test(`${golden.file}: all is there, by looking and by an import`, () =>
    withReactor("fake", async ({ reactor }) => {
      if (process.env.PENSTOCK_UPDATE_GOLDEN === "1") {
        keepGolden(golden, await makeGolden(reactor, golden));
      }
      const images = readGolden(golden);
      const environment = poolEnvironment(reactor, "looks");
      const looked = await inspectPool(environment, openDisks(reactor, images), { check: true });
      deepStrictEqual(looked.walk?.problems, []);
      strictEqual(looked.info.checksum, golden.checksum);
      deepStrictEqual(
        looked.volumes.map(({ name, sizeBytes, isThin }) => ({ name, sizeBytes, isThin })),
        [...GOLDEN_VOLUMES].sort((a, b) => (a.name < b.name ? -1 : 1)),
      );
      // Only processes died, or the power failed: all of it was flushed.
      for (const instance of [0, 1]) {
        const outcome = await tryImages(reactor, images, instance === 0 ? "" : "another");
        const hasLog = (outcome.findings?.framesReplayed ?? 0) > 0;
        strictEqual(hasLog, golden.end === "kill");
        const { refused, lost, wrong, gone } = outcome;
        deepStrictEqual({ refused, lost, wrong, gone }, NOTHING_WRONG);
      }
    }));

  test(`${golden.file}: it can be used, scrubbed, and exported`, () =>
    withReactor("fake", async ({ reactor }) => {
      const disks = openDisks(reactor, readGolden(golden));
      const pool = await Pool.import(poolEnvironment(reactor, "uses"), disks, { cacheBytes: MIB });
      deepStrictEqual(pool.properties("thin").get("user.note"), GOLDEN_NOTE);
      deepStrictEqual(pool.properties(null).get("user.pool"), GOLDEN_NOTE);
      await pool.createVolume({ name: "new", sizeBytes: MIB });
      await pool.deleteVolume("thick");
      const device = new PromiseDevice(await pool.openVolume("new", { stageName: "new" }));
      await device.writeAt(0, new Uint8Array(MIB).fill(3));
      ok((await device.readAt(0, MIB)).every((byte) => byte === 3));
      await device.close();
      await pool.deleted();
      deepStrictEqual((await walkPool(pool.parts)).problems, []);
      const { damagedCount, badCopies } = await pool.scrub().done;
      deepStrictEqual([damagedCount, badCopies], [0, 0]);
      await pool.export();
    }));
}

test("what is made by the same steps now holds the same", () =>
  withReactor("fake", async ({ reactor }) => {
    for (const golden of GOLDEN_POOLS) {
      const outcome = await tryImages(reactor, await makeGolden(reactor, golden), "another");
      const { refused, lost, wrong, gone } = outcome;
      deepStrictEqual({ refused, lost, wrong, gone }, NOTHING_WRONG);
    }
  }));

const NOTHING_WRONG = { refused: null, lost: [], wrong: [], gone: [] };
