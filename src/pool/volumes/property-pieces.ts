/**
 * Properties in their tree: areas cut into pieces of 1000 bytes, keys object id x 128 + piece.
 *
 * spec: docs/internals/pool-format.md, Pointers and pages
 */

import type { PageCache } from "../pages/page-cache.ts";
import { ABSENT, MISSING, type PageTree } from "../pages/page-tree.ts";
import { PROPERTIES_BYTES_MAX } from "./properties-area.ts";
import type { TreeStep } from "./tree-step.ts";

export const PIECES_PER_OBJECT = 128;
export const PIECE_BYTES = 1000;
/** Key and piece. */
export const PROPERTIES_ENTRY_WORDS = 1 + PIECE_BYTES / 4;

export function pieceKey(objectId: number, piece: number): number {
  return objectId * PIECES_PER_OBJECT + piece;
}

export function pieceCount(lengthBytes: number): number {
  return Math.ceil(lengthBytes / PIECE_BYTES);
}

export class PropertyPieces {
  readonly #cache: PageCache;
  readonly #tree: PageTree;
  readonly #step: TreeStep;

  constructor(cache: PageCache, tree: PageTree, step: TreeStep) {
    this.#cache = cache;
    this.#tree = tree;
    this.#step = step;
  }

  /** @param lengthBytes null: all that there is. Pieces that cannot be had are zeroes. */
  async read(objectId: number, lengthBytes: number | null): Promise<Uint8Array> {
    const count = pieceCount(Math.min(lengthBytes ?? PROPERTIES_BYTES_MAX, PROPERTIES_BYTES_MAX));
    const area = new Uint8Array(count * PIECE_BYTES);
    let piece = 0;
    for (; piece < count; piece++) {
      const at = await this.#step.find(this.#tree, pieceKey(objectId, piece));
      if (at === ABSENT) break;
      if (at < 0) continue;
      const { words } = this.#cache;
      const start = words.byteOffset + (at + 1) * 4;
      area.set(new Uint8Array(words.buffer, start, PIECE_BYTES), piece * PIECE_BYTES);
    }
    return area.subarray(0, Math.min(lengthBytes ?? area.length, area.length));
  }
}

/** Puts one piece of `area` in. @returns what `tree.put` says */
export function putPiece(
  cache: PageCache,
  tree: PageTree,
  { objectId, piece, area }: { objectId: number; piece: number; area: Uint8Array },
): number {
  const at = tree.put(pieceKey(objectId, piece));
  if (at < 0) return at;
  const { words } = cache;
  const bytes = new Uint8Array(words.buffer, words.byteOffset + (at + 1) * 4, PIECE_BYTES);
  bytes.fill(0);
  bytes.set(area.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES));
  return at;
}

/** Takes out all pieces from `piece` on. @returns the key whose page is missing, or -1 */
export function removePieces(tree: PageTree, objectId: number, piece: number): number {
  const end = pieceKey(objectId + 1, 0);
  for (let key = pieceKey(objectId, piece); key < end; ) {
    const next = tree.leafEnd(key);
    const removed = next < 0 ? next : tree.removeInLeaf(key, end, null);
    if (removed === MISSING) return key;
    if (next < 0) return -1;
    key = next;
  }
  return -1;
}
