// Tests of ChunkTable against sets: bits, runs, room, what stays and what goes.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { ChunkTable } from "./chunk-table.ts";

/** What a chunk is in a set: used by the tree or by memory, and busy. */
interface Model {
  readonly used: Set<number>;
  readonly busy: Set<number>;
  readonly limit: number;
}

function roomIn({ used, busy, limit }: Model): number[] {
  return Array.from({ length: limit }, (_, block) => block).filter(
    (block) => !used.has(block) && !busy.has(block),
  );
}

for (const [chunkBlocks, limit] of [
  [16, 16],
  [32, 32],
  [256, 256],
  [256, 77],
  [1024, 1000],
] as const) {
  test(`a chunk of ${limit} of ${chunkBlocks} blocks does what sets do`, () => {
    const prng = new Prng(`${chunkBlocks} ${limit}`);
    const table = new ChunkTable(chunkBlocks);
    const words = new Uint32Array(table.width);
    const model: Model = { used: new Set(), busy: new Set(), limit };
    const record = table.record(3, 77, limit);
    table.enter(record);
    let isFull = false;
    for (let step = 0; step < 400; step++) {
      const first = prng.below(limit);
      const count = 1 + prng.below(Math.min(limit - first, prng.chance(0.2) ? 100 : 3));
      const isOn = prng.chance(0.5);
      const isUsed = prng.chance(0.5);
      if (isUsed) table.setUsed(record, first, count, isOn);
      else table.setBusy(record, first, count, isOn);
      for (let block = first; block < first + count; block++) {
        const set = isUsed ? model.used : model.busy;
        if (isOn) set.add(block);
        else set.delete(block);
      }
      if (prng.chance(0.05) && table.isDirty(record)) {
        table.store(record, words, 0);
        for (let block = 0; block < limit; block++) {
          const isSet = (((words[block >>> 5] as number) >>> (block & 31)) & 1) === 1;
          strictEqual(isSet, model.used.has(block), `bit ${block}`);
        }
      }
      if (step === 200) {
        table.fill(record, words, 0);
        isFull = true;
      }
      if (!isFull) continue;
      const room = roomIn(model);
      strictEqual(table.roomOf(record), room.length);
      const from = prng.below(limit);
      const next = room.find((block) => block >= from) ?? -1;
      strictEqual(table.firstRoom(record, from), next);
      if (next < 0) continue;
      let length = 0;
      while (length < 90 && room.includes(next + length)) length++;
      strictEqual(table.runLength(record, next, 90), length);
    }
  });
}

test("what is known wins over the tree, the rest is the tree's", () => {
  const table = new ChunkTable(32);
  const record = table.record(0, 1, 32);
  table.setUsed(record, 4, 2, true);
  table.setUsed(record, 8, 2, false);
  const words = Uint32Array.of(0x0000_ff00);
  table.store(record, words, 0);
  strictEqual(words[0], 0x0000_fc30);
  table.fill(record, words, 0);
  strictEqual(table.roomOf(record), 32 - 8);
});

test("a chunk leaves the table when nothing needs it, and comes back empty", () => {
  const table = new ChunkTable(64);
  const record = table.record(1, 2, 64);
  table.setUsed(record, 0, 1, true);
  table.setBusy(record, 5, 1, true);
  table.drop(record);
  strictEqual(table.find(1, 2), record, "dirty");
  table.store(record, new Uint32Array(2), 0);
  table.drop(record);
  strictEqual(table.find(1, 2), record, "busy");
  table.setBusy(record, 5, 1, false);
  table.drop(record);
  strictEqual(table.find(1, 2), -1);
  strictEqual(table.size, 0);
  strictEqual(table.dirtyGroups, 0);
  const again = table.record(1, 3, 64);
  ok(!table.isFull(again) && !table.isDirty(again));
  table.fill(again, new Uint32Array(2), -1);
  strictEqual(table.roomOf(again), 64);
});

test("groups of dirty chunks are counted, by disk", () => {
  const table = new ChunkTable(16);
  for (const [disk, chunk] of [
    [0, 0],
    [0, 15],
    [0, 16],
    [1, 0],
    [1, 4_000_000_000],
  ] as const) {
    table.setUsed(table.record(disk, chunk, 16), 0, 1, true);
  }
  strictEqual(table.dirtyGroups, 4);
  for (const record of table.dirty) table.store(record, new Uint32Array(1), 0);
  strictEqual(table.dirtyGroups, 0);
});

test("the room of a stock follows its chunks", () => {
  const table = new ChunkTable(32);
  table.stockRooms.push(0, 0);
  const record = table.record(1, 0, 32);
  table.fill(record, new Uint32Array(1), -1);
  table.enter(record);
  table.setStock(record, true);
  strictEqual(table.stockRooms[1], 32);
  table.setUsed(record, 0, 5, true);
  table.setBusy(record, 4, 3, true);
  strictEqual(table.stockRooms[1], 25);
  table.setLimit(record, 16);
  strictEqual(table.stockRooms[1], 9);
  table.setStock(record, false);
  strictEqual(table.stockRooms[1], 0);
});
