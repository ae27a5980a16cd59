/**
 * Catalogue: the objects of a pool: volumes, and their properties and the pool's own.
 *
 *   load() --> states in memory <-- RecordApplier (live and in replay)
 *                   | prepareFold, fold: what has changed goes into the two trees
 *
 * The states are the truth while the pool is open: records change them at once, the trees get them
 * at each checkpoint. So applying a record of an object never waits for a page.
 */

import type { RangeTable } from "../../block/range-table.ts";
import type { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache } from "../pages/page-cache.ts";
import type { PageTree } from "../pages/page-tree.ts";
import type { RootPointer } from "../pages/root-pointer.ts";

/** Properties of this "object" are the pool's. */
export const POOL_OBJECT = 0;

/** One volume, from its record on until it is gone. Changed by the RecordApplier only. */
export interface VolumeState {
  readonly id: number;
  readonly uuid: string;
  name: string;
  sizeBytes: number;
  isThin: boolean;
  isDeleting: boolean;
  readonly createdMs: number;
  mappedBlocks: number;
  readonly tree: PageTree;
  /** Changes in flight: `RangedRequest`s, of devices and of heals. */
  readonly ranges: RangeTable;
}

export interface CatalogueOptions {
  readonly cache: PageCache;
  /** As in the label; the catalogue's trees own them from now on. */
  readonly objectsRoot: RootPointer;
  readonly propertiesRoot: RootPointer;
  /** As in the label. */
  readonly nextObjectId: number;
}

export class Catalogue {
  readonly objectsRoot: RootPointer;
  readonly propertiesRoot: RootPointer;
  /** For a new object, and for the next label. */
  nextObjectId: number;

  constructor({ objectsRoot, propertiesRoot, nextObjectId }: CatalogueOptions) {
    this.nextObjectId = nextObjectId;
    this.objectsRoot = objectsRoot;
    this.propertiesRoot = propertiesRoot;
  }

  byId(_id: number): VolumeState | undefined {
    assert(false, "not written yet");
  }

  /** Not one that is being deleted. */
  byName(_name: string): VolumeState | undefined {
    assert(false, "not written yet");
  }

  all(): Iterable<VolumeState> {
    assert(false, "not written yet");
  }

  /** Of an object, or of the pool itself (`POOL_OBJECT`). */
  properties(_id: number): ReadonlyMap<string, Uint8Array> {
    assert(false, "not written yet");
  }

  /** Blocks that thick volumes do not map yet: for `SpaceMap.setReserved`. */
  get reservedBlocks(): number {
    assert(false, "not written yet");
  }

  /** Reads all objects, before replay. @throws PenstockError `pool-damaged` */
  load(): Promise<void> {
    assert(false, "not written yet");
  }

  /** Checkpoint, step 1a: asks for the leaves of what has changed. `done` once. */
  prepareFold(_done: (status: Status) => void): void {
    assert(false, "not written yet");
  }

  /**
   * Step 1b, sync: roots, counts and properties are in the trees.
   * @returns false: something changed since `prepareFold`, prepare again
   */
  fold(): boolean {
    assert(false, "not written yet");
  }
}
