// An import of many volumes after a kill: pages are read side by side, and each once. Counts and
// the fake machine's time, which does not depend on this one.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { PromiseDevice } from "../../block/promise-device.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;
const VOLUMES = 300;
const VOLUME_BYTES = 64 * MIB;
/** Of one read or write, when it is not slow, as one in 256 is. */
const TRANSFER_MS = 1;

test("an import of many volumes reads their pages side by side", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [256 * MIB], cacheBytes: 16 * MIB });
  const disk = world.world.disk();
  const prng = new Prng(1);
  await world.run(async () => {
    const pool = await world.open();
    const bytes = new Uint8Array(BLOCK).fill(1);
    const devices: PromiseDevice[] = [];
    for (let index = 0; index < VOLUMES; index++) {
      const properties = new Map([["owner", new Uint8Array(16)]]);
      await pool.createVolume({ name: `v${index}`, sizeBytes: VOLUME_BYTES, properties });
      devices.push(await openForTest(pool, `v${index}`));
    }
    const writeAll = (): Promise<unknown> =>
      Promise.all(
        devices.map((each) => each.writeAt(prng.below(VOLUME_BYTES / BLOCK) * BLOCK, bytes)),
      );
    await writeAll();
    await pool.parts.checkpointer.run("in use");
    await writeAll();
    world.kill();
  });
  disk.transferLatency = { minMs: TRANSFER_MS, maxMs: TRANSFER_MS };
  await world.run(async () => {
    const pool = await world.open();
    const { framesReplayed, tookMs } = pool.findings;
    ok(framesReplayed > 0, "there is a log to be replayed");
    strictEqual(pool.info.usedBytes, (2 * VOLUMES - pool.parts.space.waitingBlocks) * BLOCK);
    // A page of each volume, their records and properties: read one by one they take longer.
    const pages = VOLUMES + Math.ceil(VOLUMES / 7) + Math.ceil(VOLUMES / 4);
    ok(tookMs < (pages * TRANSFER_MS) / 8, `${tookMs} ms for ${pages} pages`);
    await pool.close();
    world.kill();
  });
});
