// Tests of PageCache: closed generations stay as they were, failed writes are done again, room is
// set aside and given back, loads are few at a time.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../../block/status.ts";
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
import type { PageCache } from "./page-cache.ts";
import { ABSENT, MISSING, PageTree } from "./page-tree.ts";
import { emptyPointer } from "./root-pointer.ts";

function put(tree: PageTree, key: number, value: number): void {
  const at = tree.put(key);
  ok(at >= 0);
  tree.cache.words[at + 1] = value;
}

/** What somebody finds who knows the root only. */
async function valuesOf(rig: PagesRig, tree: PageTree, keys: number): Promise<number[]> {
  const cache = openCache(rig, 64);
  const reread = new PageTree(cache, PROPERTIES, tree.tree, tree.root);
  const values: number[] = [];
  for (let key = 0; key < keys; key++) {
    const at = await until(rig, reread, key, () => reread.find(key));
    values.push(at === ABSENT ? -1 : (cache.words[at + 1] as number));
  }
  return values;
}

test("a closed generation is written as it was, whatever is changed meanwhile", () =>
  withPages(128, 2, async (rig) => {
    const tree = new PageTree(rig.cache, PROPERTIES, 1, emptyPointer());
    for (let key = 0; key < 20; key++) put(tree, key, key);
    const frozen = rig.cache.freeze();
    const before = new PageTree(rig.cache, PROPERTIES, 1, tree.root);
    for (let key = 0; key < 30; key++) put(tree, key, 1000 + key);
    await writeFrozen(rig, frozen);
    frozen.committed();
    const old = Array.from({ length: 20 }, (_, key) => key);
    deepStrictEqual(await valuesOf(rig, before, 20), old);
    await checkpoint(rig);
    const fresh = Array.from({ length: 30 }, (_, key) => 1000 + key);
    deepStrictEqual(await valuesOf(rig, tree, 30), fresh);
  }));

test("pages that could not be written stay frozen, and are written again", () =>
  withPages(64, 1, async (rig) => {
    const tree = new PageTree(rig.cache, PROPERTIES, 1, emptyPointer());
    for (let key = 0; key < 20; key++) put(tree, key, 7 * key);
    const frozen = rig.cache.freeze();
    const { disks } = rig;
    const submit = disks.submit.bind(disks);
    let left = 3;
    disks.submit = (request, address, blocks) => {
      // Behind the end of the disk.
      submit(request, left-- > 0 ? address : address + 2 ** 30, blocks);
    };
    const status = await new Promise<Status>((resolve) => {
      frozen.write((result) => rig.reactor.deliverLater(() => resolve(result)));
    });
    strictEqual(status, Status.outOfRange);
    disks.submit = submit;
    await writeFrozen(rig, frozen);
    frozen.committed();
    const expected = Array.from({ length: 20 }, (_, key) => 7 * key);
    deepStrictEqual(await valuesOf(rig, tree, 20), expected);
  }));

test("an empty generation is written at once", () =>
  withPages(16, 1, async (rig) => {
    const frozen = rig.cache.freeze();
    strictEqual(frozen.count, 0);
    await writeFrozen(rig, frozen);
    frozen.committed();
    strictEqual(rig.cache.generation, frozen.generation + 1);
  }));

/** Admits records of `blocks` until it is refused. */
function admitAll(cache: PageCache, blocks: number): number {
  let records = 0;
  while (cache.admit(blocks)) records++;
  return records;
}

test("records are admitted while there is room, and it comes back", () =>
  withPages(256, 1, async (rig) => {
    const { cache } = rig;
    let asked = 0;
    cache.pressure = { flushWanted() {}, checkpointWanted: () => asked++ };
    const records = admitAll(cache, 1);
    ok(records > 5 && records < 128, `${records}`);
    strictEqual(asked, 0, "what is on its way gives its room back by itself");
    let told = 0;
    const waiter = { nextRoom: null, pagesMayBeThere: () => told++ };
    cache.waitForPages(waiter);
    cache.applied(1);
    strictEqual(told, 1);
    ok(cache.admit(1) && !cache.admit(1));
    for (let record = 0; record < records; record++) cache.applied(1);
    strictEqual(admitAll(cache, 1), records);
  }));

test("dirty pages take the room until a checkpoint, which is asked for", () =>
  withPages(256, 1, async (rig) => {
    const { cache } = rig;
    let asked = 0;
    cache.pressure = { flushWanted() {}, checkpointWanted: () => asked++ };
    const tree = new PageTree(cache, PROPERTIES, 1, emptyPointer());
    let key = 0;
    for (; cache.admit(1); key++) {
      put(tree, key, key);
      cache.applied(1);
    }
    ok(asked > 0);
    ok(cache.dirtyCount <= cache.dirtyMax);
    await checkpoint(rig);
    ok(cache.admit(1));
    strictEqual(cache.dirtyCount, 0);
  }));

test("a record that is larger than the room is admitted alone", () =>
  withPages(64, 1, async (rig) => {
    ok(rig.cache.admit(5000));
    ok(!rig.cache.admit(5000));
    rig.cache.admitLess(5000, 1);
    ok(rig.cache.admit(1));
  }));

test("many who wait for many pages are all told, with few slots", () =>
  withPages(256, 1, async (rig) => {
    const tree = new PageTree(rig.cache, MAPPING, 1, emptyPointer());
    for (let key = 0; key < 100 * 201; key++) put(tree, key, key);
    await checkpoint(rig);
    const cache = openCache(rig, 16);
    const reread = new PageTree(cache, MAPPING, 1, tree.root);
    const all = Array.from({ length: 100 }, async (_, index) => {
      const key = index * 201 + 5;
      const at = await until(rig, reread, key, () => reread.find(key));
      // Read when it was there: another page may be in its slot by now.
      return at === MISSING ? -1 : at;
    });
    const found = await Promise.all(all);
    ok(found.every((at) => at >= 0));
  }));

test("prefetch brings pages without anybody waiting", () =>
  withPages(64, 1, async (rig) => {
    const tree = new PageTree(rig.cache, PROPERTIES, 1, emptyPointer());
    for (let key = 0; key < 40; key++) put(tree, key, key);
    await checkpoint(rig);
    const cache = openCache(rig, 64);
    const reread = new PageTree(cache, PROPERTIES, 1, tree.root);
    const keys = Uint32Array.of(1, 9, 21);
    for (let round = 0; round < 100; round++) {
      reread.prefetch(keys, keys.length);
      await new Promise<void>((resolve) => rig.reactor.deliverLater(resolve));
    }
    for (const key of keys) ok(reread.find(key) >= 0, `${key}`);
  }));
