// Records of the log, as they are put and read.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { addressOf } from "../pool-layout.ts";
import {
  cutWords,
  OBJECT_WORDS,
  objectGoneWords,
  propertiesWords,
  putCut,
  putNothing,
  putObject,
  putObjectGone,
  putProperties,
  putUnmap,
  putVersions,
  putWrite,
  RecordReader,
  RecordType,
  unmapWords,
  VERSION_WORDS,
  versionsWords,
  writeWords,
} from "./log-record.ts";

const WORDS = 1000;

function words(): Uint32Array {
  return new Uint32Array(WORDS).fill(0xeeee_eeee);
}

test("a write's record is read as it was put", () => {
  const checksums = Uint32Array.from([1, 0xffff_ffff, 3, 4]);
  for (const address of [1, addressOf(31, 2 ** 42 - 9), addressOf(3, 2 ** 33 + 5)]) {
    for (const first of [0, 2 ** 32 - 3]) {
      const record = { objectId: 7, first, count: 3, address, epoch: 9, checksums, checksumsAt: 1 };
      const memory = words();
      const end = putWrite(memory, 10, record);
      strictEqual(end, 10 + writeWords(3));
      const reader = new RecordReader();
      strictEqual(reader.read(memory, 10, end), end);
      strictEqual(reader.type, RecordType.write);
      const { checksums: read, checksumsAt, ...rest } = reader.write;
      deepStrictEqual(rest, { objectId: 7, first, count: 3, address, epoch: 9 });
      deepStrictEqual([...read.subarray(checksumsAt, checksumsAt + 3)], [0xffff_ffff, 3, 4]);
    }
  }
});

test("an unmap's record is read as it was put, of all blocks there may be, too", () => {
  for (const [first, count] of [
    [0, 1],
    [5, 70_000],
    [0, 2 ** 32],
    [2 ** 32 - 1, 1],
  ] as const) {
    for (const punch of [false, true]) {
      const memory = words();
      const end = putUnmap(memory, 1, 0xffff_ffff, first, count, punch);
      strictEqual(end, 1 + unmapWords());
      const reader = new RecordReader();
      strictEqual(reader.read(memory, 1, end), end);
      const { type, objectId } = reader;
      deepStrictEqual([type, objectId], [RecordType.unmap, 0xffff_ffff]);
      deepStrictEqual([reader.first, reader.count, reader.punch], [first, count, punch]);
    }
  }
});

test("records of objects, their end, properties and nothing are read as they were put", () => {
  const object = Uint32Array.from({ length: OBJECT_WORDS + 4 }, (_, index) => index * 7);
  object[OBJECT_WORDS + 1] = 0;
  const properties = Buffer.from("nineteen bytes here");
  const memory = words();
  const places = [3];
  places.push(putObject(memory, 3, object, 2));
  places.push(putObjectGone(memory, places.at(-1) as number, 14));
  places.push(putProperties(memory, places.at(-1) as number, 15, properties));
  places.push(putProperties(memory, places.at(-1) as number, 16, new Uint8Array(0)));
  places.push(putNothing(memory, places.at(-1) as number));
  const end = places.at(-1) as number;
  const reader = new RecordReader();
  const next = () => reader.read(memory, places.shift() as number, end);
  strictEqual(next(), 3 + OBJECT_WORDS);
  deepStrictEqual(reader.object, object.slice(2, OBJECT_WORDS + 2));
  strictEqual(next(), 3 + OBJECT_WORDS + objectGoneWords());
  deepStrictEqual([reader.type, reader.objectId], [RecordType.objectGone, 14]);
  strictEqual(next(), 3 + OBJECT_WORDS + objectGoneWords() + propertiesWords(19));
  deepStrictEqual([reader.objectId, Buffer.from(reader.properties)], [15, properties]);
  next();
  deepStrictEqual([reader.objectId, reader.properties.length], [16, 0]);
  strictEqual(next(), end);
  strictEqual(reader.type, RecordType.nothing);
});

test("records of versions and of cuts are read as they were put", () => {
  const versions = Uint32Array.from({ length: 2 * VERSION_WORDS }, (_, index) => index * 3);
  const reader = new RecordReader();
  for (const advances of [false, true]) {
    const memory = words();
    const end = putVersions(memory, 4, versions, 2, advances);
    strictEqual(end, 4 + versionsWords(2));
    strictEqual(reader.read(memory, 4, end), end);
    deepStrictEqual(
      [reader.type, reader.count, reader.advancesEpoch],
      [RecordType.versions, 2, advances],
    );
    const { versionsAt } = reader;
    const read = reader.versions.subarray(versionsAt, versionsAt + 2 * VERSION_WORDS);
    deepStrictEqual([...read], [...versions]);
  }
  for (const cutEnd of [1, 2 ** 32]) {
    const memory = words();
    const end = putCut(memory, 2, 77, cutEnd);
    strictEqual(end, 2 + cutWords());
    strictEqual(reader.read(memory, 2, end), end);
    deepStrictEqual([reader.type, reader.objectId, reader.end], [RecordType.cut, 77, cutEnd]);
  }
});

test("RecordReader refuses records that are cut off at any word", () => {
  const checksums = new Uint32Array(9);
  const put: readonly ((memory: Uint32Array) => number)[] = [
    (memory) =>
      putWrite(memory, 0, {
        objectId: 1,
        first: 2,
        count: 9,
        address: 3,
        epoch: 1,
        checksums,
        checksumsAt: 0,
      }),
    (memory) => putUnmap(memory, 0, 1, 2, 3, true),
    (memory) => putObject(memory, 0, new Uint32Array(OBJECT_WORDS), 0),
    (memory) => putObjectGone(memory, 0, 1),
    (memory) => putProperties(memory, 0, 1, new Uint8Array(33)),
    (memory) => putVersions(memory, 0, new Uint32Array(2 * VERSION_WORDS), 2, true),
    (memory) => putCut(memory, 0, 1, 2),
  ];
  const reader = new RecordReader();
  for (const [index, write] of put.entries()) {
    const memory = words();
    const end = write(memory);
    for (let cut = 1; cut < end; cut++) {
      strictEqual(reader.read(memory, 0, cut), "bad", `record ${index} of ${cut} words`);
    }
  }
});

test("RecordReader tells unknown types from bad ones, and survives random words", () => {
  const reader = new RecordReader();
  for (const type of [0, 9, 10, 255]) {
    strictEqual(reader.read(Uint32Array.of(type, 0, 0, 0), 0, 4), "unknown");
  }
  const noBlocks = Uint32Array.of(RecordType.write, 1, 2, 3, 4, 5);
  strictEqual(reader.read(noBlocks, 0, 6), "bad");
  const beyond = Uint32Array.of(RecordType.unmap, 1, 0xffff_ffff, 2);
  strictEqual(reader.read(beyond, 0, 4), "bad");
  strictEqual(reader.read(Uint32Array.of(RecordType.versions, 0, 0), 0, 3), "bad");
  const random = new Prng(8);
  for (let round = 0; round < 20_000; round++) {
    const memory = Uint32Array.from({ length: 1 + random.below(20) }, () => random.nextUint32());
    memory[0] = random.below(10) + random.below(2 ** 24) * 256;
    const next = reader.read(memory, 0, memory.length);
    if (typeof next === "number") strictEqual(next > 0 && next <= memory.length, true);
  }
});
