/**
 * CatalogueFold: puts what has changed of objects and properties into their trees, at checkpoints.
 *
 *   prepare: asks for the pages, one after the other --> run: sync; MISSING: prepare again
 *
 * `run` may stop half-way: what it has done it does again with the same result.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING, type PageTree } from "../pages/page-tree.ts";
import { writeObjectRecord } from "./object-record.ts";
import { pieceCount, pieceKey, putPiece, removePieces } from "./property-pieces.ts";
import type { VolumeState } from "./volume-state.ts";

export class CatalogueFold implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  readonly #cache: PageCache;
  readonly #objects: PageTree;
  readonly #properties: PageTree;
  readonly #states: ReadonlyMap<number, VolumeState>;
  readonly #gone = new Set<number>();
  readonly #areas = new Map<number, Uint8Array>();
  /** Keys whose pages `prepare` asks for, in turn. */
  #wanted: { readonly tree: PageTree; readonly key: number }[] = [];
  /** Where `run` had to stop. */
  #stopped: { readonly tree: PageTree; readonly key: number } | null = null;
  #done: ((status: Status) => void) | null = null;

  constructor(
    cache: PageCache,
    objects: PageTree,
    properties: PageTree,
    states: ReadonlyMap<number, VolumeState>,
  ) {
    this.#cache = cache;
    this.#objects = objects;
    this.#properties = properties;
    this.#states = states;
  }

  objectGone(id: number): void {
    this.#areas.delete(id);
    this.#gone.add(id);
  }

  /** `area` is the fold's from now on. */
  propertiesChanged(id: number, area: Uint8Array): void {
    this.#areas.set(id, area);
  }

  prepare(done: (status: Status) => void): void {
    assert(this.#done === null, "one checkpoint at a time");
    this.#done = done;
    this.#wanted = this.#keys();
    const stopped = this.#stopped;
    this.#stopped = null;
    if (stopped === null) this.#advance();
    else stopped.tree.load(stopped.key, this);
  }

  pageReady(): void {
    this.#advance();
  }

  /** @returns MISSING, else 0 */
  run(): number {
    for (const state of this.#states.values()) {
      if (!state.needsFold) continue;
      const at = this.#objects.put(state.id);
      if (at < 0) return this.#stop(this.#objects, state.id);
      writeObjectRecord(state.record(), this.#cache.words, at);
      state.folded();
    }
    for (const id of this.#gone) {
      if (this.#objects.removeInLeaf(id, id + 1, null) === MISSING) {
        return this.#stop(this.#objects, id);
      }
      const missing = removePieces(this.#properties, id, 0);
      if (missing >= 0) return this.#stop(this.#properties, missing);
      this.#gone.delete(id);
    }
    for (const [id, area] of this.#areas) {
      const stopped = this.#putArea(id, area);
      if (stopped !== 0) return stopped;
      this.#areas.delete(id);
    }
    return 0;
  }

  #putArea(id: number, area: Uint8Array): number {
    const count = pieceCount(area.length);
    for (let piece = 0; piece < count; piece++) {
      const at = putPiece(this.#cache, this.#properties, { objectId: id, piece, area });
      if (at < 0) return this.#stop(this.#properties, pieceKey(id, piece));
    }
    const missing = removePieces(this.#properties, id, count);
    return missing >= 0 ? this.#stop(this.#properties, missing) : 0;
  }

  #stop(tree: PageTree, key: number): number {
    this.#stopped = { tree, key };
    return MISSING;
  }

  #keys(): { tree: PageTree; key: number }[] {
    const keys: { tree: PageTree; key: number }[] = [];
    for (const state of this.#states.values()) {
      if (state.needsFold) keys.push({ tree: this.#objects, key: state.id });
    }
    for (const id of this.#gone) {
      keys.push({ tree: this.#objects, key: id }, { tree: this.#properties, key: pieceKey(id, 0) });
    }
    for (const [id, area] of this.#areas) {
      for (let piece = 0; piece <= pieceCount(area.length); piece++) {
        keys.push({ tree: this.#properties, key: pieceKey(id, piece) });
      }
    }
    return keys.reverse();
  }

  #advance(): void {
    for (;;) {
      const wanted = this.#wanted.at(-1);
      if (wanted === undefined) {
        this.#end(Status.ok);
        return;
      }
      const at = wanted.tree.find(wanted.key);
      if (at === FAILED) {
        this.#end(Status.mediaError);
        return;
      }
      if (at === MISSING) {
        wanted.tree.load(wanted.key, this);
        return;
      }
      this.#wanted.pop();
    }
  }

  #end(status: Status): void {
    const done = this.#done;
    assert(done !== null, "a preparation ends once");
    this.#done = null;
    this.#wanted = [];
    done(status);
  }
}
