/** ExtentWalk: block-status: which parts of a range a volume maps. */

import { ExtentFlag, type ExtentList } from "../../block/extents.ts";
import { RequestFlag } from "../../block/operation.ts";
import type { Request } from "../../block/request.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { ABSENT, FAILED, MISSING } from "../pages/page-tree.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { keyToLoad } from "./tree-step.ts";
import type { VolumeState } from "./volume-state.ts";

/** Mapped blocks that one walk looks at: the rest of the range is left to the next request. */
const LOOKS_MAX = 65_536;

export interface ExtentOwner {
  /** Once, perhaps before `start` returns. */
  walked(status: Status): void;
}

export class ExtentWalk implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  readonly #cache: PageCache;
  readonly #owner: ExtentOwner;
  #volume: VolumeState | null = null;
  #request: Request | null = null;
  /** Byte of the volume that the answer has come to. */
  #at = 0;
  #looks = 0;

  constructor(cache: PageCache, owner: ExtentOwner) {
    this.#cache = cache;
    this.#owner = owner;
  }

  start(volume: VolumeState, request: Request): void {
    assert(this.#request === null, "a walk is used once at a time");
    this.#volume = volume;
    this.#request = request;
    this.#at = request.offset;
    this.#looks = 0;
    (request.extents as ExtentList).clear(); // checked by submit
    this.#walk();
  }

  pageReady(): void {
    this.#walk();
  }

  #walk(): void {
    const request = this.#request as Request; // since `start`
    const extents = request.extents as ExtentList; // checked by submit
    const end = request.offset + request.length;
    const isOne = (request.flags & RequestFlag.oneExtent) !== 0;
    while (this.#at < end) {
      const flags = extents.flags.length === 0 ? -1 : (extents.flags.at(-1) as number);
      const found = this.#look(end);
      if (found === null) return;
      const isOther = flags >= 0 && flags !== found.flags;
      if (isOther && (isOne || extents.isFull)) break;
      extents.push(found.end - this.#at, found.flags);
      this.#at = found.end;
      if (this.#looks >= LOOKS_MAX) break;
    }
    this.#finish(Status.ok);
  }

  /** What begins at the place that was come to; null: waits for a page, or has ended. */
  #look(end: number): { readonly end: number; readonly flags: number } | null {
    const { tree } = this.#volume as VolumeState; // since `start`
    const block = Math.floor(this.#at / BLOCK_BYTES);
    const at = tree.atLeast(block);
    if (at === MISSING) {
      tree.load(keyToLoad(tree, block), this);
      return null;
    }
    if (at === FAILED) {
      this.#finish(Status.mediaError);
      return null;
    }
    const key = at === ABSENT ? Number.POSITIVE_INFINITY : (this.#cache.words[at] as number);
    if (key > block) {
      return { end: Math.min(key * BLOCK_BYTES, end), flags: ExtentFlag.hole | ExtentFlag.zero };
    }
    let next = block + 1;
    this.#looks++;
    while (next * BLOCK_BYTES < end && this.#looks < LOOKS_MAX && tree.find(next) >= 0) {
      next++;
      this.#looks++;
    }
    return { end: Math.min(next * BLOCK_BYTES, end), flags: 0 };
  }

  #finish(status: Status): void {
    this.#request = null;
    this.#owner.walked(status);
  }
}
