// Tests of the files below the mirror of `npm start`: which leg is copied over which.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { legPath, repairLegs, writeState } from "./start-legs.ts";

const NAMES = ["disk", "scratch"] as const;
const LEG_COUNT = 3;
const SIZE_BYTES = 4 * 2 ** 20;
const DATA_AT = 3 * 2 ** 20;

/** Each leg holds its own number. */
function makeLegs(folder: string): void {
  for (const name of NAMES) {
    for (let leg = 0; leg < LEG_COUNT; leg++) {
      const bytes = Buffer.alloc(SIZE_BYTES);
      bytes.fill(leg + 1, DATA_AT);
      writeFileSync(legPath(folder, name, leg), bytes);
    }
  }
}

function legsAre(folder: string): number[][] {
  return NAMES.map((name) =>
    Array.from({ length: LEG_COUNT }, (_, leg) => {
      const bytes = readFileSync(legPath(folder, name, leg));
      strictEqual(bytes.length, SIZE_BYTES);
      return bytes[DATA_AT] as number;
    }),
  );
}

test("repairLegs leaves equal legs alone, and a folder without any", async (t) => {
  const folder = makeTempDir(t);
  strictEqual(await repairLegs(folder, NAMES, LEG_COUNT), null);
  makeLegs(folder);
  await writeState(folder, { inSync: [0, 1, 2], isClean: true });
  strictEqual(await repairLegs(folder, NAMES, LEG_COUNT), null);
  deepStrictEqual(legsAre(folder)[0], [1, 2, 3]);
});

test("repairLegs copies a leg that was in sync over the others, sparsely", async (t) => {
  const cases = [
    { inSync: [1, 2], isClean: true, source: 1 },
    { inSync: [2], isClean: false, source: 2 },
    { inSync: [0, 1, 2], isClean: false, source: 0 },
  ];
  for (const { source, ...state } of cases) {
    const folder = makeTempDir(t);
    makeLegs(folder);
    await writeState(folder, state);
    strictEqual(await repairLegs(folder, NAMES, LEG_COUNT), source);
    deepStrictEqual(
      legsAre(folder)[1],
      Array.from({ length: LEG_COUNT }, () => source + 1),
    );
    const target = (source + 1) % LEG_COUNT;
    const { blocks } = statSync(legPath(folder, "disk", target));
    strictEqual(blocks * 512 <= SIZE_BYTES / 2, true, `${blocks} blocks`);
  }
});

test("repairLegs refuses to guess when no leg that was in sync is there", async (t) => {
  const folder = makeTempDir(t);
  writeFileSync(join(folder, "disk-1.img"), "x");
  await writeState(folder, { inSync: [1], isClean: false });
  await rejects(repairLegs(folder, NAMES, LEG_COUNT), { code: "data-dir-invalid" });
});
