/**
 * The record of an object (a volume or a snapshot) in the objects tree and in the log: 128 words,
 * the first of which is its id. Pure.
 *
 * | at | bytes | field |
 * |---|---|---|
 * | 0 | 4 | id |
 * | 4 | 1+1+2 | kind (1 volume, 2 snapshot), state (1 ready, 2 being deleted), flags (1 thick, 2 \
 *   read-only, 4 cut to its end) |
 * | 8 | 16 | uuid |
 * | 24 | 8 | size in bytes |
 * | 32 | 8 | created, ms since 1970 |
 * | 40 | 8 | mapped blocks |
 * | 48 | 24 | mapping root |
 * | 72 | 4 | origin |
 * | 76 | 4 | shared through |
 * | 80 | 4 | epoch in which it was taken (snapshot) |
 * | 108 | 4+4 | properties: bytes, CRC32C |
 * | 116 | 4 | cursor |
 * | 120 | 4 | family; 0: its own id |
 * | 124 | 4 | owner (snapshot) |
 * | 128 | 8 | shared blocks |
 * | 256 | 256 | name |
 *
 * spec: docs/internals/pool-format.md, Pointers and pages
 */

import { assert } from "../../util/assert.ts";
import { getName, getU64, getUuid, nameBytes, putName, putU64, putUuid } from "../fixed-record.ts";
import {
  emptyPointer,
  type RootPointer,
  readPointer,
  writePointer,
} from "../pages/root-pointer.ts";
import { BLOCK_BYTES, VOLUME_BLOCKS_MAX } from "../pool-layout.ts";

export const OBJECT_RECORD_WORDS = 128;
/** Properties have id x 128 + piece as their key, which has 32 bits. */
export const OBJECT_ID_MAX = 2 ** 25 - 1;
export const VOLUME_NAME_BYTES_MAX = 128;
/** Of the part behind the "@". */
export const SNAPSHOT_NAME_BYTES_MAX = 127;

const RECORD_BYTES = OBJECT_RECORD_WORDS * 4;
const KINDS = [null, "volume", "snapshot"] as const;
const State = { ready: 1, deleting: 2 } as const;
const Flag = { thick: 1, cutToEnd: 4 } as const;
const NAME_AT = 256;
const NAME_BYTES = 256;
const KEYS_END = 2 ** 32;
const SECTOR_BYTES = 512;

export type ObjectKind = "volume" | "snapshot";

export interface ObjectRecord {
  readonly kind: ObjectKind;
  readonly id: number;
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly isThin: boolean;
  readonly isDeleting: boolean;
  readonly createdMs: number;
  readonly mappedBlocks: number;
  readonly root: Readonly<RootPointer>;
  readonly propertiesBytes: number;
  readonly propertiesCrc: number;
  /** Object id of the snapshot that it began as a copy of; 0: none. */
  readonly originId: number;
  /** What has an epoch up to this in its tree is its origin's, too; 0 without an origin. */
  readonly sharedThrough: number;
  /** Of a snapshot; else 0. */
  readonly takenEpoch: number;
  /** Being deleted: what its edge has at keys below is free, or its child's. 0 to 2^32. */
  readonly cursor: number;
  /** Id of the object that the pages' headers name: the first of the family. */
  readonly family: number;
  /** Of a snapshot: object id of the volume that it belongs to; else 0. */
  readonly ownerId: number;
  /** Upper bound of mapped blocks that are the origin's, too. */
  readonly sharedBlocks: number;
}

/** True: a volume may have this name. */
export function isVolumeName(name: string): boolean {
  return isPlainName(name) && nameBytes(name) <= VOLUME_NAME_BYTES_MAX;
}

/** True: a snapshot may have this as its whole name, volume@name. */
export function isSnapshotName(name: string): boolean {
  const at = name.indexOf("@");
  const part = name.slice(at + 1);
  const isPart = isPlainName(part) && nameBytes(part) <= SNAPSHOT_NAME_BYTES_MAX;
  return at > 0 && isVolumeName(name.slice(0, at)) && isPart;
}

function isPlainName(name: string): boolean {
  return /^[\p{L}\p{N}][\p{L}\p{N}._:+-]*$/u.test(name);
}

/** True: a volume may have this size. */
export function isVolumeSize(sizeBytes: number): boolean {
  const isWhole = Number.isSafeInteger(sizeBytes) && sizeBytes % SECTOR_BYTES === 0;
  return isWhole && sizeBytes > 0 && sizeBytes <= VOLUME_BLOCKS_MAX * BLOCK_BYTES;
}

export function writeObjectRecord(record: ObjectRecord, words: Uint32Array, at: number): void {
  assert(record.id > 0 && record.id <= OBJECT_ID_MAX, "an object has an id");
  assert(isVolumeSize(record.sizeBytes), "the size was checked when it was given");
  const view = viewOf(words, at);
  words.fill(0, at, at + OBJECT_RECORD_WORDS);
  view.setUint32(0, record.id, true);
  view.setUint8(4, KINDS.indexOf(record.kind));
  view.setUint8(5, record.isDeleting ? State.deleting : State.ready);
  const cut = record.cursor === KEYS_END ? Flag.cutToEnd : 0;
  view.setUint16(6, (record.isThin ? 0 : Flag.thick) | cut, true);
  putUuid(view, 8, record.uuid);
  putU64(view, 24, record.sizeBytes);
  putU64(view, 32, record.createdMs);
  putU64(view, 40, record.mappedBlocks);
  writePointer(view, 48, record.root);
  view.setUint32(72, record.originId, true);
  view.setUint32(76, record.sharedThrough, true);
  view.setUint32(80, record.takenEpoch, true);
  view.setUint32(108, record.propertiesBytes, true);
  view.setUint32(112, record.propertiesCrc, true);
  view.setUint32(116, record.cursor % KEYS_END, true);
  view.setUint32(120, record.family, true);
  view.setUint32(124, record.ownerId, true);
  putU64(view, 128, record.sharedBlocks);
  putName(view, NAME_AT, NAME_BYTES, record.name);
}

/** @returns null: these words are no object that this version knows */
export function readObjectRecord(words: Uint32Array, at: number): ObjectRecord | null {
  const view = viewOf(words, at);
  const id = view.getUint32(0, true);
  const state = view.getUint8(5);
  const kind = KINDS[view.getUint8(4)] ?? null;
  const name = getName(view, NAME_AT, NAME_BYTES);
  const sizeBytes = getU64(view, 24);
  const createdMs = getU64(view, 32);
  const mappedBlocks = getU64(view, 40);
  const sharedBlocks = getU64(view, 128);
  if (id === 0 || id > OBJECT_ID_MAX || kind === null) return null;
  if (state !== State.ready && state !== State.deleting) return null;
  const isName = kind === "volume" ? isVolumeName : isSnapshotName;
  if (name === null || !isName(name) || !isVolumeSize(sizeBytes)) return null;
  if (!Number.isFinite(createdMs) || mappedBlocks > VOLUME_BLOCKS_MAX) return null;
  if (sharedBlocks > VOLUME_BLOCKS_MAX) return null;
  const flags = view.getUint16(6, true);
  const root = emptyPointer();
  readPointer(view, 48, root);
  const sharedThrough = view.getUint32(76, true);
  const takenEpoch = view.getUint32(80, true);
  if (kind === "snapshot" && takenEpoch <= sharedThrough) return null;
  return {
    kind,
    id,
    uuid: getUuid(view, 8),
    name,
    sizeBytes,
    isThin: (flags & Flag.thick) === 0,
    isDeleting: state === State.deleting,
    createdMs,
    mappedBlocks,
    root,
    propertiesBytes: view.getUint32(108, true),
    propertiesCrc: view.getUint32(112, true),
    originId: view.getUint32(72, true),
    sharedThrough,
    takenEpoch,
    cursor: (flags & Flag.cutToEnd) !== 0 ? KEYS_END : view.getUint32(116, true),
    family: view.getUint32(120, true) || id,
    ownerId: view.getUint32(124, true),
    sharedBlocks,
  };
}

function viewOf(words: Uint32Array, at: number): DataView {
  assert(at >= 0 && at + OBJECT_RECORD_WORDS <= words.length, "a record lies within its words");
  return new DataView(words.buffer, words.byteOffset + at * 4, RECORD_BYTES);
}
