// What a pool of 16 TiB knows in memory of its space: little, whatever has been written.

import { ok } from "node:assert/strict";
import { test } from "node:test";
import type { PromiseDevice } from "../../block/promise-device.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { ChunkHints } from "./chunk-hints.ts";

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const BLOCK = 4096;
const WRITES = 6000;
const AT_ONCE = 64;
/** The lease's and the stock's, and those with pages of the last checkpoint. */
const CHUNKS_MAX = 64;
/** A bit for each chunk; and 1/31 more above. */
const HINT_BYTES_MAX = 2.1 * MIB;
const CHUNK_BYTES = MIB;

test("16 TiB of space take a bitmap of chunks and a few chunks more", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [8 * TIB, 8 * TIB], cacheBytes: MIB });
  await world.run(async () => {
    const pool = await world.open();
    const devices: PromiseDevice[] = [];
    for (const name of ["a", "b", "c", "d"]) {
      await pool.createVolume({ name, sizeBytes: 4 * TIB });
      devices.push(await openForTest(pool, name));
    }
    const prng = new Prng(1);
    const bytes = new Uint8Array(BLOCK).fill(1);
    const { space, checkpointer } = pool.parts;
    const written: { device: PromiseDevice; offset: number }[] = [];
    let chunksMax = 0;
    for (let count = 0; count < WRITES; count += AT_ONCE) {
      // One in four is written again: what it replaces waits for reuse.
      const places = Array.from({ length: AT_ONCE }, (_, index) => {
        const fresh = { device: prng.pick(devices), offset: prng.below((4 * TIB) / BLOCK) * BLOCK };
        return index % 4 === 0 && written.length > 0 ? prng.pick(written) : fresh;
      });
      written.push(...places);
      await Promise.all(places.map(({ device, offset }) => device.writeAt(offset, bytes)));
      chunksMax = Math.max(chunksMax, space.table.size);
    }
    await devices[0]?.flush();
    await checkpointer.run("in use");
    await devices[0]?.flush();
    ok(chunksMax <= 2 * CHUNKS_MAX, `${chunksMax} chunks were known`);
    ok(space.table.size <= CHUNKS_MAX, `${space.table.size} chunks are known`);
    const hints = new ChunkHints((16 * TIB) / CHUNK_BYTES);
    ok(hints.bytes <= HINT_BYTES_MAX, `${hints.bytes} bytes of hints`);
    for (const device of devices) await device.close();
    await world.exported(pool);
  });
});
