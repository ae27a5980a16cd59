/**
 * Records of the log: their words, and who takes them. Pure.
 *
 * spec: docs/internals/pool-format.md, The log
 *
 * A record is a number of words in a frame. Offsets here are indices into the words of a frame's
 * memory, which is aligned.
 */

import type { PageWaiter } from "../pages/page-cache.ts";
import type { Address } from "../pool-layout.ts";

export const RecordType = {
  write: 1,
  unmap: 2,
  object: 3,
  objectGone: 4,
  properties: 5,
  /** Of a frame that only carries `durable`. */
  nothing: 6,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Of a write's record before its checksums. */
export const WRITE_WORDS = 6;
export const UNMAP_WORDS = 4;
/** The record of an object without its key's word, which is the object's id. */
export const OBJECT_WORDS = 128;
export const OBJECT_GONE_WORDS = 2;
/** Of a properties record before its bytes. */
export const PROPERTIES_WORDS = 3;
export const NOTHING_WORDS = 1;

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
  waitFor(waiter: PageWaiter): void;
}
