/**
 * How far a scrub has come, as kept in a property of the pool: 48 bytes, little-endian. Pure.
 *
 * | at | bytes | field |
 * |---|---|---|
 * | 0 | 4 | version: 1 |
 * | 4 | 4 | object id of the volume |
 * | 8 | 8 | its next block |
 * | 16 | 8 | bytes done |
 * | 24 | 8 | damaged blocks found |
 * | 32 | 8 | of those, healed |
 * | 40 | 8 | bad copies found |
 */

import { assert } from "../../util/assert.ts";

export interface ScrubPosition {
  /** Volumes with lower ids have been read; 0: none. */
  readonly objectId: number;
  readonly nextBlock: number;
  readonly doneBytes: number;
  readonly damagedCount: number;
  readonly healedCount: number;
  readonly badCopies: number;
}

const VERSION = 1;
const LENGTH = 48;
const NUMBERS = ["nextBlock", "doneBytes", "damagedCount", "healedCount", "badCopies"] as const;

export const SCRUB_START: ScrubPosition = {
  objectId: 0,
  nextBlock: 0,
  doneBytes: 0,
  damagedCount: 0,
  healedCount: 0,
  badCopies: 0,
};

export function encodePosition(position: ScrubPosition): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  view.setUint32(4, position.objectId, true);
  for (const [index, name] of NUMBERS.entries()) {
    assert(Number.isSafeInteger(position[name]), "a position consists of counts");
    view.setBigUint64(8 + 8 * index, BigInt(position[name]), true);
  }
  return bytes;
}

/** null: no position that this version can go on from; a scrub begins anew then. */
export function decodePosition(bytes: Uint8Array | undefined): ScrubPosition | null {
  if (bytes === undefined || bytes.length !== LENGTH) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== VERSION) return null;
  const numbers = NUMBERS.map((_, index) => Number(view.getBigUint64(8 + 8 * index, true)));
  if (!numbers.every(Number.isSafeInteger)) return null;
  const entries = NUMBERS.map((name, index) => [name, numbers[index]]);
  const counts = Object.fromEntries(entries) as Record<(typeof NUMBERS)[number], number>;
  return { objectId: view.getUint32(4, true), ...counts };
}
