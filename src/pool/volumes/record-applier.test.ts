/** Records that make no sense, and what the applier tells. Its work is tested by pools. */

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import type { Pool } from "../pool.ts";
import { OBJECT_RECORD_WORDS } from "./object-record.ts";

const MIB = 2 ** 20;

async function withPool(body: (pool: Pool) => Promise<void>): Promise<void> {
  const world = new PoolWorld({ seed: 1, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    await body(pool);
    world.kill();
  });
}

test("RecordApplier leaves out and counts records that make no sense, and changes nothing", () =>
  withPool(async (pool) => {
    const { applier, catalogue } = pool.parts;
    const before = pool.info.usedBytes;
    const id = catalogue.byName("v")?.id ?? 0;
    const checksums = new Uint32Array(4);
    const record = { objectId: id, first: 0, count: 1, address: 5000, epoch: 1 };
    const unknown = { ...record, objectId: id + 100, checksums, checksumsAt: 0 };
    strictEqual(applier.write(unknown, 1), true);
    const beyond = { ...record, first: 2 ** 32 - 1, count: 2, checksums, checksumsAt: 0 };
    strictEqual(applier.write(beyond, 1), true);
    strictEqual(applier.unmap(id + 100, 0, 1, false, 1), true);
    strictEqual(applier.object(new Uint32Array(OBJECT_RECORD_WORDS), 0), true);
    strictEqual(applier.objectGone(id + 100), true);
    strictEqual(applier.properties(id, Uint8Array.of(1, 0, 255, 255, 255, 255, 65)), true);
    strictEqual(applier.properties(id + 100, new Uint8Array(0)), true);
    strictEqual(applier.leftOut, 7);
    strictEqual(pool.info.usedBytes, before);
    strictEqual(pool.volumes().length, 1);
  }));

test("RecordApplier does not let an object go that maps blocks still", () =>
  withPool(async (pool) => {
    const { applier, catalogue } = pool.parts;
    const device = await openForTest(pool, "v");
    await device.writeAt(0, new Uint8Array(4096).fill(1));
    const id = catalogue.byName("v")?.id ?? 0;
    applier.objectGone(id);
    strictEqual(applier.leftOut, 1);
    strictEqual(catalogue.byId(id)?.name, "v");
  }));

test("RecordApplier calls at once when nothing waits, and tells how much is used", () =>
  withPool(async (pool) => {
    const { applier } = pool.parts;
    let calls = 0;
    applier.whenDrained(() => calls++);
    strictEqual(calls, 1);
    const device = await openForTest(pool, "v");
    applier.onUsedChanged = () => calls++;
    await device.writeAt(0, new Uint8Array(4096).fill(1));
    strictEqual(calls, 2);
    await device.writeAt(0, new Uint8Array(4096).fill(2));
    strictEqual(calls, 2);
    strictEqual(applier.appliedSequence > 0, true);
  }));
