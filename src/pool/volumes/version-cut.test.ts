// Families of versions: whatever is written, taken, cloned and deleted, in whatever order and with
// whatever end, each version holds what it held, and the walk of all finds each block once.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { openForTest, PoolWorld } from "../../testing/pool-rig.ts";
import { type Content, contentOf, stateOf, writeTags } from "../../testing/version-family.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import type { RecordSink } from "../log/log-record.ts";
import type { Pool } from "../pool.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { SlotState } from "../pages/cache-slots.ts";
import { awaitCall } from "../recovery/await-call.ts";
import { measureVersion } from "./version-space.ts";
import { diffVersions } from "./version-diff.ts";

const MIB = 2 ** 20;
const VOLUME_BYTES = 64 * MIB;
const KEYS = VOLUME_BYTES / BLOCK_BYTES;
const ROUNDS = process.env.PENSTOCK_LONG === "1" ? 200 : 2;
const STEPS = 40;
const VERSIONS_MAX = 14;
/** Blocks that have content from the first. */
const FILLED = 6000;

interface Family {
  readonly random: Prng;
  /** By name. */
  readonly versions: Map<string, Content>;
  nextTag: number;
  nextName: number;
  /** Blocks of one tag may have more than one place. */
  hasCopies: boolean;
}

async function checkAll(pool: Pool, { versions }: Family, what: string): Promise<void> {
  const { problems } = await walkPool(pool.parts);
  deepStrictEqual(problems, [], what);
  for (const [name, content] of versions) {
    const found = await contentOf(pool, stateOf(pool, name));
    const wrong = [...content].filter(([key, tag]) => found.get(key) !== tag);
    deepStrictEqual(wrong.slice(0, 5), [], `${what}: ${name}`);
    strictEqual(found.size, content.size, `${what}: ${name} maps what it maps`);
  }
}

function pick(family: Family, isKind: (name: string) => boolean): string | undefined {
  const names = [...family.versions.keys()].filter(isKind);
  return names.length === 0 ? undefined : names[family.random.below(names.length)];
}

const isSnapshot = (name: string): boolean => name.includes("@");
const isVolume = (name: string): boolean => !isSnapshot(name);

async function write(pool: Pool, family: Family): Promise<void> {
  const name = pick(family, isVolume);
  if (name === undefined) return;
  const { random } = family;
  const content = family.versions.get(name) as Content;
  const runs = Array.from({ length: 1 + random.below(6) }, () => {
    const count = 1 + random.below(random.chance(0.3) ? 150 : 8);
    const first = random.below(random.chance(0.5) ? 2000 : KEYS - count);
    return { first, tags: Array.from({ length: count }, () => family.nextTag++) };
  });
  // Side by side they may end in any order: they must not overlap.
  for (const run of runs) {
    await writeTags(pool, name, [run]);
    for (const [index, tag] of run.tags.entries()) content.set(run.first + index, tag);
  }
}

async function discard(pool: Pool, family: Family): Promise<void> {
  const name = pick(family, isVolume);
  if (name === undefined) return;
  const { random } = family;
  const count = 1 + random.below(1500);
  const first = random.below(KEYS - count);
  const device = await openForTest(pool, name);
  await device.discard(first * BLOCK_BYTES, count * BLOCK_BYTES);
  await device.close();
  const content = family.versions.get(name) as Content;
  for (const key of [...content.keys()]) {
    if (key >= first && key < first + count) content.delete(key);
  }
}

async function snapshot(pool: Pool, family: Family): Promise<void> {
  const volume = pick(family, isVolume);
  if (volume === undefined || family.versions.size >= VERSIONS_MAX) return;
  const part = `s${family.nextName++}`;
  await pool.createSnapshot(volume, part);
  family.versions.set(`${volume}@${part}`, new Map(family.versions.get(volume)));
}

async function clone(pool: Pool, family: Family): Promise<void> {
  const source = pick(family, isSnapshot);
  if (source === undefined || family.versions.size >= VERSIONS_MAX) return;
  const name = `c${family.nextName++}`;
  await pool.cloneSnapshot(source, { name });
  family.versions.set(name, new Map(family.versions.get(source)));
}

async function change(pool: Pool, family: Family): Promise<void> {
  const { random, versions } = family;
  const chance = random.below(100);
  if (chance < 45) return write(pool, family);
  if (chance < 52) return discard(pool, family);
  if (chance < 66) {
    await snapshot(pool, family);
    return;
  }
  if (chance < 76) {
    await clone(pool, family);
    return;
  }
  if (chance < 90) {
    const name = pick(family, () => true);
    if (name === undefined) return;
    await pool.deleteVolume(name);
    versions.delete(name);
    return;
  }
  if (chance < 93) return rollBack(pool, family);
  if (chance < 98) return flatten(pool, family);
  await pool.parts.checkpointer.run("in use");
}

async function rollBack(pool: Pool, family: Family): Promise<void> {
  const snapshot = pick(family, isSnapshot);
  const volume = snapshot?.slice(0, snapshot.indexOf("@")) ?? "";
  const content = family.versions.get(snapshot ?? "");
  if (snapshot === undefined || content === undefined || !family.versions.has(volume)) return;
  await pool.rollback(snapshot);
  family.versions.set(volume, new Map(content));
}

/** Beside writes, and now and then a snapshot. */
async function flatten(pool: Pool, family: Family): Promise<void> {
  const volume = pick(family, (name) => (pool.volume(name)?.origin ?? "") !== "");
  if (volume === undefined) return;
  const ended = pool.flatten(volume);
  family.hasCopies = true;
  for (let count = family.random.below(6); count > 0; count--) await write(pool, family);
  if (family.random.chance(0.5)) {
    const name = `${volume}@s${family.nextName++}`;
    await pool.createSnapshot(volume, name.slice(volume.length + 1));
    family.versions.set(name, new Map(family.versions.get(volume)));
    await write(pool, family);
  }
  await ended;
  strictEqual(stateOf(pool, volume).origin, null, "a flat volume needs no origin");
}

async function settle(pool: Pool, family: Family, what: string): Promise<void> {
  await pool.deleted();
  await checkAll(pool, family, what);
  const waiting = [...pool.parts.catalogue.all()].filter(({ isDeleting }) => isDeleting);
  strictEqual(
    waiting.every(({ isWaiting }) => isWaiting),
    true,
    `${what}: others are gone`,
  );
}

for (const cacheKib of [1024, 4096]) {
  test(`families of versions hold what they hold after kills, cache: ${cacheKib} KiB`, async () => {
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const what = `seed ${seed}`;
      const random = new Prng(`${seed} ${cacheKib}`);
      const options = { seed, diskBytes: [96 * MIB], cacheBytes: cacheKib * 1024 };
      const world = new PoolWorld(options);
      const family: Family = {
        random,
        versions: new Map(),
        nextTag: 1,
        nextName: 1,
        hasCopies: false,
      };
      await world.run(async () => {
        let pool = await world.open();
        await pool.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
        family.versions.set("v", new Map());
        for (let step = 0; step < STEPS; step++) {
          await change(pool, family);
          if (random.chance(0.06)) await settle(pool, family, `${what}, step ${step}`);
          if (!random.chance(0.06)) continue;
          world.kill();
          pool = await world.open();
          await settle(pool, family, `${what}, killed at ${step}`);
        }
        await settle(pool, family, `${what}, at the end`);
        await measureAll(pool, family, what);
        for (const name of family.versions.keys()) await pool.deleteVolume(name);
        family.versions.clear();
        await pool.deleted();
        await checkAll(pool, family, `${what}, all deleted`);
        strictEqual(pool.parts.space.dataBlocks, 0, `${what}: all is free`);
        await world.exported(pool);
      });
    }
  });
}

test("a root that a cut has left to its child changes while a checkpoint is made", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [96 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    const { catalogue, checkpointer, applier, environment } = pool.parts;
    await pool.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
    const tags = Array.from({ length: 400 }, (_, key) => key + 1);
    await writeTags(pool, "v", [{ first: 0, tags }]);
    await checkpointer.run("in use");
    await writeTags(pool, "v", [{ first: 0, tags: [1001] }]);
    await pool.createSnapshot("v", "s");
    // The root is in memory only, of both; its pointer is in the record of v from now on.
    await awaitCall(environment.reactor, (done) => catalogue.prepareFold(done));
    const s = stateOf(pool, "v@s");
    s.isDeleting = true;
    strictEqual(applier.cut(s.id, 2 ** 32, applier.appliedSequence), true);
    // Nothing is counted otherwise than before: it replaces a block of its own.
    await writeTags(pool, "v", [{ first: 300, tags: [1002] }]);
    await checkpointer.run("in use");
    world.kill();
    const again = await world.open();
    const content = await contentOf(again, stateOf(again, "v"));
    deepStrictEqual([content.size, content.get(0), content.get(300)], [400, 1001, 1002]);
    await world.exported(again);
  });
});

test("a cut does not go beyond its record when a page cannot be read for a moment", async () => {
  const world = new PoolWorld({ seed: 1, diskBytes: [96 * MIB] });
  await world.run(async () => {
    const pool = await world.open();
    const { checkpointer, applier, cache } = pool.parts;
    await pool.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
    const tags = Array.from({ length: 400 }, (_, key) => key + 1);
    await writeTags(pool, "v", [{ first: 0, tags }]);
    await pool.createSnapshot("v", "s");
    await writeTags(pool, "v", [{ first: 0, tags: [1001] }]);
    await checkpointer.run("in use");
    const s = stateOf(pool, "v@s");
    const end = s.tree.leafEnd(0);
    ok(end > 0 && end < 400, "it has leaves");
    s.isDeleting = true;
    const root = s.tree.slotOnPath(0, 1);
    cache.slots.states[root] = SlotState.failed;
    const entry = {
      nextApplied: null,
      sequence: 0,
      applyTo: (sink: RecordSink) => sink.cut(s.id, end, entry.sequence),
      applied: () => undefined,
    };
    applier.enqueue(entry, applier.appliedSequence);
    strictEqual(s.cursor, end, "where the log says that it is");
    cache.slots.states[root] = SlotState.clean;
    world.kill();
    await world.exported(await world.open());
  });
});

/** Deleted versions that are half gone. */
function halfCut(pool: Pool): number {
  const { catalogue } = pool.parts;
  return [...catalogue.all()].filter(({ cursor }) => cursor > 0 && cursor < 2 ** 32).length;
}

/** Single blocks in many leaves, side by side. */
async function scatter(pool: Pool, family: Family, blocks: number): Promise<void> {
  const name = pick(family, isVolume);
  const content = family.versions.get(name ?? "");
  if (name === undefined || content === undefined) return;
  const keys = new Set(Array.from({ length: blocks }, () => family.random.below(FILLED)));
  const runs = [...keys].map((first) => ({ first, tags: [family.nextTag++] }));
  await writeTags(pool, name, runs);
  for (const { first, tags } of runs) content.set(first, tags[0] as number);
}

/** Something is deleted, and volumes change and are taken while it is cut. */
async function disturbCut(pool: Pool, family: Family): Promise<void> {
  const { random, versions } = family;
  const deleted = pick(family, (name) => name !== "v");
  if (deleted !== undefined) {
    await pool.deleteVolume(deleted);
    versions.delete(deleted);
  }
  for (let count = random.below(5); count > 0; count--) {
    // Nobody waits for it: the kill comes when it comes.
    if (random.chance(0.3)) pool.parts.checkpointer.request("of the test");
    if (random.chance(0.8)) await scatter(pool, family, 1 + random.below(12));
    else await snapshot(pool, family);
  }
}

test("what is half cut goes on after a kill, and its child with what it was left", async () => {
  let [killed, reopened] = [0, 0];
  for (let seed = 1; seed <= ROUNDS / 2; seed++) {
    const random = new Prng(`cut ${seed}`);
    const world = new PoolWorld({ seed, diskBytes: [128 * MIB], cacheBytes: 2 * MIB });
    const family: Family = {
      random,
      versions: new Map([["v", new Map()]]),
      nextTag: 1,
      nextName: 1,
      hasCopies: false,
    };
    await world.run(async () => {
      let pool = await world.open();
      await pool.createVolume({ name: "v", sizeBytes: VOLUME_BYTES });
      await fill(pool, family);
      for (let step = 0; step < 9; step++) {
        const what = `seed ${seed}, step ${step}`;
        await snapshot(pool, family);
        await scatter(pool, family, 60);
        if (random.chance(0.3)) await clone(pool, family);
        await disturbCut(pool, family);
        if (random.chance(0.6)) {
          killed += halfCut(pool);
          world.kill();
          pool = await world.open();
          reopened += halfCut(pool);
          await disturbCut(pool, family);
        }
        if (random.chance(0.4)) await settle(pool, family, what);
      }
      await settle(pool, family, `seed ${seed}, at the end`);
      await measureAll(pool, family, `seed ${seed}`);
      await world.exported(pool);
    });
  }
  ok(killed > 0 && reopened > 0, `${killed} kills in a cut, ${reopened} found half cut`);
});

/** Many leaves, half full: chunks come in any order. */
async function fill(pool: Pool, family: Family): Promise<void> {
  const content = family.versions.get("v") as Content;
  const firsts = Array.from({ length: FILLED / 100 }, (_, index) => index * 100);
  for (; firsts.length > 0; ) {
    const [first = 0] = firsts.splice(family.random.below(firsts.length), 1);
    const tags = Array.from({ length: 40 }, () => family.nextTag++);
    await writeTags(pool, "v", [{ first, tags }]);
    for (const [index, tag] of tags.entries()) content.set(first + index, tag);
  }
}

/** What each alone has, by the model: blocks that no other version has with the same tag. */
async function measureAll(pool: Pool, family: Family, what: string): Promise<void> {
  const { versions, hasCopies } = family;
  for (const [name, content] of versions) {
    const state = stateOf(pool, name);
    const { ownBlocks, sharedBlocks } = await measureVersion(pool.parts, state);
    strictEqual(ownBlocks + sharedBlocks, content.size, `${what}: ${name}`);
    const others = [...versions].filter(([other]) => other !== name).map(([, map]) => map);
    const isGhostly = [...pool.parts.catalogue.all()].some(({ isWaiting }) => isWaiting);
    const alone = [...content].filter(([key, tag]) => !others.some((map) => map.get(key) === tag));
    if (!isGhostly && !hasCopies) strictEqual(ownBlocks, alone.length, `${what}: ${name} alone`);
    for (const [other, old] of versions) {
      await compare(pool, [other, old], [name, content], family, what);
    }
  }
}

async function compare(
  pool: Pool,
  [before, old]: readonly [string, Content],
  [after, now]: readonly [string, Content],
  { hasCopies }: Family,
  what: string,
): Promise<void> {
  const found = new Map<number, string>();
  const sink = {
    extent: (first: number, count: number, kind: string) => {
      for (let key = first; key < first + count; key++) found.set(key, kind);
    },
  };
  const [a, b] = [stateOf(pool, before), stateOf(pool, after)];
  await diffVersions(pool.parts, a, b, 0, sink);
  const expected = new Map<number, string>();
  for (const [key, tag] of now) if (old.get(key) !== tag) expected.set(key, "data");
  for (const key of old.keys()) if (!now.has(key)) expected.set(key, "zero");
  const names = `${what}: ${before} to ${after}`;
  // What was copied may differ.
  for (const [key, kind] of hasCopies ? found : []) {
    if (!expected.has(key) && kind === "data") found.delete(key);
  }
  const ordered = [...expected].sort(([x], [y]) => x - y);
  deepStrictEqual([...found], ordered, names);
}
