// Tests of the files below the mirrors of `npm start`: which leg is copied over which, and what is
// known of them after which end.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { OutLeg } from "../pipe/stage-plan.ts";
import { DataDirectory } from "../engine/data-directory.ts";
import { PipeStore } from "../engine/pipe-store.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import {
  type LegFolder,
  legPath,
  noteServing,
  repairLegs,
  settleLegs,
  writeState,
} from "./start-legs.ts";

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

const ALL = [0, 1, 2];

function legFolder(t: TestContext): LegFolder {
  const path = makeTempDir(t);
  const engines = [1, 2, 3, 4].map((number) => join(path, `engine-${number}`));
  return { path, names: NAMES, legCount: LEG_COUNT, engines, level: "portable" };
}

function stateIn({ path }: LegFolder): unknown {
  return JSON.parse(readFileSync(join(path, "legs.json"), "utf8"));
}

function outLeg(number: number): OutLeg {
  return {
    leg: `1.${number + 1}`,
    fault: { kind: "timeout", reason: "x", time: "1ms", operation: "write", offset: 0 },
    // What a mirror needs of it to be opened again; nobody does here.
    info: { sizeBytes: 512, blockSizeBytes: 512, maxTransferBytes: 512 } as OutLeg["info"],
    operations: {} as OutLeg["operations"],
  };
}

/** As engines leave it that were killed: a pipe per disk, the mirrors' with what they know. */
async function storePipes(
  { engines }: LegFolder,
  out: Readonly<Record<string, readonly number[]>>,
): Promise<void> {
  for (const engine of engines) {
    mkdirSync(engine, { recursive: true });
    const store = await PipeStore.open(join(engine, "pipes"));
    for (const name of NAMES) {
      const outLegs = engine === engines.at(-1) ? (out[name] ?? []).map(outLeg) : [];
      const text = `null:///x?size=1MiB | nbd://127.0.0.1:0/${name}`;
      await store.put({ name, text, createdMs: 1, generation: 1, outLegs });
    }
  }
}

async function storedPipes({ engines }: LegFolder): Promise<number> {
  const stores = engines.map(async (engine) =>
    (await PipeStore.open(join(engine, "pipes"))).load(),
  );
  return (await Promise.all(stores)).reduce((count, { entries }) => count + entries.length, 0);
}

test("repairLegs leaves equal legs alone, and a folder without any", async (t) => {
  const folder = legFolder(t);
  await settleLegs(folder);
  strictEqual((await repairLegs(folder)).size, 0);
  makeLegs(folder.path);
  await writeState(folder.path, { inSync: { disk: ALL, scratch: ALL }, isClean: true });
  strictEqual((await repairLegs(folder)).size, 0);
  deepStrictEqual(legsAre(folder.path)[0], [1, 2, 3]);
});

test("repairLegs copies a leg that was in sync over the others, sparsely", async (t) => {
  const cases = [
    { inSync: { disk: [1, 2], scratch: ALL }, isClean: true, sources: { disk: 1 } },
    { inSync: { disk: [2], scratch: [1] }, isClean: false, sources: { disk: 2, scratch: 1 } },
    { inSync: { disk: ALL, scratch: ALL }, isClean: false, sources: { disk: 0, scratch: 0 } },
    // As an earlier version had it.
    { inSync: [1, 2], isClean: true, sources: { disk: 1, scratch: 1 } },
  ];
  for (const { sources, ...state } of cases) {
    const folder = legFolder(t);
    makeLegs(folder.path);
    writeFileSync(join(folder.path, "legs.json"), JSON.stringify(state));
    deepStrictEqual(Object.fromEntries(await repairLegs(folder)), sources);
    const expected = NAMES.map((name) => {
      const source = (sources as Record<string, number>)[name];
      return ALL.map((leg) => (source ?? leg) + 1);
    });
    deepStrictEqual(legsAre(folder.path), expected);
    const target = (sources.disk + 1) % LEG_COUNT;
    const { blocks } = statSync(legPath(folder.path, "disk", target));
    strictEqual(blocks * 512 <= SIZE_BYTES / 2, true, `${blocks} blocks`);
  }
});

test("repairLegs refuses to guess when no leg that was in sync is there", async (t) => {
  const folder = legFolder(t);
  writeFileSync(join(folder.path, "disk-1.img"), "x");
  await writeState(folder.path, { inSync: { disk: [1], scratch: ALL }, isClean: false });
  await rejects(repairLegs(folder), { code: "data-dir-invalid" });
});

test("a state that cannot be read is no state: nothing is copied", async (t) => {
  for (const text of ["", "{", "[]", '{"inSync":{"disk":0},"isClean":true}', '{"isClean":true}']) {
    const folder = legFolder(t);
    makeLegs(folder.path);
    writeFileSync(join(folder.path, "legs.json"), text);
    await rejects(repairLegs(folder), { code: "data-dir-invalid" }, text);
    deepStrictEqual(legsAre(folder.path)[0], [1, 2, 3]);
  }
});

test("a leg that the mirror's engine has stored as out is not copied from", async (t) => {
  const folder = legFolder(t);
  makeLegs(folder.path);
  await noteServing(folder);
  await storePipes(folder, { disk: [0], scratch: [2, 0] });
  await settleLegs(folder);
  deepStrictEqual(stateIn(folder), { inSync: { disk: [1, 2], scratch: [1] }, isClean: false });
  strictEqual(await storedPipes(folder), 0);
  // Again, as after a crash: what was taken over stays.
  await settleLegs(folder);
  deepStrictEqual(Object.fromEntries(await repairLegs(folder)), { disk: 1, scratch: 1 });
});

test("what is stored as out counts without a state of the starter's, too", async (t) => {
  const folder = legFolder(t);
  makeLegs(folder.path);
  await storePipes(folder, { disk: [0] });
  await settleLegs(folder);
  deepStrictEqual(stateIn(folder), { inSync: { disk: [1, 2], scratch: ALL }, isClean: false });
});

test("an end is clean for the legs whose engines have flushed, if there are any", async (t) => {
  const cases = [
    { failedLegs: [], out: {}, inSync: ALL, isClean: true },
    { failedLegs: [0], out: {}, inSync: [1, 2], isClean: true },
    { failedLegs: [0], out: { disk: [0] }, inSync: [1, 2], isClean: true },
    { failedLegs: [1, 2], out: { disk: [0] }, inSync: [1, 2], isClean: false },
  ];
  for (const { failedLegs, out, inSync, isClean } of cases) {
    const folder = { ...legFolder(t), names: ["disk"] };
    await noteServing(folder);
    await storePipes(folder, out);
    await settleLegs(folder, { isClean: true, failedLegs });
    deepStrictEqual(stateIn(folder), { inSync: { disk: inSync }, isClean });
  }
});

test("nothing is taken over, nor forgotten, of a running engine or a damaged record", async (t) => {
  const folder = legFolder(t);
  await storePipes(folder, { disk: [0] });
  const mirror = folder.engines.at(-1) ?? "";
  const running = await DataDirectory.take(mirror, { level: "portable", holder: "an engine" });
  await rejects(settleLegs(folder), { code: "data-dir-in-use" });
  await running.release();
  strictEqual(await storedPipes(folder), 2 * folder.engines.length);
  writeFileSync(join(mirror, "pipes", "disk.pipe"), "penstock-pipe 1 100 0123");
  await rejects(settleLegs(folder), { code: "store-damaged" });
  strictEqual(await storedPipes(folder), 2 * folder.engines.length);
});
