// The medium below a sparse disk is full: changes end with an error, nothing hangs, and what was
// acknowledged is there when there is space again.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { DeviceError } from "../../block/device-error.ts";
import type { PromiseDevice } from "../../block/promise-device.ts";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import type { Pool } from "../pool.ts";

const MIB = 2 ** 20;
const BLOCK = 4096;
const BLOCKS = 12_000;
const FIRST_WRITES = 300;
const WRITES = 6000;
const CLIENTS = 16;

/** A pool with some data that no checkpoint has seen, on a medium that is full from now on. */
class FullMedium {
  readonly world = new PoolWorld({ seed: 1, diskBytes: [64 * MIB], cacheBytes: MIB });
  readonly #prng = new Prng(1);
  /** By block: what was acknowledged last. */
  readonly #acknowledged = new Map<number, number>();
  /** Codes of writes that failed. */
  readonly failures = new Set<string>();

  async open(): Promise<{ pool: Pool; device: PromiseDevice }> {
    const pool = await this.world.open();
    await pool.createVolume({ name: "v", sizeBytes: BLOCKS * BLOCK });
    const device = await openForTest(pool, "v");
    for (let count = 0; count < FIRST_WRITES; count++) await this.write(device, 1);
    this.isFull = true;
    return { pool, device };
  }

  set isFull(isFull: boolean) {
    const disk = this.world.world.disk();
    disk.spacePages = isFull ? disk.usedPages : Number.POSITIVE_INFINITY;
  }

  async write(device: PromiseDevice, version: number): Promise<void> {
    const block = this.#prng.below(BLOCKS);
    const before = this.#acknowledged.get(block);
    this.#acknowledged.delete(block);
    try {
      await device.writeAt(block * BLOCK, new Uint8Array(BLOCK).fill(version));
      this.#acknowledged.set(block, version);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      this.failures.add(error.code);
      if (before !== undefined) this.#acknowledged.set(block, before);
    }
  }

  /** With space again: everything is there that was acknowledged. */
  async check(): Promise<void> {
    this.isFull = false;
    const pool = await this.world.open();
    deepStrictEqual((await walkPool(pool.parts)).problems, []);
    const device = await openForTest(pool, "v");
    for (const [block, version] of this.#acknowledged) {
      const found = await device.readAt(block * BLOCK, BLOCK);
      ok(
        found.every((byte) => byte === version),
        `block ${block} is as acknowledged`,
      );
    }
    await device.close();
    await this.world.exported(pool);
  }
}

test("an export onto a full medium fails at once, and loses nothing", async () => {
  const medium = new FullMedium();
  const { world } = medium;
  await world.run(async () => {
    const { pool, device } = await medium.open();
    await device.close();
    const before = world.world.nowMs;
    await rejects(pool.export(), /pages could not be written or read: no-space/);
    ok(world.world.nowMs - before < 1000, "it does not wait for space");
    await pool.close();
  });
  world.kill();
  await world.run(() => medium.check());
});

test("an import onto a full medium fails at once, and loses nothing", async () => {
  const medium = new FullMedium();
  const { world } = medium;
  await world.run(() => medium.open());
  world.kill();
  await world.run(() => rejects(world.open(), /pages could not be written or read: no-space/));
  world.kill();
  await world.run(() => medium.check());
});

test("writes onto a full medium end, and nothing that was acknowledged is lost", async () => {
  const medium = new FullMedium();
  const { world } = medium;
  await world.run(async () => {
    const { pool, device } = await medium.open();
    let left = WRITES;
    const client = async (): Promise<void> => {
      while (left-- > 0) await medium.write(device, 2 + (left % 100));
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    ok(medium.failures.size > 0, "writes have failed");
    await device.close();
    await pool.close();
  });
  world.kill();
  await world.run(() => medium.check());
});

test("a checkpoint waits for space for a while, and goes on when there is some", async () => {
  const medium = new FullMedium();
  const { world } = medium;
  await world.run(async () => {
    const { pool, device } = await medium.open();
    const checkpoint = pool.parts.checkpointer.run("in use");
    await new Promise<void>((resolve) => {
      device.device.reactor.clock.startTimer(3000, resolve);
    });
    medium.isFull = false;
    await checkpoint;
    strictEqual(pool.info.state, "online");
    await device.close();
    await world.exported(pool);
  });
  await world.run(() => medium.check());
});
