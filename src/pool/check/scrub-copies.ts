/**
 * ScrubCopies: looks at both copies of every page of a tree, and at all copies of the labels.
 *
 * The pool goes on meanwhile. A page is judged only if it is the same one, and on the disks, before
 * and after its copies were read; what is bad is put on the cache's list to be written anew.
 */

import { Status } from "../../block/status.ts";
import { readSlots } from "../disks/label-areas.ts";
import { SlotState } from "../pages/cache-slots.ts";
import { checkPage, type PageHeader, readHeader } from "../pages/page-format.ts";
import { MISSING, type PageTree } from "../pages/page-tree.ts";
import { type Address, BLOCK_BYTES, diskOf } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { BlockRun } from "./block-run.ts";
import { loadPath } from "./load-path.ts";

export interface CopiesOwner {
  /** For people: what is bad, and where. `isRepaired`: it is written anew. */
  badCopy(message: string, isRepaired: boolean): void;
  /** Settles when it may go on: so many bytes were read. @returns false: no more */
  mayGoOn(bytes: number): Promise<boolean>;
}

/** What is special about a tree. */
export interface TreeCopies {
  /** Its pages may be gone when not. */
  readonly isThere?: () => boolean;
  /** It never changes: what is bad stays so, and the other copy is read. */
  readonly isFixed?: boolean;
}

interface LookedAt {
  readonly tree: PageTree;
  readonly name: string;
  readonly key: number;
  readonly header: PageHeader;
  readonly isThere: () => boolean;
  readonly isFixed: boolean;
}

const KEYS_END = 2 ** 32;
const REPAIRS_MAX = 1024;

export class ScrubCopies {
  readonly #parts: PoolParts;
  readonly #owner: CopiesOwner;
  readonly #run: BlockRun;

  constructor(parts: PoolParts, owner: CopiesOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.#run = new BlockRun(parts, 2);
  }

  close(): void {
    this.#run.close();
  }

  /** Pages that the tree has from an origin are looked at there. False: it was told to stop. */
  async tree(tree: PageTree, name: string, how: TreeCopies = {}): Promise<boolean> {
    const { isThere = () => true, isFixed = false } = how;
    const seen: Address[] = [];
    for (let key = 0; key < KEYS_END; ) {
      let [bytes, end] = [0, KEYS_END];
      for (let level = tree.root.level; level >= 0 && tree.root.a !== 0; level--) {
        const slot = await this.#slot(tree, key, level, isThere);
        if (slot === null) return true;
        end = endOf(tree, level);
        if (slot < 0 || !this.#parts.cache.isOwn(slot, tree.sharing)) break;
        const header = this.#header(slot);
        if (header === null || seen[level] === header.a) continue;
        seen[level] = header.a;
        await this.#look({ tree, name, key, header, isThere, isFixed });
        bytes += 2 * BLOCK_BYTES;
      }
      if (!(await this.#owner.mayGoOn(bytes))) return false;
      key = end;
    }
    return true;
  }

  /** Both areas of all disks. */
  async labels(): Promise<void> {
    const { disks, checkpointer, isReadOnly } = this.#parts;
    let isBad = false;
    for (let index = 0; index < disks.count; index++) {
      let count = await this.#badLabels(index);
      if (count > 0) {
        // It may just have been being written.
        await checkpointer.idle();
        count = await this.#badLabels(index);
      }
      const { name } = disks.at(index).device.info;
      for (let bad = 0; bad < count; bad++) {
        isBad = true;
        this.#owner.badCopy(`a copy of the label on ${name} is damaged`, true);
      }
    }
    if (isBad && !isReadOnly) checkpointer.request("a copy of the label is damaged");
  }

  async #badLabels(index: number): Promise<number> {
    const { device, blocks } = this.#parts.disks.at(index);
    let bad = 0;
    for (const pair of await readSlots(device, blocks)) {
      // Neither has one: it was never written. Of a label from before the disk has grown, or from
      // before it was the pool's, the second copy was elsewhere, or nowhere.
      const isWhole = pair.some(
        (copy) => copy.kind === "label" && copy.label.disks[index]?.blocks === blocks,
      );
      if (isWhole) bad += pair.filter(({ kind }) => kind !== "label").length;
    }
    return bad;
  }

  /** As `slotOnPath`, but never MISSING; null: the tree is not to be looked at any more. */
  async #slot(
    tree: PageTree,
    key: number,
    level: number,
    isThere: () => boolean,
  ): Promise<number | null> {
    for (;;) {
      if (!isThere()) return null;
      const slot = tree.slotOnPath(key, level);
      if (slot !== MISSING) return slot;
      await loadPath(this.#parts.environment.reactor, tree, key);
    }
  }

  /** Of a page that is on the disks as it is in memory; null: it is not. */
  #header(slot: number): PageHeader | null {
    const { slots } = this.#parts.cache;
    return slots.states[slot] === SlotState.clean
      ? readHeader(slots.view, slot * BLOCK_BYTES)
      : null;
  }

  async #look({ tree, name, key, header, isThere, isFixed }: LookedAt): Promise<void> {
    const { cache, disks } = this.#parts;
    const { view } = this.#run.slab;
    for (const [index, address] of [header.a, header.b].entries()) {
      const status = await this.#run.read(address, 1, index);
      const isRead = status === Status.ok;
      const problem = isRead
        ? checkPage(view, index * BLOCK_BYTES, header, cache.pool)
        : "unreadable";
      if (problem === null) continue;
      const slot = await this.#slot(tree, key, header.level, isThere);
      const now = slot === null || slot < 0 ? null : this.#header(slot);
      if (now === null || now.a !== header.a || now.generation !== header.generation) return;
      const disk = disks.at(diskOf(address)).device.info.name;
      const what = `a copy of a page of ${name} is damaged (${problem}, on ${disk})`;
      this.#owner.badCopy(what, !isFixed);
      if (!isFixed && cache.repairs.length < REPAIRS_MAX) cache.repairs.push({ owner: tree, key });
    }
  }
}

/** Behind the page at `level` that the last look at `tree` came to. */
function endOf(tree: PageTree, level: number): number {
  return level === tree.root.level ? KEYS_END : (tree.path.lasts[level] as number) + 1;
}
