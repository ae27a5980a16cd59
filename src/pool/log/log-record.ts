/**
 * Records of the log: their words, and who takes them. Pure.
 *
 * A record is a number of words in the memory of a frame; places here are indices into words, so
 * the machine's order of bytes is the disk's: little-endian, as everywhere that we run.
 *
 * spec: docs/internals/pool-format.md, The log
 */

import { assert } from "../../util/assert.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import { type Address, NO_ADDRESS } from "../pool-layout.ts";

export const RecordType = {
  write: 1,
  unmap: 2,
  object: 3,
  objectGone: 4,
  properties: 5,
  /** Of a frame that only carries `durable`. */
  nothing: 6,
  versions: 7,
  cut: 8,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Of a write's record before its checksums. */
const WRITE_WORDS = 6;
const UNMAP_WORDS = 4;
/** Of an object's record on disk; in the log its last word, which is reserved, gives way. */
export const OBJECT_WORDS = 128;
const OBJECT_GONE_WORDS = 2;
/** Of a properties record before its bytes. */
const PROPERTIES_WORDS = 3;
const NOTHING_WORDS = 1;
/** Of a record of versions before its objects, and of each: its words, rootOf, placeOf. */
const VERSIONS_WORDS = 1;
export const VERSION_WORDS = OBJECT_WORDS + 2;
const CUT_WORDS = 3;
const ADVANCES_EPOCH = 1;

const UNMAP_PUNCH = 1;
const WORD_BYTES = 4;
const COUNT_MAX = 0xffff;
const UINT32_RANGE = 2 ** 32;

/** One reused object: whoever gets it takes what he needs before he returns. */
export interface WriteRecord {
  objectId: number;
  /** Block of the volume. */
  first: number;
  count: number;
  address: Address;
  epoch: number;
  /** One per block, from `checksumsAt` on. */
  checksums: Uint32Array;
  checksumsAt: number;
}

/** Implemented by RecordApplier; replay and inspect drive it. */
export interface RecordSink {
  /** Each answers false when a page is missing: `waitFor` it, then call the same again. */
  write(record: WriteRecord, sequence: number): boolean;
  unmap(objectId: number, first: number, count: number, punch: boolean, sequence: number): boolean;
  /** 128 words from `at` on, the first is the id. */
  object(record: Uint32Array, at: number): boolean;
  objectGone(objectId: number): boolean;
  properties(objectId: number, bytes: Uint8Array): boolean;
  /** `count` objects of VERSION_WORDS words each from `at` on, all at once. */
  versions(words: Uint32Array, at: number, count: number, advancesEpoch: boolean): boolean;
  /** What a deleted object alone has at keys below `end` is free. */
  cut(objectId: number, end: number, sequence: number): boolean;
  waitFor(waiter: PageWaiter): void;
}

// hot path
export function writeWords(count: number): number {
  return WRITE_WORDS + count;
}

export function unmapWords(): number {
  return UNMAP_WORDS;
}

export function objectGoneWords(): number {
  return OBJECT_GONE_WORDS;
}

export function versionsWords(count: number): number {
  return VERSIONS_WORDS + count * VERSION_WORDS;
}

export function cutWords(): number {
  return CUT_WORDS;
}

export function propertiesWords(lengthBytes: number): number {
  return PROPERTIES_WORDS + Math.ceil(lengthBytes / WORD_BYTES);
}

/** All `put...` return the place behind the record. Hot path. */
export function putWrite(words: Uint32Array, at: number, record: WriteRecord): number {
  const { count, address, checksums, checksumsAt } = record;
  assert(count > 0 && count <= COUNT_MAX, "a write's record has 1 to 65,535 blocks");
  words[at] = RecordType.write + count * 0x1_0000;
  words[at + 1] = record.objectId;
  words[at + 2] = record.first;
  words[at + 3] = address >>> 0;
  words[at + 4] = Math.floor(address / UINT32_RANGE);
  words[at + 5] = record.epoch;
  const start = at + WRITE_WORDS;
  for (let index = 0; index < count; index++) {
    words[start + index] = checksums[checksumsAt + index] as number;
  }
  return start + count;
}

// hot path
export function putUnmap(
  words: Uint32Array,
  at: number,
  objectId: number,
  first: number,
  count: number,
  punch: boolean,
): number {
  assert(count > 0 && first + count <= UINT32_RANGE, "an unmap is of blocks of a volume");
  words[at] = RecordType.unmap + (punch ? UNMAP_PUNCH : 0) * 0x100;
  words[at + 1] = objectId;
  words[at + 2] = first;
  // 2^32 blocks are all there may be: its word is 0, as no record is of none.
  words[at + 3] = count % UINT32_RANGE;
  return at + UNMAP_WORDS;
}

export function putObject(
  words: Uint32Array,
  at: number,
  record: Uint32Array,
  recordAt: number,
): number {
  assert(record[recordAt + OBJECT_WORDS - 1] === 0, "an object's last word is reserved");
  words[at] = RecordType.object;
  for (let index = 0; index < OBJECT_WORDS - 1; index++) {
    words[at + 1 + index] = record[recordAt + index] as number;
  }
  return at + OBJECT_WORDS;
}

export function putObjectGone(words: Uint32Array, at: number, objectId: number): number {
  words[at] = RecordType.objectGone;
  words[at + 1] = objectId;
  return at + OBJECT_GONE_WORDS;
}

export function putProperties(
  words: Uint32Array,
  at: number,
  objectId: number,
  bytes: Uint8Array,
): number {
  words[at] = RecordType.properties;
  words[at + 1] = objectId;
  words[at + 2] = bytes.length;
  const end = at + propertiesWords(bytes.length);
  words[end - 1] = bytes.length === 0 ? (words[end - 1] as number) : 0;
  bytesOf(words, at + PROPERTIES_WORDS, bytes.length).set(bytes);
  return end;
}

/** @param versions VERSION_WORDS words for each of `count` objects */
export function putVersions(
  words: Uint32Array,
  at: number,
  versions: Uint32Array,
  count: number,
  advancesEpoch: boolean,
): number {
  assert(count > 0 && count <= COUNT_MAX, "a record of versions has objects");
  const end = at + versionsWords(count);
  words[at] = RecordType.versions + (advancesEpoch ? ADVANCES_EPOCH : 0) * 0x100 + count * 0x1_0000;
  words.set(versions.subarray(0, count * VERSION_WORDS), at + VERSIONS_WORDS);
  return end;
}

export function putCut(words: Uint32Array, at: number, objectId: number, end: number): number {
  assert(end > 0 && end <= UINT32_RANGE, "a cut ends behind a key");
  words[at] = RecordType.cut;
  words[at + 1] = objectId;
  words[at + 2] = end - 1;
  return at + CUT_WORDS;
}

export function putNothing(words: Uint32Array, at: number): number {
  words[at] = RecordType.nothing;
  return at + NOTHING_WORDS;
}

/** A record as read; one reused object. Fields that its type has not are left from before. */
export class RecordReader {
  type: RecordType = RecordType.nothing;
  objectId = 0;
  first = 0;
  count = 0;
  punch = false;
  readonly write: WriteRecord = {
    objectId: 0,
    first: 0,
    count: 0,
    address: NO_ADDRESS,
    epoch: 0,
    checksums: new Uint32Array(0),
    checksumsAt: 0,
  };
  /** Of an object, 128 words. */
  readonly object: Uint32Array = new Uint32Array(OBJECT_WORDS);
  properties: Uint8Array = new Uint8Array(0);
  /** Of a cut. */
  end = 0;
  advancesEpoch = false;
  /** Of versions: `count` objects from `versionsAt` on, in the words that were read. */
  versions: Uint32Array = new Uint32Array(0);
  versionsAt = 0;

  /**
   * Reads the record at `at`, which ends at `end` at the latest.
   * @returns the place behind it; "unknown": a type that this code does not know; "bad": it is not
   *   as any writer writes it
   */
  read(words: Uint32Array, at: number, end: number): number | "unknown" | "bad" {
    const head = words[at] as number; // the caller has it before `end`
    const type = head & 0xff;
    this.objectId = at + 1 < end ? (words[at + 1] as number) : 0;
    const next = this.#readAs(type, words, at, end);
    if (next === null) return "unknown";
    if (next < 0 || next > end) return "bad";
    this.type = type as RecordType; // one of those above
    return next;
  }

  /** Null: unknown; -1: bad. What lies behind `end` may have been read: the caller looks. */
  #readAs(type: number, words: Uint32Array, at: number, end: number): number | null {
    switch (type) {
      case RecordType.write:
        return this.#readWrite(words, at, end);
      case RecordType.unmap:
        return this.#readUnmap(words, at, end);
      case RecordType.object:
        if (at + OBJECT_WORDS > end) return -1;
        this.object.set(words.subarray(at + 1, at + OBJECT_WORDS));
        this.object[OBJECT_WORDS - 1] = 0;
        return at + OBJECT_WORDS;
      case RecordType.objectGone:
        return at + OBJECT_GONE_WORDS;
      case RecordType.properties:
        return this.#readProperties(words, at, end);
      case RecordType.versions:
        return this.#readVersions(words, at);
      case RecordType.cut:
        if (at + CUT_WORDS > end) return -1;
        this.end = (words[at + 2] as number) + 1;
        return at + CUT_WORDS;
      case RecordType.nothing:
        return at + NOTHING_WORDS;
      default:
        return null;
    }
  }

  #readWrite(words: Uint32Array, at: number, end: number): number {
    if (at + WRITE_WORDS > end) return -1;
    const { write, objectId } = this;
    const high = words[at + 4] as number;
    write.objectId = objectId;
    write.first = words[at + 2] as number;
    write.count = (words[at] as number) >>> 16;
    write.address = (words[at + 3] as number) + (high & 0xffff) * UINT32_RANGE;
    write.epoch = words[at + 5] as number;
    write.checksums = words;
    write.checksumsAt = at + WRITE_WORDS;
    const isSound = write.count > 0 && write.first + write.count <= UINT32_RANGE;
    return isSound ? at + WRITE_WORDS + write.count : -1;
  }

  #readUnmap(words: Uint32Array, at: number, end: number): number {
    if (at + UNMAP_WORDS > end) return -1;
    this.punch = (((words[at] as number) >>> 8) & UNMAP_PUNCH) !== 0;
    this.first = words[at + 2] as number;
    this.count = (words[at + 3] as number) || UINT32_RANGE;
    return this.first + this.count <= UINT32_RANGE ? at + UNMAP_WORDS : -1;
  }

  #readVersions(words: Uint32Array, at: number): number {
    const head = words[at] as number; // the caller has it
    this.count = head >>> 16;
    this.advancesEpoch = ((head >>> 8) & ADVANCES_EPOCH) !== 0;
    this.versions = words;
    this.versionsAt = at + VERSIONS_WORDS;
    return this.count > 0 ? at + versionsWords(this.count) : -1;
  }

  #readProperties(words: Uint32Array, at: number, end: number): number {
    if (at + PROPERTIES_WORDS > end) return -1;
    const lengthBytes = words[at + 2] as number;
    const next = at + propertiesWords(lengthBytes);
    if (next > end) return -1;
    this.properties = bytesOf(words, at + PROPERTIES_WORDS, lengthBytes).slice();
    return next;
  }
}

function bytesOf(words: Uint32Array, at: number, lengthBytes: number): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset + at * WORD_BYTES, lengthBytes);
}
