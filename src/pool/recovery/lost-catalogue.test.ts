// Both copies of pages of the catalogue are lost: an import refuses; who only reads, by force, gets
// at what is left, and hears what is not.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { withReactor } from "../../reactor/test-reactor.ts";
import { makePoolImages, tryImages, withoutPages } from "../../testing/pool-images.ts";
import { PageKind } from "../pages/page-format.ts";

const SIZES = [32 * 2 ** 20];

for (const end of ["kill", "export"] as const) {
  test(`properties that are lost leave the volumes to who reads by force, after ${end}`, () =>
    withReactor("fake", async ({ reactor }) => {
      const images = await makePoolImages(reactor, SIZES, end);
      const spoilt = withoutPages(images, PageKind.properties, 0);
      for (const options of [{}, { force: true }, { readOnly: true }]) {
        const { refused } = await tryImages(reactor, spoilt, "before", options);
        strictEqual(refused, "pool-damaged");
      }
      const how = { force: true, readOnly: true, cacheBytes: 64 * 2 ** 20 };
      const { refused, lost, wrong, gone, environment } = await tryImages(
        reactor,
        spoilt,
        "before",
        how,
      );
      deepStrictEqual([refused, lost, wrong, gone], [null, [], [], []]);
      const texts = environment.events.map(({ message }) => message);
      for (const name of ["a", "b"]) ok(texts.includes(`lost: the properties of ${name}`));
    }));

  test(`volumes that are lost are named to who reads by force, after ${end}`, () =>
    withReactor("fake", async ({ reactor }) => {
      const images = await makePoolImages(reactor, SIZES, end);
      const spoilt = withoutPages(images, PageKind.objects, 0);
      const forced = await tryImages(reactor, spoilt, "before", { force: true });
      strictEqual(forced.refused, "pool-damaged");
      const how = { force: true, readOnly: true, cacheBytes: 64 * 2 ** 20 };
      const { refused, wrong, gone, environment } = await tryImages(reactor, spoilt, "before", how);
      deepStrictEqual([refused, wrong], [null, []]);
      const texts = environment.events.map(({ message }) => message).join("\n");
      deepStrictEqual(gone, ["a", "b"]);
      ok(/lost: volumes and snapshots with ids from 0 to 2/.test(texts), texts);
    }));
}
