// Tests of PageTree against a Map: random programs with tiny caches and checkpoints at random
// moments; what is on the disks afterwards; copies that are bad; what a failed look says.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import {
  checkpoint,
  MAPPING,
  openCache,
  type PagesRig,
  PROPERTIES,
  until,
  withPages,
  writeFrozen,
} from "../../testing/pages-rig.ts";
import { assert } from "../../util/assert.ts";
import { type Address, addressOf, BLOCK_BYTES, blockOf, diskOf } from "../pool-layout.ts";
import type { FrozenPages } from "./page-cache.ts";
import { ABSENT, FAILED, MISSING, PageTree, type TreeKind } from "./page-tree.ts";
import { emptyPointer } from "./root-pointer.ts";

/** All entries: keys and first values. */
async function contentOf(rig: PagesRig, tree: PageTree): Promise<[number, number][]> {
  const all: [number, number][] = [];
  for (let key = 0; key < 2 ** 32; ) {
    const at = await until(rig, tree, key, () => tree.atLeast(key));
    if (at === ABSENT) break;
    ok(at >= 0, `atLeast says ${at}`);
    const found = tree.cache.words[at] as number;
    all.push([found, tree.cache.words[at + 1] as number]);
    key = found + 1;
  }
  return all;
}

/** Pages that can be reached, level by level. */
async function pagesOf(rig: PagesRig, tree: PageTree): Promise<number> {
  if (tree.root.a === 0) return 0;
  let pages = 0;
  for (let level = tree.root.level; level >= 0; level--) {
    const seen = new Set<number>();
    for (let key = 0; key < 2 ** 32; ) {
      await until(rig, tree, key, () => tree.slotOnPath(key, level));
      seen.add(tree.path.firsts[level] as number);
      key = (tree.path.lasts[level] as number) + 1;
    }
    pages += seen.size;
  }
  return pages;
}

const sorted = (model: Map<number, number>) => [...model].sort(([a], [b]) => a - b);

interface Program {
  readonly kind: TreeKind;
  readonly keys: number;
  readonly steps: number;
  /** Dirty pages from which on a checkpoint is made. */
  readonly dirtyMax: number;
  readonly sparse?: boolean;
}

async function run(rig: PagesRig, program: Program): Promise<void> {
  const { prng, cache } = rig;
  const tree = new PageTree(cache, program.kind, 3, emptyPointer());
  const model = new Map<number, number>();
  const scale = program.sparse === true ? Math.floor(2 ** 32 / program.keys) : 1;
  const keyOf = () => prng.below(program.keys) * scale;
  let next = 0;
  let [growing, frozen]: [boolean, FrozenPages | null] = [true, null];
  for (let step = 0; step < program.steps; step++) {
    if (prng.chance(0.01)) growing = !growing;
    if (cache.dirtyCount > program.dirtyMax || prng.chance(0.02)) {
      if (frozen !== null) frozen.committed();
      frozen = cache.freeze();
      // Some steps run while pages are still frozen.
      if (prng.chance(0.5)) for (let more = prng.below(3); more > 0; more--) await put(keyOf());
      await writeFrozen(rig, frozen);
    }
    const key = keyOf();
    const choice = prng.below(10);
    if (choice < 5) {
      if (growing) await put(key);
      else await remove(key, Math.min(key + 1 + prng.below(program.keys >>> 3) * scale, 2 ** 32));
    } else if (choice < 7) {
      const at = await until(rig, tree, key, () => tree.find(key));
      strictEqual(at < 0 ? undefined : cache.words[at + 1], model.get(key), `find ${key}`);
    } else if (choice < 8) {
      const first = next % program.keys;
      for (let index = 0; index < 3; index++) await put(first + index);
      next += 3;
    } else if (choice < 9) {
      const at = await until(rig, tree, key, () => tree.atLeast(key));
      const expected = sorted(model).find(([other]) => other >= key)?.[0];
      strictEqual(at < 0 ? undefined : cache.words[at], expected, `atLeast ${key}`);
    } else {
      await remove(key, key + 1);
    }
  }
  await compareAtEnd(rig, program.kind, tree, model);

  async function put(key: number): Promise<void> {
    const at = await until(rig, tree, key, () => tree.put(key));
    ok(at >= 0, `put says ${at}`);
    strictEqual(cache.words[at], key);
    strictEqual(cache.words[at + 1], model.get(key) ?? 0, "a new entry is zero");
    const value = prng.nextUint32();
    cache.words[at + 1] = value;
    model.set(key, value);
  }

  async function remove(first: number, end: number): Promise<void> {
    for (let from = first; from < end; ) {
      const leafEnd = await until(rig, tree, from, () => tree.leafEnd(from));
      const sink = takesOut(model, first, end);
      const count = await until(rig, tree, from, () => tree.removeInLeaf(from, end, sink));
      ok(count >= 0, `removeInLeaf says ${count}`);
      if (leafEnd < end && cache.dirtyCount > program.dirtyMax) await finish();
      from = leafEnd;
    }
    for (const key of model.keys()) ok(key < first || key >= end, `${key} is gone`);
  }

  async function finish(): Promise<void> {
    frozen?.committed();
    frozen = cache.freeze();
    await writeFrozen(rig, frozen);
  }
}

/** Takes out of the model what the tree says that it takes out. */
function takesOut(model: Map<number, number>, first: number, end: number) {
  return {
    entry(words: Uint32Array, at: number): void {
      const key = words[at] as number;
      ok(key >= first && key < end, "only the range is taken out");
      strictEqual(words[at + 1], model.get(key));
      ok(model.delete(key), "taken out once");
    },
  };
}

/** Compares all of it, then again with a cache that knows the root only. */
async function compareAtEnd(
  rig: PagesRig,
  kind: TreeKind,
  tree: PageTree,
  model: Map<number, number>,
): Promise<void> {
  deepStrictEqual(await contentOf(rig, tree), sorted(model));
  strictEqual(rig.space.used.size, 2 * (await pagesOf(rig, tree)), "pages used are pages in use");
  await checkpoint(rig);
  const again = openCache(rig, 64, rig.cache.generation);
  again.space = rig.space;
  const reread = new PageTree(again, kind, 3, tree.root);
  deepStrictEqual(await contentOf(rig, reread), sorted(model));
  deepStrictEqual(rig.damage, []);
}

test("a tree does what a Map does, with four entries a page and 32 slots", () =>
  withPages(32, 1, (rig) => run(rig, { kind: PROPERTIES, keys: 1500, steps: 3000, dirtyMax: 8 })));

test("a tree does what a Map does, with keys far apart and 16 slots", () =>
  withPages(16, 2, (rig) =>
    run(rig, { kind: PROPERTIES, keys: 100, steps: 2000, dirtyMax: 2, sparse: true }),
  ));

test("a mapping tree does what a Map does", () =>
  withPages(256, 2, (rig) => run(rig, { kind: MAPPING, keys: 30_000, steps: 3000, dirtyMax: 64 })));

test("a tree that is filled in sequence has full leaves", () =>
  withPages(256, 1, async (rig) => {
    const tree = new PageTree(rig.cache, MAPPING, 1, emptyPointer());
    for (let key = 0; key < 201 * 20; key++) ok(tree.put(1000 + key) >= 0);
    strictEqual(rig.cache.dirtyCount, 20 + 1);
    strictEqual(tree.root.level, 1);
  }));

/** A tree of some leaves whose pages are not in memory. */
async function storedTree(rig: PagesRig): Promise<PageTree> {
  const tree = new PageTree(rig.cache, PROPERTIES, 1, emptyPointer());
  for (let key = 0; key < 40; key++) {
    const at = tree.put(key);
    rig.cache.words[at + 1] = key * 3;
  }
  await checkpoint(rig);
  const cache = openCache(rig, 16, rig.cache.generation);
  cache.space = rig.space;
  return new PageTree(cache, PROPERTIES, 1, tree.root);
}

function spoil(rig: PagesRig, address: Address): void {
  const request = rig.disks.take({ diskRequestEnded: (ended) => rig.disks.give(ended) });
  request.operation = 1;
  const buffer = rig.reactor.buffers.acquire(BLOCK_BYTES);
  assert(buffer !== null, "there is memory");
  buffer.slab.bytes.fill(0xee, buffer.offset, buffer.offset + BLOCK_BYTES);
  request.segments.push(buffer.slab.id, buffer.offset, BLOCK_BYTES);
  ok(diskOf(address) < rig.disks.count && blockOf(address) > 0);
  rig.disks.submit(request, address, 1);
}

test("the second copy is taken when the first is bad, and both are written anew", () =>
  withPages(64, 2, async (rig) => {
    const tree = await storedTree(rig);
    const { a, b } = tree.root;
    spoil(rig, a);
    const at = await until(rig, tree, 20, () => tree.find(20));
    strictEqual(tree.cache.words[at + 1], 60);
    deepStrictEqual(rig.damage, [
      { kind: 4, tree: 1, address: a, problem: "magic", isLost: false },
    ]);
    const [repair] = tree.cache.repairs;
    ok(repair !== undefined);
    ok(repair.owner.touch(repair.key) >= 0 || repair.owner.touch(repair.key) === MISSING);
    await until(rig, tree, repair.key, () => repair.owner.touch(repair.key));
    const frozen = tree.cache.freeze();
    await writeFrozen(rig, frozen);
    frozen.committed();
    ok(tree.root.a !== a && tree.root.b !== b);
  }));

test("a page without a right copy fails, and nothing changes", () =>
  withPages(64, 2, async (rig) => {
    const tree = await storedTree(rig);
    const before = { ...tree.root };
    spoil(rig, tree.root.a);
    spoil(rig, tree.root.b);
    strictEqual(await until(rig, tree, 1, () => tree.put(1)), FAILED);
    strictEqual(tree.find(30), FAILED);
    strictEqual(tree.removeInLeaf(0, 10, null), FAILED);
    deepStrictEqual(tree.root, before);
    strictEqual(tree.cache.dirtyCount, 0);
    deepStrictEqual(
      rig.damage.map(({ isLost }) => isLost),
      [false, true],
    );
  }));

test("a page of another generation is not taken for the one expected", () =>
  withPages(64, 2, async (rig) => {
    const tree = await storedTree(rig);
    const stale = new PageTree(tree.cache, PROPERTIES, 1, {
      ...tree.root,
      generation: tree.root.generation + 1,
    });
    strictEqual(await until(rig, stale, 1, () => stale.find(1)), FAILED);
    strictEqual(rig.damage[0]?.problem, "generation");
  }));

test("a pointer out of the pool fails without a read", () =>
  withPages(64, 1, async (rig) => {
    const root = { a: addressOf(9, 1), b: addressOf(9, 2), generation: 1, level: 0, epoch: 1 };
    const tree = new PageTree(rig.cache, PROPERTIES, 1, root);
    strictEqual(tree.find(1), FAILED);
    const high = new PageTree(rig.cache, PROPERTIES, 1, { ...root, level: 60_000 });
    strictEqual(high.put(1), FAILED);
  }));
