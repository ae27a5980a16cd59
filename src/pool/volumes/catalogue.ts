/**
 * Catalogue: the objects of a pool: volumes and snapshots, and their properties and the pool's own.
 *
 *   load() --> states in memory <-- RecordApplier (live and in replay)
 *                   | prepareFold, fold: what has changed goes into the two trees
 *
 * The states are the truth while the pool is open: records change them at once, the trees get them
 * at each checkpoint. So applying a record of an object never waits for a page.
 */

import type { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { crc32c } from "../../util/crc32c.ts";
import { PenstockError, toPenstockError } from "../../util/errors.ts";
import type { PageCache, PageFold } from "../pages/page-cache.ts";
import { PageKind } from "../pages/page-format.ts";
import { FAILED, MISSING, PageTree } from "../pages/page-tree.ts";
import type { RootPointer } from "../pages/root-pointer.ts";
import { CatalogueFold } from "./catalogue-fold.ts";
import { OBJECT_RECORD_WORDS, type ObjectRecord, readObjectRecord } from "./object-record.ts";
import { PROPERTIES_ENTRY_WORDS, PropertyPieces } from "./property-pieces.ts";
import { decodeProperties, type Properties } from "./properties-area.ts";
import { TreeStep } from "./tree-step.ts";
import type { PlannedVersion } from "./version-plan.ts";
import { VolumeState } from "./volume-state.ts";

export { VolumeState };

/** Properties of this "object" are the pool's. */
export const POOL_OBJECT = 0;

/** Keys of trees have 32 bits. */
const IDS_END = 2 ** 32;
const NO_PROPERTIES: Properties = new Map();
const NO_STATES: ReadonlySet<VolumeState> = new Set();

export interface CatalogueOptions {
  readonly reactor: Reactor;
  readonly cache: PageCache;
  /** As in the label; the catalogue's trees own them from now on. */
  readonly objectsRoot: RootPointer;
  readonly propertiesRoot: RootPointer;
  /** As in the label. */
  readonly nextObjectId: number;
}

export class Catalogue implements PageFold {
  /** For a new object, and for the next label. */
  nextObjectId: number;
  readonly objects: PageTree;
  readonly propertyTree: PageTree;
  readonly #reactor: Reactor;
  readonly #cache: PageCache;
  readonly #states = new Map<number, VolumeState>();
  /** Of those that are not being deleted. */
  readonly #byName = new Map<string, VolumeState>();
  readonly #byUuid = new Map<string, VolumeState>();
  /** Snapshots by the object id of their volume, in the order of their taking. */
  readonly #snapshotsOf = new Map<number, Set<VolumeState>>();
  #committedBytes = 0;
  readonly #properties = new Map<number, Properties>();
  readonly #fold: CatalogueFold;
  #reservedBlocks = 0;

  constructor(options: CatalogueOptions) {
    const { cache, objectsRoot, propertiesRoot } = options;
    const objects = { kind: PageKind.objects, entryWords: OBJECT_RECORD_WORDS };
    const properties = { kind: PageKind.properties, entryWords: PROPERTIES_ENTRY_WORDS };
    this.nextObjectId = options.nextObjectId;
    this.#reactor = options.reactor;
    this.#cache = cache;
    this.objects = new PageTree(cache, objects, 0, objectsRoot);
    this.propertyTree = new PageTree(cache, properties, 0, propertiesRoot);
    this.#fold = new CatalogueFold(cache, this.objects, this.propertyTree, this.#states);
    cache.catalogue = this;
  }

  get objectsRoot(): RootPointer {
    return this.objects.root;
  }

  get propertiesRoot(): RootPointer {
    return this.propertyTree.root;
  }

  // hot path
  byId(id: number): VolumeState | undefined {
    return this.#states.get(id);
  }

  /** Not one that is being deleted. A snapshot's name is volume@name. */
  byName(name: string): VolumeState | undefined {
    return this.#byName.get(name);
  }

  /** Not one that is being deleted. */
  byUuid(uuid: string): VolumeState | undefined {
    return this.#byUuid.get(uuid);
  }

  /** Snapshots of a volume, in the order of their taking. None is being deleted. */
  snapshotsOf(volumeId: number): ReadonlySet<VolumeState> {
    return this.#snapshotsOf.get(volumeId) ?? NO_STATES;
  }

  /** Sizes of all volumes that are not being deleted. */
  get committedBytes(): number {
    return this.#committedBytes;
  }

  all(): Iterable<VolumeState> {
    return this.#states.values();
  }

  /** Of an object, or of the pool itself (`POOL_OBJECT`). */
  properties(id: number): Properties {
    return this.#properties.get(id) ?? NO_PROPERTIES;
  }

  /** Blocks that thick volumes do not map yet: for `SpaceMap.setReserved`. */
  get reservedBlocks(): number {
    return this.#reservedBlocks;
  }

  /** By the applier: a thick volume maps more, or fewer. Hot path. */
  reservedChanged(more: number): void {
    this.#reservedBlocks += more;
  }

  /** By the applier: a record of the log. Its place among versions stays. */
  takeObject(record: ObjectRecord): void {
    const state = this.#states.get(record.id);
    if (state === undefined) {
      this.#add(new VolumeState(this.#cache, record, true));
    } else {
      this.#leave(state);
      state.take(record);
      this.#enter(state);
    }
    this.nextObjectId = Math.max(this.nextObjectId, record.id + 1);
  }

  /** By the applier: a record of versions, all of it at once. */
  takeVersions(plan: readonly PlannedVersion[]): void {
    for (const { record, content } of plan) {
      const known = this.#states.get(record.id);
      const state = known ?? new VolumeState(this.#cache, record, true);
      if (known !== undefined) this.#leave(known);
      state.take(record);
      if (content !== null) state.takeRoot(content.root, content.mappedBlocks);
      this.#states.set(state.id, state);
      this.nextObjectId = Math.max(this.nextObjectId, record.id + 1);
    }
    for (const { record, place } of plan) {
      const state = this.#states.get(record.id) as VolumeState; // it was put there above
      if (place !== null) {
        const origin = this.#states.get(place.originId) ?? null;
        state.place(origin, place.sharedThrough);
        state.sharedBlocks = origin === null ? 0 : state.mappedBlocks;
      }
      this.#enter(state);
    }
    this.#fold.objectsChanged(plan.length);
  }

  /** By the applier: nothing is to be freed any more; its only child takes its place. */
  takeObjectGone(state: VolumeState): void {
    const { id, origin, sharedThrough } = state;
    for (const child of [...state.children]) {
      this.#leave(child);
      child.place(origin, sharedThrough);
      child.sharedBlocks = Math.min(child.sharedBlocks, origin?.mappedBlocks ?? 0);
      this.#enter(child);
    }
    this.#leave(state);
    state.place(null, 0);
    this.#states.delete(id);
    this.#properties.delete(id);
    this.#fold.objectGone(id);
  }

  /** By the applier: all properties of an object. False: bytes that are none. */
  takeProperties(id: number, bytes: Uint8Array): boolean {
    const properties = decodeProperties(bytes);
    const state = this.#states.get(id);
    if (properties === null || (state === undefined && id !== POOL_OBJECT)) return false;
    this.#properties.set(id, properties);
    this.#fold.propertiesChanged(id, Uint8Array.from(bytes));
    if (state !== undefined) {
      state.propertiesBytes = bytes.length;
      state.propertiesCrc = crc32c(bytes, 0, bytes.length);
      state.isRecordNew = true;
    }
    return true;
  }

  /**
   * Reads all objects, before replay.
   * @param onLost is told what cannot be read, and it is left out: only where nothing is written
   * @throws PenstockError `pool-damaged`, unless there is `onLost`
   */
  async load(onLost: ((what: string) => void) | null = null): Promise<void> {
    const step = new TreeStep(this.#reactor);
    const { words } = this.#cache;
    const origins = new Map<number, ObjectRecord>();
    for (let id = 0; ; ) {
      const at = await step.atLeast(this.objects, id);
      if (at === null) break;
      if (at < 0) {
        if (onLost === null) throw damaged("a page of volumes cannot be read");
        id = this.#behindLost(id, onLost);
        continue;
      }
      const record = readObjectRecord(words, at);
      if (record === null) throw damaged("the record of a volume makes no sense");
      this.#add(new VolumeState(this.#cache, record, false));
      if (record.originId !== 0) origins.set(record.id, record);
      id = record.id + 1;
    }
    for (const record of origins.values()) tryTo(() => this.#placeLoaded(record), onLost);
    const pieces = new PropertyPieces(this.#cache, this.propertyTree, step);
    for (const state of this.#states.values()) {
      const isBare = state.propertiesBytes === 0 && state.propertiesCrc === 0;
      if (!isBare) await this.#loadProperties(pieces, state.id, state, onLost);
    }
    await this.#loadProperties(pieces, POOL_OBJECT, null, onLost);
  }

  foldPages(records: number): number {
    return this.#fold.pages(records);
  }

  /** Checkpoint, step 1a: puts most of it into the trees, while I/O goes on. `done` once. */
  prepareFold(done: (status: Status) => void): void {
    this.#fold.prepare(done);
  }

  /**
   * Step 1b, sync: roots, counts and properties are in the trees.
   * @returns false: something changed since `prepareFold`, prepare again
   */
  fold(): boolean {
    return this.#fold.run() !== MISSING;
  }

  /** The first id behind the page that is lost, at or behind that of `id`. */
  #behindLost(id: number, onLost: (what: string) => void): number {
    const end = this.objects.leafEnd(id);
    if (end === MISSING) return id;
    if (this.objects.find(id) === FAILED) {
      const last = end < 0 ? this.nextObjectId - 1 : Math.min(end, this.nextObjectId) - 1;
      onLost(`volumes and snapshots with ids from ${id} to ${last}, as many as there were`);
    }
    return end < 0 ? IDS_END : end;
  }

  #add(state: VolumeState): void {
    this.#states.set(state.id, state);
    this.#enter(state);
  }

  /** As its record says; the record in the tree is that. */
  #placeLoaded({ id, originId, sharedThrough, sharedBlocks }: ObjectRecord): void {
    const state = this.#states.get(id);
    const origin = this.#states.get(originId);
    const taken = origin?.takenEpoch ?? 0;
    // Epochs go down towards origins, so that no ring forms.
    if (state === undefined || origin === undefined || taken === 0 || taken !== sharedThrough) {
      throw damaged("the origin of a volume or snapshot makes no sense");
    }
    this.#leave(state);
    state.place(origin, sharedThrough);
    state.sharedBlocks = Math.min(sharedBlocks, state.mappedBlocks);
    state.isRecordNew = false;
    this.#enter(state);
  }

  /** In sums and lists, as it is now. */
  #enter(state: VolumeState): void {
    this.#reservedBlocks += state.reservedBlocks;
    if (state.isDeleting) return;
    this.#byName.set(state.name, state);
    this.#byUuid.set(state.uuid, state);
    if (state.kind === "volume") {
      this.#committedBytes += state.sizeBytes;
      return;
    }
    const snapshots = this.#snapshotsOf.get(state.ownerId) ?? new Set();
    snapshots.add(state);
    this.#snapshotsOf.set(state.ownerId, snapshots);
  }

  /** Out of them; before it changes. */
  #leave(state: VolumeState): void {
    this.#reservedBlocks -= state.reservedBlocks;
    if (state.isDeleting) return;
    if (this.#byName.get(state.name) === state) this.#byName.delete(state.name);
    if (this.#byUuid.get(state.uuid) === state) this.#byUuid.delete(state.uuid);
    if (state.kind === "volume") {
      this.#committedBytes -= state.sizeBytes;
      return;
    }
    const snapshots = this.#snapshotsOf.get(state.ownerId);
    snapshots?.delete(state);
    if (snapshots?.size === 0) this.#snapshotsOf.delete(state.ownerId);
  }

  async #loadProperties(
    pieces: PropertyPieces,
    id: number,
    state: VolumeState | null,
    onLost: ((what: string) => void) | null,
  ): Promise<void> {
    const bytes = await pieces.read(id, state?.propertiesBytes ?? null);
    const isRight = state === null || crc32c(bytes, 0, bytes.length) === state.propertiesCrc;
    const properties = isRight ? decodeProperties(bytes) : null;
    if (properties === null && onLost !== null) {
      onLost(`the properties of ${state?.name ?? "the pool"}`);
      return;
    }
    if (properties === null) {
      throw damaged(`the properties of ${state?.name ?? "the pool"} make no sense`);
    }
    if (properties.size > 0) this.#properties.set(id, properties);
  }
}

/** What goes wrong is told, if somebody listens. */
function tryTo(step: () => void, onLost: ((what: string) => void) | null): void {
  try {
    step();
  } catch (error) {
    if (onLost === null) throw error;
    onLost(toPenstockError(error).message);
  }
}

function damaged(what: string): PenstockError {
  return new PenstockError({
    code: "pool-damaged",
    message: `${what}: both copies of a part of the pool's catalogue are damaged`,
  });
}
