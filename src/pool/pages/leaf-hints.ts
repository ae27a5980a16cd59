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
/** Tag low and high, slot, version: all in one line of the processor's cache. */
const FIELDS = 4;
const UINT32_RANGE = 2 ** 32;

export class LeafHints {
  readonly #fields = new Uint32Array(FIELDS * HINTS);
  #lastTag = 0;

  /** Never given before. Counted up for ever: more than 32 bits. */
  newTag(): number {
    return ++this.#lastTag;
  }

  /** The slot, or -1. Hot path. */
  get(tag: number, key: number, versions: Uint32Array): number {
    const fields = this.#fields;
    const at = placeOf(tag, key);
    if (!this.#isOf(tag, at)) return -1;
    const slot = fields[at + 2] as number;
    return fields[at + 3] === versions[slot] ? slot : -1;
  }

  /** Hot path. */
  set(tag: number, key: number, slot: number, version: number): void {
    const fields = this.#fields;
    const at = placeOf(tag, key);
    fields[at] = tag >>> 0;
    fields[at + 1] = Math.floor(tag / UINT32_RANGE);
    fields[at + 2] = slot;
    fields[at + 3] = version;
  }

  /** None for keys from `first` to `last`. False: there are too many for that; take another tag. */
  forget(tag: number, first: number, last: number): boolean {
    const end = last >>> KEYS_SHIFT;
    if (end - (first >>> KEYS_SHIFT) > FORGOTTEN_MAX) return false;
    for (let group = first >>> KEYS_SHIFT; group <= end; group++) {
      const at = placeOf(tag, group << KEYS_SHIFT);
      if (this.#isOf(tag, at)) this.#fields.fill(0, at, at + FIELDS);
    }
    return true;
  }

  // hot path
  #isOf(tag: number, at: number): boolean {
    const fields = this.#fields;
    return fields[at] === tag >>> 0 && fields[at + 1] === Math.floor(tag / UINT32_RANGE);
  }
}

function placeOf(tag: number, key: number): number {
  const mixed = Math.imul((key >>> KEYS_SHIFT) ^ Math.imul(tag, 0x9e37_79b1), 0x85eb_ca6b);
  return FIELDS * ((mixed ^ (mixed >>> 15)) & (HINTS - 1));
}
