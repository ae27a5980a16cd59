// Tests of PageTree against a Map: random programs with tiny caches and checkpoints at random
// moments; what is on the disks afterwards; copies that are bad; what a failed look says.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { IoLevel } from "../../reactor/io.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { Status } from "../../block/status.ts";
import { mallocDisks, testUuid } from "../../testing/pool-disks-rig.ts";
import { assert } from "../../util/assert.ts";
import { Prng } from "../../util/prng.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { type Address, addressOf, BLOCK_BYTES, blockOf, diskOf } from "../pool-layout.ts";
import { type FrozenPages, PageCache, type PageSpace, type PageWaiter } from "./page-cache.ts";
import type { PageDamage } from "./page-format.ts";
import { ABSENT, FAILED, MISSING, PageTree, type TreeKind } from "./page-tree.ts";
import { emptyPointer } from "./root-pointer.ts";

const DISK_BLOCKS = 8192;
const PROPERTIES: TreeKind = { kind: 4, entryWords: 251 };
const MAPPING: TreeKind = { kind: 1, entryWords: 5 };

/** Gives blocks in random places, and knows which may be used again when. */
class SetSpace implements PageSpace {
  readonly used = new Set<Address>();
  readonly #waiting = new Map<Address, number>();
  #generation = 0;
  readonly #prng: Prng;
  readonly #disks: number;

  constructor(prng: Prng, disks: number) {
    this.#prng = prng;
    this.#disks = disks;
  }

  takePages(into: { a: Address; b: Address }): boolean {
    into.a = this.#take(0);
    into.b = this.#take(this.#disks - 1);
    return true;
  }

  dropPages(a: Address, b: Address): void {
    for (const address of [a, b]) {
      ok(this.used.delete(address), "dropped once");
      this.#waiting.set(address, this.#generation);
    }
  }

  returnPages(a: Address, b: Address): void {
    ok(this.used.delete(a) && this.used.delete(b), "returned once");
  }

  pagesToTake(): number {
    return DISK_BLOCKS;
  }

  foldPages(): number {
    return 0;
  }

  foldPagesOf(): number {
    return 0;
  }

  generationFrozen(generation: number): void {
    this.#generation = generation + 1;
  }

  generationCommitted(generation: number): void {
    for (const [address, dropped] of this.#waiting) {
      if (dropped <= generation) this.#waiting.delete(address);
    }
  }

  #take(disk: number): Address {
    for (;;) {
      const address = addressOf(disk, 16 + this.#prng.below(DISK_BLOCKS - 16));
      if (this.used.has(address) || this.#waiting.has(address)) continue;
      this.used.add(address);
      return address;
    }
  }
}

interface Rig {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly space: SetSpace;
  readonly cache: PageCache;
  readonly damage: PageDamage[];
  readonly prng: Prng;
}

const open = (
  rig: Pick<Rig, "reactor" | "disks" | "damage">,
  slots: number,
  generation = 1,
): PageCache =>
  new PageCache({
    reactor: rig.reactor,
    limitBytes: slots * BLOCK_BYTES,
    disks: rig.disks,
    poolUuid: testUuid(7),
    generation,
    onDamage: (found) => rig.damage.push(found),
  });

async function withRig(
  slots: number,
  diskCount: number,
  body: (rig: Rig) => Promise<void>,
): Promise<void> {
  await withReactor(IoLevel.fake, async ({ reactor, seed }) => {
    const sizes = new Array<number>(diskCount).fill(DISK_BLOCKS);
    const { disks } = await mallocDisks(reactor, sizes);
    const prng = new Prng(seed);
    const space = new SetSpace(prng.fork("space"), diskCount);
    const damage: PageDamage[] = [];
    const cache = open({ reactor, disks, damage }, slots);
    cache.space = space;
    await body({ reactor, disks, space, cache, damage, prng });
    await disks.close();
  });
}

/** Tries again until nothing is missing. */
async function until(rig: Rig, tree: PageTree, key: number, step: () => number): Promise<number> {
  for (;;) {
    const result = step();
    if (result !== MISSING) return result;
    await new Promise<void>((resolve) => {
      const waiter: PageWaiter = {
        nextWaiter: null,
        pageReady: () => rig.reactor.deliverLater(resolve),
      };
      tree.load(key, waiter);
    });
  }
}

async function write(rig: Rig, frozen: FrozenPages): Promise<void> {
  const status = await new Promise<Status>((resolve) => {
    frozen.write((result) => rig.reactor.deliverLater(() => resolve(result)));
  });
  strictEqual(status, Status.ok);
}

async function checkpoint(rig: Rig): Promise<void> {
  const frozen = rig.cache.freeze();
  await write(rig, frozen);
  frozen.committed();
}

/** All entries: keys and first values. */
async function contentOf(rig: Rig, tree: PageTree): Promise<[number, number][]> {
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
async function pagesOf(rig: Rig, tree: PageTree): Promise<number> {
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

async function run(rig: Rig, program: Program): Promise<void> {
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
      await write(rig, frozen);
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
  deepStrictEqual(await contentOf(rig, tree), sorted(model));
  strictEqual(rig.space.used.size, 2 * (await pagesOf(rig, tree)), "pages used are pages in use");
  await checkpoint(rig);
  // What is on the disks is the same, for somebody who remembers the root only.
  const again = open(rig, 64, cache.generation);
  again.space = rig.space;
  const reread = new PageTree(again, program.kind, 3, tree.root);
  deepStrictEqual(await contentOf(rig, reread), sorted(model));
  deepStrictEqual(rig.damage, []);

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
      const sink = {
        entry(words: Uint32Array, at: number): void {
          const key = words[at] as number;
          ok(key >= first && key < end, "only the range is taken out");
          strictEqual(words[at + 1], model.get(key));
          ok(model.delete(key), "taken out once");
        },
      };
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
    await write(rig, frozen);
  }
}

test("a tree does what a Map does, with four entries a page and 32 slots", () =>
  withRig(32, 1, (rig) => run(rig, { kind: PROPERTIES, keys: 1500, steps: 3000, dirtyMax: 8 })));

test("a tree does what a Map does, with keys far apart and 16 slots", () =>
  withRig(16, 2, (rig) =>
    run(rig, { kind: PROPERTIES, keys: 100, steps: 2000, dirtyMax: 2, sparse: true }),
  ));

test("a mapping tree does what a Map does", () =>
  withRig(256, 2, (rig) => run(rig, { kind: MAPPING, keys: 30_000, steps: 3000, dirtyMax: 64 })));

test("a tree that is filled in sequence has full leaves", () =>
  withRig(256, 1, async (rig) => {
    const tree = new PageTree(rig.cache, MAPPING, 1, emptyPointer());
    for (let key = 0; key < 201 * 20; key++) ok(tree.put(1000 + key) >= 0);
    strictEqual(rig.cache.dirtyCount, 20 + 1);
    strictEqual(tree.root.level, 1);
  }));

/** A tree of some leaves whose pages are not in memory. */
async function storedTree(rig: Rig): Promise<PageTree> {
  const tree = new PageTree(rig.cache, PROPERTIES, 1, emptyPointer());
  for (let key = 0; key < 40; key++) {
    const at = tree.put(key);
    rig.cache.words[at + 1] = key * 3;
  }
  await checkpoint(rig);
  const cache = open(rig, 16, rig.cache.generation);
  cache.space = rig.space;
  return new PageTree(cache, PROPERTIES, 1, tree.root);
}

function spoil(rig: Rig, address: Address): void {
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
  withRig(64, 2, async (rig) => {
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
    await write(rig, frozen);
    frozen.committed();
    ok(tree.root.a !== a && tree.root.b !== b);
  }));

test("a page without a right copy fails, and nothing changes", () =>
  withRig(64, 2, async (rig) => {
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
  withRig(64, 2, async (rig) => {
    const tree = await storedTree(rig);
    const stale = new PageTree(tree.cache, PROPERTIES, 1, {
      ...tree.root,
      generation: tree.root.generation + 1,
    });
    strictEqual(await until(rig, stale, 1, () => stale.find(1)), FAILED);
    strictEqual(rig.damage[0]?.problem, "generation");
  }));

test("a pointer out of the pool fails without a read", () =>
  withRig(64, 1, async (rig) => {
    const root = { a: addressOf(9, 1), b: addressOf(9, 2), generation: 1, level: 0, epoch: 1 };
    const tree = new PageTree(rig.cache, PROPERTIES, 1, root);
    strictEqual(tree.find(1), FAILED);
    const high = new PageTree(rig.cache, PROPERTIES, 1, { ...root, level: 60_000 });
    strictEqual(high.put(1), FAILED);
  }));
