// Hints of chunks that may have room, against a plain search.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { ChunkHints } from "./chunk-hints.ts";

test("ChunkHints says at first that every chunk may have room", () => {
  const hints = new ChunkHints(70);
  strictEqual(hints.next(0), 0);
  strictEqual(hints.next(69), 69);
  strictEqual(hints.next(70), 0);
});

test("ChunkHints of no chunks or of full ones finds none", () => {
  strictEqual(new ChunkHints(0).next(0), -1);
  const hints = new ChunkHints(40);
  for (let chunk = 0; chunk < 40; chunk++) hints.setRoom(chunk, false);
  for (let from = 0; from <= 40; from++) strictEqual(hints.next(from), -1);
});

test("ChunkHints finds what a plain search finds, when it grows as well", () => {
  const random = new Prng(6);
  for (let round = 0; round < 40; round++) {
    let count = 1 + random.below(3000);
    const hints = new ChunkHints(count);
    const model = new Array<boolean>(count).fill(true);
    // A density of ones that makes whole words and whole levels zero, too.
    const density = [0, 0.001, 0.05, 0.5][round % 4] as number;
    for (let step = 0; step < 2000; step++) {
      const chunk = random.below(count);
      const hasRoom = random.chance(density);
      hints.setRoom(chunk, hasRoom);
      model[chunk] = hasRoom;
      if (step === 1000) {
        const grown = count + random.below(200);
        hints.grow(grown);
        for (; count < grown; count++) model.push(true);
      }
      if (step % 50 > 0) continue;
      const from = random.below(count + 1);
      const after = model.indexOf(true, from);
      strictEqual(hints.next(from), after >= 0 ? after : model.indexOf(true));
    }
  }
});

test("ChunkHints of a disk of 16 TiB in chunks of 1 MiB are small", () => {
  const hints = new ChunkHints(2 ** 24);
  ok(hints.bytes < 2.2 * 2 ** 20);
  for (let chunk = 0; chunk < 100_000; chunk++) hints.setRoom(chunk, false);
  strictEqual(hints.next(0), 100_000);
});
