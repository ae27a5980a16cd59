/**
 * VersionWalk: goes through the versions of one pool, origins first, and shows each page and block
 * once: to the version that it was made in. What a version has in common with its origin is not
 * gone through again: it must be found there, at the same place.
 *
 * Of a version that is being deleted only what lies behind its cursor is looked at. Nothing may
 * change meanwhile.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import type { Reactor } from "../../reactor/reactor.ts";
import type { PageCache } from "../pages/page-cache.ts";
import {
  HEADER_WORDS,
  INNER_ENTRY_WORDS,
  PAGE_WORDS,
  type PageHeader,
  readHeader,
} from "../pages/page-format.ts";
import { ABSENT, MISSING, type PageTree } from "../pages/page-tree.ts";
import { emptyPointer, readPointerWords, type RootPointer } from "../pages/root-pointer.ts";
import { LEVELS_MAX } from "../pages/tree-change.ts";
import type { Address } from "../pool-layout.ts";
import { addressOfEntry } from "../volumes/mapping-entry.ts";
import { MappingWord, type VolumeState } from "../volumes/volume-state.ts";
import { loadPath } from "./load-path.ts";

/** Who is shown what the versions consist of. */
export interface VersionVisitor {
  /** Both copies of a page, once per page. */
  page(version: VolumeState, a: Address, b: Address): void;
  /** A block of data, once per block. */
  block(version: VolumeState, key: number, address: Address): void;
  /** For people. The walk goes on beside it. */
  problem(message: string): void;
}

export interface VersionWalkOptions {
  readonly reactor: Reactor;
  readonly cache: PageCache;
}

/** What is mapped below a page. */
interface Below {
  count: number;
  last: number;
}

const KEY_MAX = 2 ** 32 - 1;

/** Origins before what began at them. */
export function inOrder(versions: Iterable<VolumeState>): VolumeState[] {
  const order: VolumeState[] = [];
  for (const version of versions) if (version.origin === null) order.push(version);
  for (let index = 0; index < order.length; index++) {
    const { children } = order[index] as VolumeState; // below the length
    order.push(...children);
  }
  return order;
}

export class VersionWalk {
  readonly #options: VersionWalkOptions;
  readonly #visitor: VersionVisitor;
  /** Of pages above the leaves: what later versions need not go through again. */
  readonly #known = new Map<Address, Below>();
  /** The page that is being gone through, by level. */
  readonly #pages: Uint32Array[] = [];
  readonly #pointer = emptyPointer();
  #version: VolumeState | null = null;

  constructor(options: VersionWalkOptions, visitor: VersionVisitor) {
    this.#options = options;
    this.#visitor = visitor;
  }

  /** Those that it began at were walked before. */
  async walk(version: VolumeState): Promise<void> {
    this.#version = version;
    const root = { ...version.tree.root };
    let below: Below = { count: 0, last: -1 };
    if (root.level > LEVELS_MAX) this.#problem(`its root is of level ${root.level}`);
    else if (root.a !== 0) below = await this.#visit(root, 0, KEY_MAX);
    const { mappedBlocks, blocks } = version;
    if (version.cursor === 0 && below.count !== mappedBlocks) {
      this.#problem(`it maps ${below.count} blocks, and counts ${mappedBlocks}`);
    }
    if (below.last >= blocks) this.#problem(`it maps block ${below.last}, beyond its end`);
  }

  get #now(): VolumeState {
    return this.#version as VolumeState; // since `walk`
  }

  /** The page that `pointer` leads to and all below it; keys that may be in it: first to last. */
  async #visit(pointer: RootPointer, first: number, last: number): Promise<Below> {
    const { level } = pointer;
    const version = this.#now;
    const below: Below = { count: 0, last: -1 };
    if (last < version.cursor) return below;
    const words = await this.#copyOf(version.tree, Math.max(first, version.cursor), level);
    if (words === null) {
      this.#problem(`both copies of the page of level ${level} from key ${first} on are lost`);
      return below;
    }
    const header = readHeader(new DataView(words.buffer), 0);
    this.#compare(header, pointer);
    if (!version.tree.sharing.ownsPage(header.epoch, header.lastKey)) {
      return await this.#inherited(header, words);
    }
    this.#visitor.page(version, pointer.a, pointer.b);
    this.#checkEpoch(header.epoch, `the page at ${pointer.a}`);
    if (level === 0) await this.#entries(header, words, below);
    else await this.#children(header, words, last, below);
    if (level > 0) this.#known.set(pointer.a, below);
    return below;
  }

  async #children(
    { level, count }: PageHeader,
    words: Uint32Array,
    last: number,
    below: Below,
  ): Promise<void> {
    const child = emptyPointer(); // of this level alone, so that it stays while its page is visited
    for (let index = 0; index < count; index++) {
      const at = HEADER_WORDS + index * INNER_ENTRY_WORDS;
      readPointerWords(words, at + 1, child);
      if (child.level !== level - 1) {
        this.#problem(`a page of level ${level} points to one of level ${child.level}`);
        continue;
      }
      const isLast = index + 1 === count;
      const end = isLast ? last : (words[at + INNER_ENTRY_WORDS] as number) - 1;
      const found = await this.#visit(child, words[at] as number, end);
      below.count += found.count;
      if (found.count > 0) below.last = found.last;
    }
  }

  async #entries({ count, entryWords }: PageHeader, words: Uint32Array, below: Below) {
    const version = this.#now;
    const { sharing } = version.tree;
    for (let index = 0; index < count; index++) {
      const at = HEADER_WORDS + index * entryWords;
      const key = words[at] as number; // an entry of the page
      const address = addressOfEntry(words, at);
      const epoch = words[at + MappingWord.epoch] as number;
      if (key <= below.last) this.#problem(`block ${key} is out of order`);
      below.count++;
      below.last = key;
      if (sharing.ownsEntry(epoch, key)) {
        this.#visitor.block(version, key, address);
        this.#checkEpoch(epoch, `block ${key}`);
        continue;
      }
      const origin = originAt(version, key);
      const found = origin === null ? 0 : await this.#addressIn(origin.tree, key);
      if (found !== address) {
        this.#problem(`block ${key} is of epoch ${epoch}, and not in ${nameOf(origin)}`);
      }
    }
  }

  /** A page that the origin has, too: it is there, at the same place. */
  async #inherited(header: PageHeader, words: Uint32Array): Promise<Below> {
    const { a, level, count, entryWords, lastKey, epoch } = header;
    const origin = originAt(this.#now, lastKey);
    const found = origin === null ? 0 : await this.#pageIn(origin.tree, lastKey, level);
    if (found !== a) {
      this.#problem(`the page at ${a} is of epoch ${epoch}, and not in ${nameOf(origin)}`);
    }
    if (level === 0) {
      const last = words[HEADER_WORDS + (count - 1) * entryWords] as number;
      return { count, last };
    }
    return this.#known.get(a) ?? { count: 0, last: -1 };
  }

  /** Address of a block; 0: it is not mapped. */
  async #addressIn(tree: PageTree, key: number): Promise<Address> {
    const { reactor, cache } = this.#options;
    for (;;) {
      const at = tree.find(key);
      if (at === MISSING) await loadPath(reactor, tree, key);
      else return at < 0 ? 0 : addressOfEntry(cache.words, at);
    }
  }

  /** Address of the page at `level` on the path to `key`; 0: there is none. */
  async #pageIn(tree: PageTree, key: number, level: number): Promise<Address> {
    for (;;) {
      const found = tree.pointerAt(key, level, this.#pointer);
      if (found === MISSING) await loadPath(this.#options.reactor, tree, key);
      else return found < 0 ? 0 : this.#pointer.a;
    }
  }

  /** @returns null: neither copy can be had */
  async #copyOf(tree: PageTree, key: number, level: number): Promise<Uint32Array | null> {
    const { cache, reactor } = this.#options;
    for (;;) {
      const slot = tree.slotOnPath(key, level);
      if (slot === MISSING) {
        await loadPath(reactor, tree, key);
        continue;
      }
      if (slot === ABSENT || slot < 0) return null;
      this.#pages[level] ??= new Uint32Array(PAGE_WORDS);
      const copy = this.#pages[level];
      copy.set(cache.words.subarray(slot * PAGE_WORDS, (slot + 1) * PAGE_WORDS));
      return copy;
    }
  }

  #compare(header: PageHeader, pointer: RootPointer): void {
    const { a, b, level, epoch } = pointer;
    const isIt = header.a === a && header.b === b && header.level === level;
    if (!isIt) this.#problem(`the page at ${a} says that it is another one, at ${header.a}`);
    if (header.tree !== this.#now.family) this.#problem(`the page at ${a} is another family's`);
    if (header.epoch !== epoch) this.#problem(`the page at ${a} is of another epoch, ${epoch}`);
  }

  #checkEpoch(epoch: number, what: string): void {
    const { kind, takenEpoch } = this.#now;
    const newest = kind === "snapshot" ? takenEpoch : this.#options.cache.epoch;
    if (epoch > newest) this.#problem(`${what} is of epoch ${epoch}, newer than ${newest}`);
  }

  #problem(message: string): void {
    const { kind, name } = this.#now;
    this.#visitor.problem(`${kind} ${name}: ${message}`);
  }
}

/** The next version above that has not given away what it had at `key`. */
function originAt(version: VolumeState, key: number): VolumeState | null {
  let { origin } = version;
  while (origin !== null && key < origin.cursor) origin = origin.origin;
  return origin;
}

function nameOf(origin: VolumeState | null): string {
  return origin === null ? "any origin" : origin.name;
}
