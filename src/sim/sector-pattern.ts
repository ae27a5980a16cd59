/**
 * What a write puts into a sector: its own number and the sector's, in all of it. So a read tells
 * which write it saw, and whether the sector is whole and in its place. Stateless.
 */

export const SECTOR_BYTES = 512;
const WORDS = SECTOR_BYTES / 4;

/** Read from a sector: no write's content, a mixture of several, another sector's content. */
export const GARBAGE = -1;
/** Nothing is said of this sector. */
export const UNSEEN = -2;

/** Fills `count` sectors at `start` of `bytes` (a multiple of 4) for sectors from `first` on. */
export function putSectors(
  bytes: Uint8Array,
  start: number,
  first: number,
  values: ArrayLike<number>,
): void {
  const words = wordsOf(bytes, start, values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    const place = value === 0 ? 0 : first + index + 1;
    for (let at = index * WORDS; at < (index + 1) * WORDS; at += 2) {
      words[at] = value;
      words[at + 1] = place;
    }
  }
}

/** Which writes the sectors at `start` are of; `GARBAGE` when of none. */
export function readSectors(
  bytes: Uint8Array,
  start: number,
  first: number,
  count: number,
): Int32Array {
  const words = wordsOf(bytes, start, count);
  const values = new Int32Array(count);
  for (let index = 0; index < count; index++) {
    values[index] = valueAt(words, index * WORDS, first + index);
  }
  return values;
}

function valueAt(words: Int32Array, from: number, sector: number): number {
  const value = words[from] as number;
  const place = value === 0 ? 0 : sector + 1;
  for (let at = from; at < from + WORDS; at += 2) {
    if (words[at] !== value || words[at + 1] !== place) return GARBAGE;
  }
  return value < 0 ? GARBAGE : value;
}

function wordsOf(bytes: Uint8Array, start: number, count: number): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset + start, count * WORDS);
}
