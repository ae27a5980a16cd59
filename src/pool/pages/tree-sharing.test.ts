// Trees that share pages with others, against a Map for each: random programs with tiny caches,
// checkpoints at random moments, copies of copies; and whether exactly the pages that some tree
// refers to are in use.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  checkpoint,
  MAPPING,
  type PagesRig,
  PROPERTIES,
  until,
  withPages,
  writeFrozen,
} from "../../testing/pages-rig.ts";
import { assert } from "../../util/assert.ts";
import type { FrozenPages } from "./page-cache.ts";
import { ABSENT, PageTree, type TreeKind } from "./page-tree.ts";
import { emptyPointer } from "./root-pointer.ts";
import { TreeSharing } from "./tree-sharing.ts";

const KEYS_END = 2 ** 32;

interface Version {
  readonly tree: PageTree;
  readonly model: Map<number, number>;
}

async function contentOf(rig: PagesRig, tree: PageTree): Promise<[number, number][]> {
  const all: [number, number][] = [];
  for (let key = 0; key < KEYS_END; ) {
    const at = await until(rig, tree, key, () => tree.atLeast(key));
    if (at === ABSENT) break;
    ok(at >= 0, `atLeast says ${at}`);
    const found = rig.cache.words[at] as number;
    all.push([found, rig.cache.words[at + 1] as number]);
    key = found + 1;
  }
  return all;
}

/** Adds the addresses of all pages of a tree. */
async function addPages(rig: PagesRig, tree: PageTree, into: Set<number>): Promise<void> {
  const pointer = emptyPointer();
  for (let level = tree.root.a === 0 ? -1 : tree.root.level; level >= 0; level--) {
    for (let key = 0; key < KEYS_END; ) {
      strictEqual(await until(rig, tree, key, () => tree.pointerAt(key, level, pointer)), 0);
      into.add(pointer.a).add(pointer.b);
      strictEqual(pointer.level, level);
      key = (tree.path.lasts[level] as number) + 1;
    }
  }
}

class Family {
  readonly rig: PagesRig;
  readonly kind: TreeKind;
  readonly snapshots: Version[] = [];
  readonly volumes: Version[] = [];

  constructor(rig: PagesRig, kind: TreeKind) {
    this.rig = rig;
    this.kind = kind;
    const tree = new PageTree(rig.cache, kind, 3, emptyPointer());
    this.volumes.push({ tree, model: new Map() });
  }

  /** As it is now, for ever; the volume goes on from it. */
  snapshot({ tree, model }: Version): void {
    const { cache } = this.rig;
    const taken = new PageTree(cache, this.kind, 3, tree.root);
    taken.sharing.through = tree.sharing.through;
    taken.sharing.isFixed = true;
    tree.sharing.through = cache.epoch;
    this.snapshots.push({ tree: taken, model: new Map(model) });
    this.#taken.set(taken, cache.epoch);
    cache.epoch++;
  }

  clone({ tree, model }: Version): void {
    const clone = new PageTree(this.rig.cache, this.kind, 3, tree.root);
    clone.sharing.through = this.#taken.get(tree) ?? 0;
    this.volumes.push({ tree: clone, model: new Map(model) });
  }

  readonly #taken = new Map<PageTree, number>();

  async check(): Promise<void> {
    const pages = new Set<number>();
    for (const { tree, model } of [...this.volumes, ...this.snapshots]) {
      const sorted = [...model].sort(([a], [b]) => a - b);
      deepStrictEqual(await contentOf(this.rig, tree), sorted);
      await addPages(this.rig, tree, pages);
    }
    deepStrictEqual([...pages].sort(), [...this.rig.space.used].sort());
  }
}

async function change(rig: PagesRig, version: Version, keys: number): Promise<void> {
  const { prng } = rig;
  const { tree, model } = version;
  const key = prng.below(keys);
  if (prng.chance(0.7)) {
    const at = await until(rig, tree, key, () => tree.put(key));
    ok(at >= 0);
    rig.cache.words[at + 1] = model.size + prng.below(1000);
    model.set(key, rig.cache.words[at + 1] as number);
    await look(rig, version, key);
    return;
  }
  const end = key + prng.below(prng.chance(0.5) ? 5 : keys / 4) + 1;
  for (let from = key; from < end; ) {
    const next = await until(rig, tree, from, () => tree.leafEnd(from));
    await until(rig, tree, from, () => tree.removeInLeaf(from, end, null));
    if (next < 0) break;
    from = next;
  }
  for (let gone = key; gone < end; gone++) model.delete(gone);
  await look(rig, version, key);
}

/** A look by a hint must see the last change. */
async function look(rig: PagesRig, { tree, model }: Version, key: number): Promise<void> {
  const at = await until(rig, tree, key, () => tree.find(key));
  const value = model.get(key);
  if (value === undefined) strictEqual(at, ABSENT);
  else strictEqual(rig.cache.words[at + 1], value);
}

async function run(rig: PagesRig, kind: TreeKind, keys: number, dirtyMax: number): Promise<void> {
  const { prng, cache } = rig;
  const family = new Family(rig, kind);
  const pick = (versions: readonly Version[]) => {
    const version = versions[prng.below(versions.length)];
    assert(version !== undefined, "there is one");
    return version;
  };
  for (let step = 0; step < 3000; step++) {
    if (cache.dirtyCount > dirtyMax || prng.chance(0.02)) {
      const frozen: FrozenPages = cache.freeze();
      // Some changes and snapshots come while pages are still frozen.
      for (let more = prng.below(3); more > 0; more--) {
        await change(rig, pick(family.volumes), keys);
        if (prng.chance(0.3)) family.snapshot(pick(family.volumes));
      }
      await writeFrozen(rig, frozen);
      frozen.committed();
    }
    if (prng.chance(0.004) && family.volumes.length < 5) {
      if (family.snapshots.length > 0) family.clone(pick(family.snapshots));
    }
    if (prng.chance(0.01) && family.snapshots.length < 20) family.snapshot(pick(family.volumes));
    await change(rig, pick(family.volumes), keys);
    for (let looks = 0; looks < 3; looks++) {
      await look(rig, pick([...family.volumes, ...family.snapshots]), prng.below(keys));
    }
  }
  await checkpoint(rig);
  await family.check();
}

test("trees that share pages do what a Map for each does, and leak none: high trees", () =>
  withPages(160, 2, (rig) => run(rig, PROPERTIES, 300, 40)));

test("trees that share pages do what a Map for each does, and leak none: mapping trees", () =>
  withPages(96, 1, (rig) => run(rig, MAPPING, 2000, 20)));

test("a dirty page that a snapshot shares is copied; one that is the tree's own is not", () =>
  withPages(32, 1, async (rig) => {
    const tree = new PageTree(rig.cache, MAPPING, 3, emptyPointer());
    rig.cache.words[tree.put(1) + 1] = 7;
    const before = { ...tree.root };
    tree.put(2);
    deepStrictEqual(tree.root, before);
    const taken = new PageTree(rig.cache, MAPPING, 3, tree.root);
    tree.sharing.through = rig.cache.epoch++;
    rig.cache.words[tree.put(1) + 1] = 8;
    strictEqual(tree.root.a === before.a, false);
    strictEqual(rig.cache.dirtyCount, 2);
    strictEqual(rig.cache.words[taken.find(1) + 1], 7);
    strictEqual(rig.cache.words[tree.find(1) + 1], 8);
    // What a repair of the snapshot's tree would move, its volume needs.
    taken.sharing.isFixed = true;
    strictEqual(taken.touch(1), ABSENT);
    deepStrictEqual(taken.root, before);
  }));

test("hints of a tree do not lead to a leaf that it has copied", () =>
  withPages(64, 1, async (rig) => {
    const { cache } = rig;
    const tree = new PageTree(cache, MAPPING, 3, emptyPointer());
    for (let key = 0; key < 400; key++) cache.words[tree.put(key) + 1] = 7;
    tree.sharing.through = cache.epoch++;
    // The leaf of 70 is noted for it, and not the last one looked at.
    for (const key of [300, 70, 300]) ok(tree.find(key) >= 0);
    tree.put(5);
    cache.words[tree.put(70) + 1] = 9;
    ok(tree.find(300) >= 0);
    strictEqual(cache.words[tree.find(70) + 1], 9);
  }));

test("TreeSharing: the border is the origin's own where its cut has passed", () => {
  const sharing = new TreeSharing();
  strictEqual(sharing.ownsEntry(1, 0) && sharing.ownsPage(1, 0), true);
  sharing.through = 5;
  sharing.passedThrough = 2;
  sharing.cursor = 100;
  for (const owns of [sharing.ownsEntry.bind(sharing), sharing.ownsPage.bind(sharing)]) {
    deepStrictEqual(
      [owns(2, 99), owns(3, 99), owns(3, 100), owns(5, 100), owns(6, 100), owns(6, 5)],
      [false, true, false, false, true, true],
    );
  }
});
