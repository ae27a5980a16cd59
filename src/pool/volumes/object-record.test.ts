/** The codec of object records, and what names and sizes volumes may have. */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { uuidOfName } from "../../util/uuid.ts";
import {
  isSnapshotName,
  isVolumeName,
  isVolumeSize,
  OBJECT_RECORD_WORDS,
  type ObjectRecord,
  readObjectRecord,
  writeObjectRecord,
} from "./object-record.ts";

const RECORD: ObjectRecord = {
  id: 7,
  uuid: uuidOfName("a volume"),
  name: "vol-1",
  sizeBytes: 2 ** 44,
  isThin: false,
  isDeleting: true,
  createdMs: 1_800_000_000_000,
  mappedBlocks: 2 ** 32,
  root: { a: 2 ** 42 + 5, b: 2 ** 47 + 9, generation: 2 ** 40 + 1, level: 4, epoch: 3 },
  propertiesBytes: 126_976,
  propertiesCrc: 0xffff_fffe,
  kind: "volume",
  originId: 6,
  sharedThrough: 2 ** 31,
  takenEpoch: 0,
  cursor: 2 ** 32 - 1,
  family: 3,
  ownerId: 0,
  sharedBlocks: 2 ** 32,
};

const SNAPSHOT: Partial<ObjectRecord> = {
  kind: "snapshot",
  name: `${"v".repeat(128)}@${"s".repeat(127)}`,
  takenEpoch: 2 ** 31 + 1,
  ownerId: 7,
};

test("readObjectRecord gives what writeObjectRecord got", () => {
  const words = new Uint32Array(3 * OBJECT_RECORD_WORDS).fill(0xffff_ffff);
  const ends = [{ cursor: 0 }, { cursor: 2 ** 32 }];
  const plain = [{ isThin: true }, { isDeleting: false }, { name: "x".repeat(128) }];
  for (const changes of [{}, ...plain, ...ends, SNAPSHOT]) {
    const record: ObjectRecord = { ...RECORD, ...changes };
    writeObjectRecord(record, words, OBJECT_RECORD_WORDS);
    deepStrictEqual(readObjectRecord(words, OBJECT_RECORD_WORDS), record);
  }
  strictEqual(words[OBJECT_RECORD_WORDS - 1], 0xffff_ffff);
  strictEqual(words[2 * OBJECT_RECORD_WORDS], 0xffff_ffff);
});

test("readObjectRecord of any words is null or a record", () => {
  const prng = new Prng(5);
  const words = new Uint32Array(OBJECT_RECORD_WORDS);
  const bytes = new Uint8Array(words.buffer);
  strictEqual(readObjectRecord(words, 0), null);
  for (let round = 0; round < 3000; round++) {
    writeObjectRecord(RECORD, words, 0);
    for (let flip = 0; flip < 2; flip++) bytes[prng.below(bytes.length)] = prng.below(256);
    const record = readObjectRecord(words, 0);
    if (record === null) continue;
    strictEqual(isVolumeSize(record.sizeBytes) && isVolumeName(record.name), true);
  }
});

test("readObjectRecord: a snapshot is younger than its origin; families begin somewhere", () => {
  const words = new Uint32Array(OBJECT_RECORD_WORDS);
  writeObjectRecord({ ...RECORD, ...SNAPSHOT, takenEpoch: 2 ** 31 }, words, 0);
  strictEqual(readObjectRecord(words, 0), null);
  writeObjectRecord({ ...RECORD, family: 0 }, words, 0);
  strictEqual(readObjectRecord(words, 0)?.family, RECORD.id);
});

test("isSnapshotName draws the line", () => {
  for (const name of ["v@s", "a.b:c@2026-11-21T00:00", "ü@1"])
    strictEqual(isSnapshotName(name), true);
  const bad = ["v", "@s", "v@", "v@s@t", "v@/", "v@-s", `v@${"s".repeat(128)}`, "a b@s", "v@s "];
  for (const name of bad) strictEqual(isSnapshotName(name), false, name);
});

test("isVolumeName and isVolumeSize draw the line", () => {
  const good = ["a", "vol.1", "ü-2", "Replica_1", "a:c+d"];
  const bad = ["", "a@s", "/", "a/b", ".x", "-x", "a b", "a\n", "x".repeat(129), "ü".repeat(65)];
  for (const name of good) strictEqual(isVolumeName(name), true, name);
  for (const name of bad) strictEqual(isVolumeName(name), false, name);
  for (const size of [512, 4096, 2 ** 44]) strictEqual(isVolumeSize(size), true);
  for (const size of [0, 511, -512, 2 ** 44 + 512, Number.NaN])
    strictEqual(isVolumeSize(size), false);
});
