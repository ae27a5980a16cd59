// Records of versions: what makes sense, and what is left out as a whole.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { uuidOfName } from "../../util/uuid.ts";
import { VERSION_WORDS } from "../log/log-record.ts";
import type { Pool } from "../pool.ts";
import { OBJECT_RECORD_WORDS, type ObjectRecord, writeObjectRecord } from "./object-record.ts";
import { planVersions, type VersionChange } from "./version-plan.ts";
import type { VolumeState } from "./volume-state.ts";

const MIB = 2 ** 20;

interface Family {
  readonly pool: Pool;
  readonly volume: VolumeState;
  readonly snapshot: VolumeState;
}

/** A pool with a volume v, 3 blocks of it mapped, and a snapshot v@s of that. */
async function withFamily(body: (family: Family) => Promise<void>): Promise<void> {
  const world = new PoolWorld({ seed: 1, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: 8 * MIB });
    const device = await openForTest(pool, "v");
    await device.writeAt(0, new Uint8Array(3 * 4096).fill(1));
    await device.close();
    await pool.createSnapshot("v", "s");
    const { catalogue } = pool.parts;
    const [volume, snapshot] = [catalogue.byName("v"), catalogue.byName("v@s")];
    ok(volume !== undefined && snapshot !== undefined);
    await body({ pool, volume, snapshot });
    world.kill();
  });
}

/** A clone of the snapshot. */
function cloneOf({ snapshot }: Family): ObjectRecord {
  return {
    ...snapshot.record(),
    kind: "volume",
    id: 9,
    uuid: uuidOfName("a clone"),
    name: "c",
    originId: snapshot.id,
    sharedThrough: snapshot.takenEpoch,
    takenEpoch: 0,
    ownerId: 0,
  };
}

/** What the next snapshot of the volume would be. */
function nextOf({ volume }: Family, epoch: number): VersionChange[] {
  const taken: ObjectRecord = {
    ...volume.record(),
    kind: "snapshot",
    id: 10,
    uuid: uuidOfName("another snapshot"),
    name: "v@t",
    takenEpoch: epoch,
    ownerId: volume.id,
  };
  const goesOn = { ...volume.record(), originId: 10, sharedThrough: epoch };
  return [
    { record: taken, rootOf: volume.id, placeOf: volume.id },
    { record: goesOn, rootOf: 0, placeOf: 0 },
  ];
}

test("planVersions says what becomes of content and places", () =>
  withFamily(async (family) => {
    const { pool, snapshot } = family;
    const byId = (id: number) => pool.parts.catalogue.byId(id);
    const [plan] =
      planVersions([{ record: cloneOf(family), rootOf: snapshot.id, placeOf: 0 }], byId) ?? [];
    deepStrictEqual(plan?.place, { originId: snapshot.id, sharedThrough: 1 });
    deepStrictEqual(plan.content, { root: { ...snapshot.tree.root }, mappedBlocks: 3 });
    const [taken, goesOn] = planVersions(nextOf(family, 2), byId) ?? [];
    deepStrictEqual(taken?.place, { originId: snapshot.id, sharedThrough: 1 });
    deepStrictEqual(goesOn?.place, { originId: 10, sharedThrough: 2 });
    strictEqual(goesOn.content, null);
    const own = { record: snapshot.record(), rootOf: 0, placeOf: snapshot.id };
    deepStrictEqual(planVersions([own], byId), [
      { record: own.record, content: null, place: null },
    ]);
  }));

test("planVersions refuses what makes no sense, whatever it is", () =>
  withFamily(async (family) => {
    const { pool, volume, snapshot } = family;
    const byId = (id: number) => pool.parts.catalogue.byId(id);
    const clone = cloneOf(family);
    const good: VersionChange = { record: clone, rootOf: snapshot.id, placeOf: 0 };
    const [taken, goesOn] = nextOf(family, 2) as [VersionChange, VersionChange];
    const s = snapshot.record();
    const bad: readonly [string, readonly VersionChange[]][] = [
      ["twice", [good, good]],
      ["no content", [{ ...good, rootOf: 0 }]],
      ["content of nobody", [{ ...good, rootOf: 77 }]],
      ["place of nobody", [{ ...good, placeOf: 77 }]],
      ["the place of an object that is not there", [{ ...good, placeOf: clone.id }]],
      ["no such origin", [{ ...good, record: { ...clone, originId: 77 } }]],
      ["a volume as origin", [{ ...good, record: { ...clone, originId: volume.id } }]],
      ["another border", [{ ...good, record: { ...clone, sharedThrough: 2 } }]],
      ["a border without origin", [{ ...good, record: { ...clone, originId: 0 } }]],
      ["without the snapshot", [goesOn]],
      ["a ring", [{ record: { ...s, originId: s.id, sharedThrough: 1 }, rootOf: 0, placeOf: 0 }]],
      ["older than its origin", [{ ...taken, record: { ...taken.record, takenEpoch: 1 } }, goesOn]],
      ["another kind", [{ record: { ...s, kind: "volume" }, rootOf: 0, placeOf: s.id }]],
      ["another uuid", [{ record: { ...s, uuid: clone.uuid }, rootOf: 0, placeOf: s.id }]],
      ["another family", [{ record: { ...s, family: 5 }, rootOf: 0, placeOf: s.id }]],
      ["content of another family", [{ ...good, record: { ...clone, family: 5 } }]],
      ["another epoch", [{ record: { ...s, takenEpoch: 5 }, rootOf: 0, placeOf: s.id }]],
    ];
    ok(planVersions([good], byId) !== null);
    for (const [what, changes] of bad) strictEqual(planVersions(changes, byId), null, what);
  }));

test("RecordApplier leaves out versions and cuts that make no sense, and changes nothing", () =>
  withFamily(async (family) => {
    const { pool, volume, snapshot } = family;
    const { applier, catalogue, cache } = pool.parts;
    const words = new Uint32Array(2 * VERSION_WORDS);
    const put = (changes: readonly VersionChange[]) => {
      words.fill(0);
      for (const [index, { record, rootOf, placeOf }] of changes.entries()) {
        writeObjectRecord(record, words, index * VERSION_WORDS);
        words[index * VERSION_WORDS + OBJECT_RECORD_WORDS] = rootOf;
        words[index * VERSION_WORDS + OBJECT_RECORD_WORDS + 1] = placeOf;
      }
      return applier.versions(words, 0, changes.length, true);
    };
    const [, goesOn] = nextOf(family, 2) as [VersionChange, VersionChange];
    strictEqual(put([goesOn]), true);
    // Of an epoch that has not begun.
    strictEqual(put(nextOf(family, 3)), true);
    strictEqual(applier.cut(snapshot.id, 2 ** 32, 1), true);
    strictEqual(applier.cut(77, 1, 1), true);
    strictEqual(applier.objectGone(snapshot.id), true);
    const record = { first: 0, count: 1, address: 5000, epoch: 1 };
    const write = {
      ...record,
      objectId: snapshot.id,
      checksums: new Uint32Array(1),
      checksumsAt: 0,
    };
    strictEqual(applier.write(write, 1), true);
    strictEqual(applier.unmap(snapshot.id, 0, 3, false, 1), true);
    deepStrictEqual([applier.leftOut, cache.epoch], [7, 2]);
    deepStrictEqual([volume.mappedBlocks, snapshot.mappedBlocks], [3, 3]);
    strictEqual(catalogue.byName("v@t"), undefined);
    strictEqual(volume.origin, snapshot);
  }));

test("an import refuses a catalogue in which an origin makes no sense", async () => {
  const world = new PoolWorld({ seed: 2, diskBytes: [64 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    await pool.createVolume({ name: "v", sizeBytes: MIB });
    await pool.createSnapshot("v", "s");
    const volume = pool.parts.catalogue.byName("v");
    ok(volume !== undefined);
    volume.tree.sharing.through = 2;
    volume.isRecordNew = true;
    await world.exported(pool);
  });
  await world.run(async () => {
    const failed = await world.open().then(
      () => null,
      (error: unknown) => error as { code: string; message: string },
    );
    strictEqual(failed?.code, "pool-damaged");
    ok(failed.message.includes("origin"));
    world.kill();
  });
});
