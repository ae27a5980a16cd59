/**
 * LeafHints: in which slot the leaf of some keys was seen last, of all trees of a cache: a look at
 * a random block goes there at once, not down the tree. Direct-mapped, of a fixed size. Who gets a
 * hint looks whether the leaf has the key; that the slot has that leaf, its version says. Pure.
 *
 * A tree has a tag for its hints. It takes another one when a leaf that stays what it is stops
 * being the tree's: one that it shares and has copied, or leaves to others.
 */

const HINTS = 2 ** 14;
/** Keys that share a hint: a leaf has 100 to 201, where they lie side by side. */
const KEYS_SHIFT = 6;
const FORGOTTEN_MAX = 32;

export class LeafHints {
  /** Counted up for ever: more than 32 bits. */
  readonly #tags = new Float64Array(HINTS);
  readonly #slots = new Uint32Array(HINTS);
  readonly #versions = new Uint32Array(HINTS);
  #lastTag = 0;

  /** Never given before. */
  newTag(): number {
    return ++this.#lastTag;
  }

  /** The slot, or -1. Hot path. */
  get(tag: number, key: number, versions: Uint32Array): number {
    const at = placeOf(tag, key);
    const slot = this.#slots[at] as number;
    const isThere = this.#tags[at] === tag && this.#versions[at] === versions[slot];
    return isThere ? slot : -1;
  }

  /** Hot path. */
  set(tag: number, key: number, slot: number, version: number): void {
    const at = placeOf(tag, key);
    this.#tags[at] = tag;
    this.#slots[at] = slot;
    this.#versions[at] = version;
  }

  /** None for keys from `first` to `last`. False: there are too many for that; take another tag. */
  forget(tag: number, first: number, last: number): boolean {
    const end = last >>> KEYS_SHIFT;
    if (end - (first >>> KEYS_SHIFT) > FORGOTTEN_MAX) return false;
    for (let group = first >>> KEYS_SHIFT; group <= end; group++) {
      const at = placeOf(tag, group << KEYS_SHIFT);
      if (this.#tags[at] === tag) this.#tags[at] = 0;
    }
    return true;
  }
}

function placeOf(tag: number, key: number): number {
  const mixed = Math.imul((key >>> KEYS_SHIFT) ^ Math.imul(tag, 0x9e37_79b1), 0x85eb_ca6b);
  return (mixed ^ (mixed >>> 15)) & (HINTS - 1);
}
