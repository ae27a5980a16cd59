/**
 * VolumeState: what is known of one volume while its pool is open: the truth between checkpoints.
 *
 * Changed by the RecordApplier only (`sizeBytes` also by a resize, just before it is logged).
 */

import { RangeTable } from "../../block/range-table.ts";
import type { PageCache } from "../pages/page-cache.ts";
import { PageKind } from "../pages/page-format.ts";
import { PageTree } from "../pages/page-tree.ts";
import { copyPointer, emptyPointer, type RootPointer } from "../pages/root-pointer.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import type { ObjectRecord } from "./object-record.ts";
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

export class VolumeState {
  readonly id: number;
  readonly uuid: string;
  readonly createdMs: number;
  readonly tree: PageTree;
  /** Changes in flight: `RangedRequest`s, of devices and of heals. */
  readonly ranges = new RangeTable((request) => this.#enter(request as RangedRequest));
  /** Compare-and-writes under way: reads keep to their order meanwhile. */
  atomicChanges = 0;
  name: string;
  sizeBytes: number;
  isThin: boolean;
  isDeleting: boolean;
  mappedBlocks: number;
  propertiesBytes: number;
  propertiesCrc: number;
  /** Something but root and count differs from the record in the objects tree. */
  isRecordNew: boolean;
  /** Those that may go on; one may end, and so let others go on, at once. */
  readonly #entered: RangedRequest[] = [];
  #isEntering = false;
  readonly #foldedRoot: RootPointer = emptyPointer();
  #foldedBlocks: number;

  constructor(cache: PageCache, record: ObjectRecord, isNew: boolean) {
    const root = emptyPointer();
    if (!isNew) copyPointer(record.root, root);
    copyPointer(root, this.#foldedRoot);
    this.id = record.id;
    this.uuid = record.uuid;
    this.createdMs = record.createdMs;
    const kind = { kind: PageKind.mapping, entryWords: MAPPING_ENTRY_WORDS };
    this.tree = new PageTree(cache, kind, record.id, root);
    this.name = record.name;
    this.sizeBytes = record.sizeBytes;
    this.isThin = record.isThin;
    this.isDeleting = record.isDeleting;
    this.mappedBlocks = isNew ? 0 : record.mappedBlocks;
    this.propertiesBytes = isNew ? 0 : record.propertiesBytes;
    this.propertiesCrc = isNew ? 0 : record.propertiesCrc;
    this.isRecordNew = isNew;
    this.#foldedBlocks = this.mappedBlocks;
  }

  get blocks(): number {
    return Math.ceil(this.sizeBytes / BLOCK_BYTES);
  }

  /** Kept for it although it does not map them yet. */
  get reservedBlocks(): number {
    return this.isThin || this.isDeleting ? 0 : Math.max(this.blocks - this.mappedBlocks, 0);
  }

  /** Its record in the objects tree is not what it should be. */
  get needsFold(): boolean {
    const { a, b, generation, level } = this.#foldedRoot;
    const { root } = this.tree;
    const isRootNew = root.a !== a || root.b !== b || root.generation !== generation;
    return (
      isRootNew ||
      root.level !== level ||
      this.isRecordNew ||
      this.mappedBlocks !== this.#foldedBlocks
    );
  }

  /** The record in the tree is `record` now. */
  folded(): void {
    copyPointer(this.tree.root, this.#foldedRoot);
    this.#foldedBlocks = this.mappedBlocks;
    this.isRecordNew = false;
  }

  /** As it is from now on, by a record of the log. */
  take(record: ObjectRecord): void {
    this.name = record.name;
    this.sizeBytes = record.sizeBytes;
    this.isThin = record.isThin;
    this.isDeleting = record.isDeleting;
    this.isRecordNew = true;
  }

  record(): ObjectRecord {
    return {
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
    };
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
