/** Binary searches in pages that lie in a cache's words. Pure. */

import { HEADER_WORDS, HeaderWord, INNER_ENTRY_WORDS, PAGE_WORDS } from "./page-format.ts";

/** First word of entry `index`. Hot path. */
export function entryAt(slot: number, index: number, entryWords: number): number {
  return slot * PAGE_WORDS + HEADER_WORDS + index * entryWords;
}

/** Hot path. */
export function countOf(words: Uint32Array, slot: number): number {
  return (words[slot * PAGE_WORDS + HeaderWord.count] as number) & 0xffff;
}

/** In which the page was made. Hot path. */
export function epochOf(words: Uint32Array, slot: number): number {
  return words[slot * PAGE_WORDS + HeaderWord.epoch] as number;
}

export function setCount(words: Uint32Array, slot: number, count: number): void {
  const at = slot * PAGE_WORDS + HeaderWord.count;
  words[at] = ((words[at] as number) & 0xffff0000) | count;
}

/** True when `key` lies in the range that the page's header states. Hot path. */
export function covers(words: Uint32Array, slot: number, key: number): boolean {
  const at = slot * PAGE_WORDS;
  const firstKey = words[at + HeaderWord.firstKey] as number;
  return firstKey <= key && key <= (words[at + HeaderWord.lastKey] as number);
}

/**
 * Index of the first entry with a key that is not below `key`; the count: none. Hot path.
 *
 * Keys differ: where they lie side by side, as in what was written in one go, the ends tell the
 * place without a search.
 */
export function lowerBound(
  words: Uint32Array,
  slot: number,
  entryWords: number,
  key: number,
): number {
  const base = slot * PAGE_WORDS + HEADER_WORDS;
  const count = countOf(words, slot);
  if (count === 0) return 0;
  // Where all keys are there it is this one, and nothing else of the page is looked at.
  const guess = key - (words[slot * PAGE_WORDS + HeaderWord.firstKey] as number);
  if (guess >= 0 && guess < count && words[base + guess * entryWords] === key) return guess;
  const fromFirst = key - (words[base] as number);
  const fromLast = (words[base + (count - 1) * entryWords] as number) - key;
  if (fromFirst <= 0) return 0;
  if (fromLast < 0) return count;
  // Entry i is `first + i` at least, and `last - (count - 1 - i)` at most.
  let low = Math.max(count - 1 - fromLast, 0);
  let high = Math.min(fromFirst, count - 1);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[base + middle * entryWords] as number) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Of a page above the leaves: index of the entry below which `key` belongs. Hot path. */
export function childOf(words: Uint32Array, slot: number, key: number): number {
  const base = slot * PAGE_WORDS + HEADER_WORDS;
  let low = 0;
  let high = countOf(words, slot);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[base + middle * INNER_ENTRY_WORDS] as number) <= key) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : low - 1;
}
