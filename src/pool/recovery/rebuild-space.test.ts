// Both copies of pages of a space map are lost: named without force; with it the map is made anew.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import {
  makePoolImages,
  openImages,
  type PoolImages,
  tryImages,
  withoutPages,
} from "../../testing/pool-images.ts";
import { poolEnvironment } from "../../testing/pool-rig.ts";
import { Prng } from "../../util/prng.ts";
import { walkPool } from "../check/pool-walk.ts";
import { PageKind } from "../pages/page-format.ts";
import { Pool } from "../pool.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";

const MIB = 2 ** 20;
const WELL = { refused: null, lost: [], wrong: [], gone: [] };

/** Imports by force, looks, writes more, is killed, and looks again without force. */
async function useRebuilt(reactor: Reactor, images: PoolImages): Promise<void> {
  const environment = poolEnvironment(reactor, "rebuilt");
  const disks = openImages(reactor, images.sizesBytes, images.disks, "before");
  const pool = await Pool.import(environment, disks, { force: true, cacheBytes: MIB });
  const codes = environment.events.map(({ code }) => code);
  strictEqual(codes.filter((code) => code === "pool-map-rebuilt").length, 1, codes.join());
  deepStrictEqual((await walkPool(pool.parts)).problems, []);
  const device = new PromiseDevice(await pool.openVolume("b", { stageName: "b" }));
  const content = images.contents.get("b") as Uint8Array;
  const random = new Prng("more");
  for (let count = 0; count < 200; count++) {
    const at = random.below(content.length / BLOCK_BYTES) * BLOCK_BYTES;
    random.fill(content.subarray(at, at + BLOCK_BYTES));
    await device.writeAt(at, Uint8Array.from(content.subarray(at, at + BLOCK_BYTES)));
    if (count % 70 === 69) await pool.parts.checkpointer.run("in use");
  }
  const after = { ...images, disks: disks.map((disk) => disk.kill(random)) };
  const { refused, lost, wrong, gone } = await tryImages(reactor, after, "before");
  deepStrictEqual({ refused, lost, wrong, gone }, WELL);
}

for (const end of ["kill", "export"] as const) {
  for (const sizesBytes of [[32 * MIB], [32 * MIB, 32 * MIB], [32 * MIB, 16 * MIB, 16 * MIB]]) {
    test(`a lost map of one of ${sizesBytes.length} disks is made anew, after ${end}`, () =>
      withReactor("fake", async ({ reactor }) => {
        for (const disk of sizesBytes.keys()) {
          const images = await makePoolImages(reactor, sizesBytes, end);
          const spoilt = withoutPages(images, PageKind.space, disk);
          const { refused, lost, wrong, environment } = await tryImages(reactor, spoilt, "before");
          deepStrictEqual([lost, wrong], [[], []]);
          const told = environment.events.some(({ code }) => code === "pool-damage-found");
          ok(refused === "pool-damaged" || told || end === "export", `${refused}`);
          await useRebuilt(reactor, spoilt);
        }
      }));
  }
}

test("a map is not made anew where a page of a volume is lost, too", () =>
  withReactor("fake", async ({ reactor }) => {
    const images = await makePoolImages(reactor, [32 * MIB, 32 * MIB], "export");
    const spoilt = withoutPages(withoutPages(images, PageKind.space, 1), PageKind.mapping, 2);
    const outcome = await tryImages(reactor, spoilt, "before", { force: true });
    deepStrictEqual([outcome.refused, outcome.wrong, outcome.gone], [null, [], []]);
    ok(outcome.lost.length > 0 && outcome.lost.every((block) => block.startsWith("b ")));
    const texts = outcome.environment.events.map(({ message }) => message);
    ok(
      texts.some((text) => text.includes("cannot be made anew")),
      texts.join("\n"),
    );
  }));
