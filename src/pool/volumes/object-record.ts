/**
 * The record of an object (a volume) in the objects tree and in the log: 128 words, the first of
 * which is its id. Pure.
 *
 * | at | bytes | field |
 * |---|---|---|
 * | 0 | 4 | id |
 * | 4 | 1+1+2 | kind (1 volume), state (1 ready, 2 being deleted), flags (1 thick, 2 read-only) |
 * | 8 | 16 | uuid |
 * | 24 | 8 | size in bytes |
 * | 32 | 8 | created, ms since 1970 |
 * | 40 | 8 | mapped blocks |
 * | 48 | 24 | mapping root |
 * | 72 | 4 | origin |
 * | 76 | 4 | shared through |
 * | 80 | 24 | dead list root |
 * | 104 | 4 | children |
 * | 108 | 4+4 | properties: bytes, CRC32C |
 * | 116 | 4 | deleted through |
 * | 256 | 128 | name |
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

const RECORD_BYTES = OBJECT_RECORD_WORDS * 4;
const KIND_VOLUME = 1;
const State = { ready: 1, deleting: 2 } as const;
const THICK = 1;
const NAME_AT = 256;
const SECTOR_BYTES = 512;

export interface ObjectRecord {
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
}

/** True: a volume may have this name. */
export function isVolumeName(name: string): boolean {
  const isPlain = /^[\p{L}\p{N}][\p{L}\p{N}._:+-]*$/u.test(name);
  return isPlain && nameBytes(name) <= VOLUME_NAME_BYTES_MAX;
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
  view.setUint8(4, KIND_VOLUME);
  view.setUint8(5, record.isDeleting ? State.deleting : State.ready);
  view.setUint16(6, record.isThin ? 0 : THICK, true);
  putUuid(view, 8, record.uuid);
  putU64(view, 24, record.sizeBytes);
  putU64(view, 32, record.createdMs);
  putU64(view, 40, record.mappedBlocks);
  writePointer(view, 48, record.root);
  view.setUint32(108, record.propertiesBytes, true);
  view.setUint32(112, record.propertiesCrc, true);
  putName(view, NAME_AT, VOLUME_NAME_BYTES_MAX, record.name);
}

/** @returns null: these words are no volume that this version knows */
export function readObjectRecord(words: Uint32Array, at: number): ObjectRecord | null {
  const view = viewOf(words, at);
  const id = view.getUint32(0, true);
  const state = view.getUint8(5);
  const name = getName(view, NAME_AT, VOLUME_NAME_BYTES_MAX);
  const sizeBytes = getU64(view, 24);
  const createdMs = getU64(view, 32);
  const mappedBlocks = getU64(view, 40);
  if (id === 0 || id > OBJECT_ID_MAX || view.getUint8(4) !== KIND_VOLUME) return null;
  if (state !== State.ready && state !== State.deleting) return null;
  if (name === null || !isVolumeName(name) || !isVolumeSize(sizeBytes)) return null;
  if (!Number.isFinite(createdMs) || mappedBlocks > VOLUME_BLOCKS_MAX) return null;
  const root = emptyPointer();
  readPointer(view, 48, root);
  return {
    id,
    uuid: getUuid(view, 8),
    name,
    sizeBytes,
    isThin: (view.getUint16(6, true) & THICK) === 0,
    isDeleting: state === State.deleting,
    createdMs,
    mappedBlocks,
    root,
    propertiesBytes: view.getUint32(108, true),
    propertiesCrc: view.getUint32(112, true),
  };
}

function viewOf(words: Uint32Array, at: number): DataView {
  assert(at >= 0 && at + OBJECT_RECORD_WORDS <= words.length, "a record lies within its words");
  return new DataView(words.buffer, words.byteOffset + at * 4, RECORD_BYTES);
}
