/**
 * VolumeState: what is known of one volume or snapshot while its pool is open: the truth between
 * checkpoints.
 *
 * Volumes and snapshots of a family are a tree by `origin`: volumes are leaves, what a snapshot
 * holds never changes. Changed by the RecordApplier only (`sizeBytes` also by a resize, just
 * before it is logged).
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import { RangeTable } from "../../block/range-table.ts";
import type { PageCache } from "../pages/page-cache.ts";
import { PageKind } from "../pages/page-format.ts";
import { PageTree } from "../pages/page-tree.ts";
import { copyPointer, emptyPointer, type RootPointer } from "../pages/root-pointer.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { ObjectKind, ObjectRecord } from "./object-record.ts";
import type { RangedRequest } from "./ranged-request.ts";

/** Words of an entry of a mapping tree, by their place in it. */
export const MappingWord = {
  addressLow: 1,
  /** Address high (u16), flags (u16). */
  addressHigh: 2,
  checksum: 3,
  epoch: 4,
} as const;
export const MAPPING_ENTRY_WORDS = 5;

/** Flags of a mapping entry, where they are in its word. */
export const MappingFlag = {
  noChecksum: 1 << 16,
  /** Reads give media-error; a write or a heal ends it. */
  damaged: 2 << 16,
} as const;

const KEYS_END = 2 ** 32;
const CHILDLESS: ReadonlySet<VolumeState> = new Set();

export class VolumeState {
  readonly kind: ObjectKind;
  readonly id: number;
  readonly uuid: string;
  readonly createdMs: number;
  readonly tree: PageTree;
  /** Of the first object of the family: what the headers of its pages name. */
  readonly family: number;
  /** Of a snapshot: the epoch it was taken in; else 0. */
  readonly takenEpoch: number;
  /** Compare-and-writes under way: reads keep to their order meanwhile. */
  atomicChanges = 0;
  name: string;
  sizeBytes: number;
  isThin: boolean;
  isDeleting: boolean;
  /** Of a snapshot: id of the volume that it belongs to; else 0. */
  ownerId: number;
  mappedBlocks: number;
  /** Of those, as many at most are the origin's, too. */
  sharedBlocks: number;
  propertiesBytes: number;
  propertiesCrc: number;
  /** Something but root and count differs from the record in the objects tree. */
  isRecordNew: boolean;
  /** How often it got another origin or another content: for who goes through it meanwhile. */
  placements = 0;
  #origin: VolumeState | null = null;
  #children: Set<VolumeState> | null = null;
  #cursor: number;
  #ranges: RangeTable | null = null;
  /** Those that may go on; one may end, and so let others go on, at once. */
  readonly #entered: RangedRequest[] = [];
  #isEntering = false;
  readonly #foldedRoot: RootPointer = emptyPointer();
  #foldedBlocks: number;
  #foldedShared: number;

  /** It has no origin yet: `place`. */
  constructor(cache: PageCache, record: ObjectRecord, isNew: boolean) {
    const root = emptyPointer();
    if (!isNew) copyPointer(record.root, root);
    copyPointer(root, this.#foldedRoot);
    this.kind = record.kind;
    this.id = record.id;
    this.uuid = record.uuid;
    this.createdMs = record.createdMs;
    const kind = { kind: PageKind.mapping, entryWords: MAPPING_ENTRY_WORDS };
    this.tree = new PageTree(cache, kind, record.family, root);
    this.family = record.family;
    this.takenEpoch = record.takenEpoch;
    this.ownerId = record.ownerId;
    this.#cursor = record.cursor;
    this.name = record.name;
    this.sizeBytes = record.sizeBytes;
    this.isThin = record.isThin;
    this.isDeleting = record.isDeleting;
    this.mappedBlocks = isNew ? 0 : record.mappedBlocks;
    this.sharedBlocks = isNew ? 0 : Math.min(record.sharedBlocks, record.mappedBlocks);
    this.propertiesBytes = isNew ? 0 : record.propertiesBytes;
    this.propertiesCrc = isNew ? 0 : record.propertiesCrc;
    this.isRecordNew = isNew;
    this.#foldedBlocks = this.mappedBlocks;
    this.#foldedShared = this.sharedBlocks;
    this.#fix();
  }

  get blocks(): number {
    return Math.ceil(this.sizeBytes / BLOCK_BYTES);
  }

  /** Kept for it although it does not map them yet, or maps what it must not overwrite. */
  get reservedBlocks(): number {
    if (this.isThin || this.isDeleting || this.kind === "snapshot") return 0;
    const { blocks, mappedBlocks } = this;
    return Math.max(blocks - mappedBlocks + Math.min(this.sharedBlocks, mappedBlocks), 0);
  }

  /** Changes in flight: `RangedRequest`s, of devices and of heals. Hot path. */
  get ranges(): RangeTable {
    this.#ranges ??= new RangeTable((request) => this.#enter(request as RangedRequest));
    return this.#ranges;
  }

  /** The snapshot that it began as a copy of. */
  get origin(): VolumeState | null {
    return this.#origin;
  }

  /** Those whose origin it is. */
  get children(): ReadonlySet<VolumeState> {
    return this.#children ?? CHILDLESS;
  }

  /** What has an epoch up to this in its tree is the origin's, too. */
  get sharedThrough(): number {
    return this.tree.sharing.through;
  }

  /** Being deleted, and still needed: what it alone has comes back when one child is left. */
  get isWaiting(): boolean {
    return this.isDeleting && this.children.size > 1;
  }

  /** Of one that is being deleted: keys below have been gone through; 2^32: all. */
  get cursor(): number {
    return this.#cursor;
  }

  set cursor(key: number) {
    assert(key >= this.#cursor && key <= KEYS_END, "a cut goes forwards");
    this.#cursor = key;
    this.isRecordNew = true;
    // A child may change pages that lie below it from now on, in their places.
    this.tree.forgetLeaf();
    for (const child of this.children) child.#border();
  }

  /** Puts it into the tree of versions, somewhere else when it is there. */
  place(origin: VolumeState | null, sharedThrough: number): void {
    assert(origin !== null || sharedThrough === 0, "without an origin nothing is shared");
    this.placements++;
    if (this.#origin !== null) this.#origin.#children?.delete(this);
    this.#origin = origin;
    if (origin !== null) {
      origin.#children ??= new Set();
      origin.#children.add(this);
    }
    // Pages that it has copied may become others' to change.
    this.tree.forgetLeaf();
    this.tree.sharing.through = sharedThrough;
    this.#border();
    if (this.#cursor > 0) for (const child of this.children) child.#border();
    this.isRecordNew = true;
  }

  /** Takes another's content: its tree from now on. */
  takeRoot(root: Readonly<RootPointer>, mappedBlocks: number): void {
    this.placements++;
    this.tree.setRoot(root);
    this.mappedBlocks = mappedBlocks;
    this.isRecordNew = true;
  }

  /** Its record in the objects tree is not what it should be. */
  get needsFold(): boolean {
    const { a, b, generation, level, epoch } = this.#foldedRoot;
    const { root } = this.tree;
    const isRootNew = root.a !== a || root.b !== b || root.generation !== generation;
    return (
      isRootNew ||
      root.level !== level ||
      // One that the cut of the origin has left to it gets another, where it is.
      root.epoch !== epoch ||
      this.isRecordNew ||
      this.mappedBlocks !== this.#foldedBlocks ||
      this.sharedBlocks !== this.#foldedShared
    );
  }

  /** The record in the tree is `record` now. */
  folded(): void {
    copyPointer(this.tree.root, this.#foldedRoot);
    this.#foldedBlocks = this.mappedBlocks;
    this.#foldedShared = this.sharedBlocks;
    this.isRecordNew = false;
  }

  /** As it is from now on, by a record of the log; its place and its content stay. */
  take(record: ObjectRecord): void {
    this.name = record.name;
    this.sizeBytes = record.sizeBytes;
    this.isThin = record.isThin;
    this.isDeleting = record.isDeleting;
    this.ownerId = record.ownerId;
    this.isRecordNew = true;
    this.#fix();
  }

  record(): ObjectRecord {
    return {
      kind: this.kind,
      id: this.id,
      uuid: this.uuid,
      name: this.name,
      sizeBytes: this.sizeBytes,
      isThin: this.isThin,
      isDeleting: this.isDeleting,
      createdMs: this.createdMs,
      mappedBlocks: this.mappedBlocks,
      root: this.tree.root,
      propertiesBytes: this.propertiesBytes,
      propertiesCrc: this.propertiesCrc,
      originId: this.#origin?.id ?? 0,
      sharedThrough: this.sharedThrough,
      takenEpoch: this.takenEpoch,
      cursor: this.#cursor,
      family: this.family,
      ownerId: this.ownerId,
      sharedBlocks: Math.min(this.sharedBlocks, this.mappedBlocks),
    };
  }

  /** What a snapshot holds is its children's, too; of what is deleted, less and less is there. */
  #fix(): void {
    this.tree.sharing.isFixed = this.kind === "snapshot" || this.isDeleting;
  }

  /** What the cut of its origin has passed is its own. */
  #border(): void {
    const { sharing } = this.tree;
    sharing.cursor = this.#origin?.cursor ?? 0;
    sharing.passedThrough = this.#origin?.sharedThrough ?? 0;
  }

  /** In a loop: a long chain of requests does not grow the stack. */
  #enter(request: RangedRequest): void {
    this.#entered.push(request);
    if (this.#isEntering) return;
    this.#isEntering = true;
    for (let next = this.#entered.shift(); next !== undefined; next = this.#entered.shift()) {
      next.rangeEntered();
    }
    this.#isEntering = false;
  }
}
