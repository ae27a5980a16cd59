/**
 * ScrubVolume: reads blocks of volumes, leaf by leaf of the mapping tree, and compares them with
 * their checksums, beside all that clients do.
 *
 * What lies one behind the other is read at once. Blocks are kept from reuse from the moment they
 * are looked up until they are read; one that does not match is looked up again.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import { HEADER_WORDS, PAGE_WORDS } from "../pages/page-format.ts";
import { ABSENT, MISSING } from "../pages/page-tree.ts";
import { countOf } from "../pages/tree-search.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { addressOfEntry } from "../volumes/mapping-entry.ts";
import { keyToLoad } from "../volumes/tree-step.ts";
import {
  MAPPING_ENTRY_WORDS,
  MappingFlag,
  MappingWord,
  type VolumeState,
} from "../volumes/volume-state.ts";
import { BlockRun } from "./block-run.ts";
import { loadPath } from "./load-path.ts";

/** A block as its entry says. */
export interface MappedBlock {
  readonly key: number;
  readonly address: Address;
  readonly checksum: number;
  /** `MappingFlag` bits. */
  readonly flags: number;
}

export interface BatchResult {
  /** Where to go on; null: behind the last block. */
  readonly next: number | null;
  readonly readBlocks: number;
  /** Blocks that are damaged for sure. */
  readonly damaged: readonly MappedBlock[];
  /** Both copies of a page are lost: what lies below it is not known. */
  readonly hasLostPage: boolean;
}

const KEYS_END = 2 ** 32;
/** A leaf has 201 entries. */
const BATCH_BLOCKS_MAX = 256;
const READS_MAX = 16;

export class ScrubVolume {
  readonly #parts: PoolParts;
  readonly #run: BlockRun;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#run = new BlockRun(parts, BATCH_BLOCKS_MAX);
  }

  close(): void {
    this.#run.close();
  }

  /** Reads the blocks from `key` on that one leaf names. */
  async batch(volume: VolumeState, key: number): Promise<BatchResult> {
    const { reuse, environment } = this.#parts;
    const { tree } = volume;
    for (;;) {
      const at = tree.atLeast(key);
      if (at === MISSING) {
        await loadPath(environment.reactor, tree, keyToLoad(tree, key));
        continue;
      }
      if (at === ABSENT) return { next: null, readBlocks: 0, damaged: [], hasLostPage: false };
      if (at < 0) return this.#skipLost(volume, key);
      const blocks = this.#entriesFrom(at);
      const last = blocks.at(-1);
      assert(last !== undefined, "an entry was found");
      const token = reuse.beginRead();
      const suspects = await this.#mismatches(blocks);
      reuse.endRead(token);
      const damaged = await this.#confirm(volume, suspects);
      const next = last.key + 1 < KEYS_END ? last.key + 1 : null;
      return { next, readBlocks: blocks.length, damaged, hasLostPage: false };
    }
  }

  /** The entry of a block as it is now; null: none, or it cannot be had. */
  async lookUp({ tree }: VolumeState, key: number): Promise<MappedBlock | null> {
    const { cache, environment } = this.#parts;
    for (;;) {
      const at = tree.find(key);
      if (at === MISSING) await loadPath(environment.reactor, tree, key);
      else return at < 0 ? null : entryOf(cache.words, at);
    }
  }

  /** The entry at `at` and those behind it in its leaf. */
  #entriesFrom(at: number): MappedBlock[] {
    const { words } = this.#parts.cache;
    const slot = Math.floor(at / PAGE_WORDS);
    const end = slot * PAGE_WORDS + HEADER_WORDS + countOf(words, slot) * MAPPING_ENTRY_WORDS;
    const blocks: MappedBlock[] = [];
    for (let entry = at; entry < end; entry += MAPPING_ENTRY_WORDS) {
      blocks.push(entryOf(words, entry));
    }
    return blocks;
  }

  /** Neither copy of a page can be had: the next leaf. */
  async #skipLost({ tree }: VolumeState, key: number): Promise<BatchResult> {
    const { reactor } = this.#parts.environment;
    for (;;) {
      const end = tree.leafEnd(key);
      if (end === MISSING) {
        await loadPath(reactor, tree, key);
        continue;
      }
      const next = end > key && end < KEYS_END ? end : null;
      return { next, readBlocks: 0, damaged: [], hasLostPage: true };
    }
  }

  /** Those that could not be read, or do not match. */
  async #mismatches(blocks: readonly MappedBlock[]): Promise<MappedBlock[]> {
    const suspects: MappedBlock[] = [];
    let reads: Promise<void>[] = [];
    for (let index = 0; index < blocks.length; ) {
      const count = runAt(blocks, index);
      reads.push(this.#readRun(blocks.slice(index, index + count), index, suspects));
      index += count;
      if (reads.length < READS_MAX) continue;
      await Promise.all(reads);
      reads = [];
    }
    await Promise.all(reads);
    return suspects;
  }

  async #readRun(
    blocks: readonly MappedBlock[],
    into: number,
    suspects: MappedBlock[],
  ): Promise<void> {
    const [first] = blocks as [MappedBlock]; // a run has blocks
    if (!this.#parts.disks.holds(first.address, blocks.length)) {
      suspects.push(...blocks);
      return;
    }
    const status = await this.#run.read(first.address, blocks.length, into);
    if (status !== Status.ok && blocks.length > 1) {
      // One bad place does not make the others bad.
      for (const [index, block] of blocks.entries()) {
        await this.#readRun([block], into + index, suspects);
      }
      return;
    }
    for (const [index, block] of blocks.entries()) {
      const isRight = status === Status.ok && this.#matches(block, into + index);
      if (!isRight) suspects.push(block);
    }
  }

  #matches({ checksum, flags }: MappedBlock, into: number): boolean {
    if ((flags & MappingFlag.damaged) !== 0) return false;
    if ((flags & MappingFlag.noChecksum) !== 0) return true;
    const { bytes } = this.#run.slab;
    return this.#parts.checksum.ofBytes(bytes, into * BLOCK_BYTES) === checksum;
  }

  /** Reads each again, if it is still what is mapped. */
  async #confirm(volume: VolumeState, suspects: readonly MappedBlock[]): Promise<MappedBlock[]> {
    const damaged: MappedBlock[] = [];
    for (const suspect of suspects) {
      const now = await this.lookUp(volume, suspect.key);
      if (now === null || now.address !== suspect.address) continue;
      const token = this.#parts.reuse.beginRead();
      const [still] = await this.#mismatches([suspect]);
      this.#parts.reuse.endRead(token);
      if (still === undefined) continue;
      // What is at the same place with the same checksum is the same, whatever was there between.
      const after = await this.lookUp(volume, suspect.key);
      const isSame = after?.address === suspect.address && after.checksum === suspect.checksum;
      if (isSame) damaged.push(suspect);
    }
    return damaged;
  }
}

function entryOf(words: Uint32Array, at: number): MappedBlock {
  return {
    key: words[at] as number, // `at` is an entry of a leaf
    address: addressOfEntry(words, at),
    checksum: words[at + MappingWord.checksum] as number,
    flags: words[at + MappingWord.addressHigh] as number,
  };
}

/** How many blocks from `index` on lie one behind the other. */
function runAt(blocks: readonly MappedBlock[], index: number): number {
  const first = blocks[index]?.address ?? 0;
  let count = 1;
  while (blocks[index + count]?.address === first + count) count++;
  return count;
}
