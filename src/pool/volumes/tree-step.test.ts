// Where the page is that a look has missed.

import { ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { checkpoint, PROPERTIES, until, withPages } from "../../testing/pages-rig.ts";
import { MISSING, PageTree } from "../pages/page-tree.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import { keyToLoad } from "./tree-step.ts";

test("keyToLoad finds the page above a leaf that is in memory", () =>
  withPages(32, 1, async (rig) => {
    const [tree, other] = [1, 2].map(
      (id) => new PageTree(rig.cache, PROPERTIES, id, emptyPointer()),
    );
    ok(tree !== undefined && other !== undefined);
    for (let key = 0; key < 120; key++) {
      for (const each of [tree, other]) await until(rig, each, key, () => each.put(key));
      if (key % 20 === 19) await checkpoint(rig);
    }
    await until(rig, tree, 0, () => tree.find(0));
    // Looks by the hint keep the leaf in memory, and others drive the root out.
    for (let key = 0; key < 120; key++) {
      ok(tree.find(0) >= 0);
      await until(rig, other, key, () => other.find(key));
    }
    strictEqual(tree.atLeast(0), MISSING);
    strictEqual(keyToLoad(tree, 0), 0);
    const at = await until(rig, tree, 0, () => tree.atLeast(0));
    strictEqual(rig.cache.words[at], 0);
  }));
