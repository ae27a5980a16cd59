// What inspect tells of a pool with snapshots whose process was killed.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { CrashDisk, type DiskImage } from "../../testing/crash-disk.ts";
import { openForTest, poolEnvironment } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { Pool } from "../pool.ts";
import { inspectPool } from "./inspect-pool.ts";

const MIB = 2 ** 20;
const VOLUME_BYTES = 2 * MIB;

function disk(reactor: Reactor, image?: DiskImage): CrashDisk {
  const options = { name: "disk", sizeBytes: 32 * MIB, instanceId: uuidOfName("disk") };
  return new CrashDisk(reactor, image === undefined ? options : { ...options, image });
}

test("inspectPool lists, walks and exports snapshots, and counts those that wait to go", () =>
  withReactor("fake", async ({ reactor }) => {
    const random = new Prng(1);
    const first = disk(reactor);
    const environment = poolEnvironment(reactor, "inspect");
    const pool = await Pool.create(environment, [first], { name: "p", cacheBytes: MIB });
    await pool.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
    const device = await openForTest(pool, "v");
    const contents: Uint8Array[] = [];
    for (const name of ["one", "two"]) {
      const content = new Uint8Array(VOLUME_BYTES);
      random.fill(content);
      await device.writeAt(0, content);
      contents.push(content);
      await pool.createSnapshot("v", name);
    }
    await device.writeAt(0, new Uint8Array(MIB));
    await pool.cloneSnapshot("v@one", { name: "c" });
    // Two versions begin with it: it waits for one to go.
    await pool.deleteVolume("v@one");
    await pool.deleted();
    await device.close();
    const image = first.kill(random);

    const target = await MallocDevice.open(reactor, {
      name: "target",
      sizeBytes: VOLUME_BYTES,
      instanceId: uuidOfName("target"),
    });
    const found = new Uint8Array(VOLUME_BYTES);
    const close = target.close.bind(target);
    target.close = async () => {
      const bytes = await new PromiseDevice(target).readAt(0, VOLUME_BYTES);
      found.set(bytes);
      await close();
    };
    const order = { volume: "v@two", openTarget: async () => target };
    const again = poolEnvironment(reactor, "again");
    const said = await inspectPool(again, [disk(reactor, image)], { check: true, export: order });
    deepStrictEqual(said.walk?.problems, []);
    deepStrictEqual(
      said.volumes.map(({ name, origin }) => [name, origin]),
      [
        ["c", ""],
        ["v", ""],
      ],
    );
    deepStrictEqual(
      said.snapshots.map(({ name, usedBytes }) => [name, usedBytes]),
      [["v@two", VOLUME_BYTES]],
    );
    strictEqual(said.deletedVersions, 1);
    ok(contents[1] !== undefined);
    deepStrictEqual(found, contents[1]);
  }));
