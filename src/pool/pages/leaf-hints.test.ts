// Hints of leaves where they could lead astray: trees that share leaves and copy them when they
// change, change places, and are taken apart, side by side in one cache.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { checkpoint, MAPPING, type PagesRig, until, withPages } from "../../testing/pages-rig.ts";
import { LeafHints } from "./leaf-hints.ts";
import { PageTree } from "./page-tree.ts";
import { emptyPointer } from "./root-pointer.ts";

const KEYS = 4000;

interface Version {
  readonly tree: PageTree;
  model: Map<number, number>;
}

async function look(rig: PagesRig, { tree, model }: Version, key: number): Promise<void> {
  const at = await until(rig, tree, key, () => tree.find(key));
  strictEqual(at < 0 ? undefined : rig.cache.words[at + 1], model.get(key), `${key}`);
}

async function put(rig: PagesRig, { tree, model }: Version, key: number): Promise<void> {
  const at = await until(rig, tree, key, () => tree.put(key));
  ok(at >= 0, `put says ${at}`);
  const value = rig.prng.nextUint32();
  rig.cache.words[at + 1] = value;
  model.set(key, value);
}

/** The version's state so far is another's from now on; both go on from the same pages. */
function snapshot(rig: PagesRig, { tree, model }: Version, id: number): Version {
  const taken = new PageTree(rig.cache, MAPPING, id, tree.root);
  taken.sharing.through = tree.sharing.through;
  tree.sharing.through = rig.cache.epoch++;
  tree.forgetLeaf();
  return { tree: taken, model: new Map(model) };
}

test("a tree looks at its own leaves, not at those that it has copied or left", () =>
  withPages(600, 1, async (rig) => {
    const { prng } = rig;
    const volume = {
      tree: new PageTree(rig.cache, MAPPING, 1, emptyPointer()),
      model: new Map<number, number>(),
    };
    for (let key = 0; key < KEYS; key++) await put(rig, volume, key);
    const versions: Version[] = [volume];
    for (let step = 0; step < 3000; step++) {
      if (step % 500 === 250) versions.push(snapshot(rig, volume, versions.length + 1));
      if (step % 300 === 0) await checkpoint(rig);
      if (step % 750 === 749) {
        // Rolled back: the pages of a snapshot, and nothing of its own.
        const { tree, model } = versions.at(-1) as Version; // there are some by now
        volume.tree.setRoot(tree.root);
        volume.tree.sharing.through = rig.cache.epoch++;
        volume.model = new Map(model);
      }
      const version = versions[prng.below(versions.length)] as Version;
      await look(rig, version, prng.below(KEYS));
      // Several in one leaf, and looked at again from elsewhere: the first copies it.
      const first = prng.below(KEYS);
      const near = [0, 70, 140].map((more) => (first + more) % KEYS);
      for (const key of near) await look(rig, volume, key);
      for (const key of near) await put(rig, volume, key);
      await look(rig, volume, (first + KEYS / 2) % KEYS);
      for (const key of near) await look(rig, volume, key);
    }
    for (const version of versions) {
      for (let key = 0; key < KEYS; key++) await look(rig, version, key);
    }
  }));

test("LeafHints.forget takes the hints of a range away, and says when there are too many", () => {
  const hints = new LeafHints();
  const [tag, other] = [hints.newTag(), hints.newTag()];
  const versions = new Uint32Array(4).fill(5);
  for (const key of [0, 63, 64, 200, 2 ** 32 - 1]) hints.set(tag, key, 1, 5);
  hints.set(other, 64, 2, 5);
  strictEqual(hints.forget(tag, 64, 199), true);
  const found = [0, 63, 64, 200, 2 ** 32 - 1].map((key) => hints.get(tag, key, versions));
  deepStrictEqual(found, [1, 1, -1, -1, 1]);
  strictEqual(hints.get(other, 64, versions), 2);
  strictEqual(hints.forget(tag, 2 ** 32 - 100, 2 ** 32 - 1), true);
  strictEqual(hints.get(tag, 2 ** 32 - 1, versions), -1);
  strictEqual(hints.forget(tag, 0, 2 ** 32 - 1), false);
});
