/**
 * Page caches and trees in tests: over disks of memory, with a space that gives blocks in random
 * places and knows which may be used again when. Owned by one test.
 */

import { ok, strictEqual } from "node:assert/strict";
import { Status } from "../block/status.ts";
import type { PoolDisks } from "../pool/disks/pool-disks.ts";
import {
  type FrozenPages,
  PageCache,
  type PageSpace,
  type PageWaiter,
} from "../pool/pages/page-cache.ts";
import type { PageDamage } from "../pool/pages/page-format.ts";
import { MISSING, type PageTree, type TreeKind } from "../pool/pages/page-tree.ts";
import { type Address, addressOf, BLOCK_BYTES } from "../pool/pool-layout.ts";
import { IoLevel } from "../reactor/io.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { Prng } from "../util/prng.ts";
import { mallocDisks, testUuid } from "./pool-disks-rig.ts";

const DISK_BLOCKS = 8192;
/** Four entries a page: high trees of few keys. */
export const PROPERTIES: TreeKind = { kind: 4, entryWords: 251 };
export const MAPPING: TreeKind = { kind: 1, entryWords: 5 };

/** Gives blocks in random places, and knows which may be used again when. */
export class SetSpace implements PageSpace {
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

export interface PagesRig {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly space: SetSpace;
  readonly cache: PageCache;
  readonly damage: PageDamage[];
  readonly prng: Prng;
}

export const openCache = (
  rig: Pick<PagesRig, "reactor" | "disks" | "damage">,
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

export async function withPages(
  slots: number,
  diskCount: number,
  body: (rig: PagesRig) => Promise<void>,
): Promise<void> {
  await withReactor(IoLevel.fake, async ({ reactor, seed }) => {
    const sizes = new Array<number>(diskCount).fill(DISK_BLOCKS);
    const { disks } = await mallocDisks(reactor, sizes);
    const prng = new Prng(seed);
    const space = new SetSpace(prng.fork("space"), diskCount);
    const damage: PageDamage[] = [];
    const cache = openCache({ reactor, disks, damage }, slots);
    cache.space = space;
    await body({ reactor, disks, space, cache, damage, prng });
    await disks.close();
  });
}

/** Tries again until nothing is missing. */
export async function until(
  rig: PagesRig,
  tree: PageTree,
  key: number,
  step: () => number,
): Promise<number> {
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

export async function writeFrozen(rig: PagesRig, frozen: FrozenPages): Promise<void> {
  const status = await new Promise<Status>((resolve) => {
    frozen.write((result) => rig.reactor.deliverLater(() => resolve(result)));
  });
  strictEqual(status, Status.ok);
}

export async function checkpoint(rig: PagesRig): Promise<void> {
  const frozen = rig.cache.freeze();
  await writeFrozen(rig, frozen);
  frozen.committed();
}
