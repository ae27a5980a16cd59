/**
 * ScrubVolume: reads blocks of volumes and snapshots, each where it was made, leaf by leaf of the
 * mapping tree, and compares them with their checksums, beside all that clients do.
 *
 * What lies one behind the other is read at once. Blocks are kept from reuse from the moment they
 * are looked up until they are read; one that does not match is looked up again.
 */

import { Status } from "../../block/status.ts";
import { MISSING } from "../pages/page-tree.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { EdgeStep, KEYS_END, Piece } from "../volumes/edge-step.ts";
import { addressOfEntry } from "../volumes/mapping-entry.ts";
import { MappingFlag, MappingWord, type VolumeState } from "../volumes/volume-state.ts";
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

const NO_CHILDREN: readonly VolumeState[] = [];
/** A leaf has 201 entries. */
const BATCH_BLOCKS_MAX = 256;
const READS_MAX = 16;

export class ScrubVolume {
  readonly #parts: PoolParts;
  readonly #run: BlockRun;
  readonly #step: EdgeStep;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#step = new EdgeStep(parts.cache);
    this.#run = new BlockRun(parts, BATCH_BLOCKS_MAX);
  }

  close(): void {
    this.#run.close();
  }

  /**
   * Reads the blocks from `key` on that one leaf names and that the version does not have from its
   * origin: those are read there.
   */
  async batch(version: VolumeState, key: number): Promise<BatchResult> {
    const { reuse, environment } = this.#parts;
    const step = this.#step;
    step.reset();
    for (let from = key; from < KEYS_END && isThere(version); ) {
      const { lost } = step;
      const found = step.look(version, NO_CHILDREN, from);
      if (found === MISSING) {
        if (step.stuckTree !== null) {
          await loadPath(environment.reactor, step.stuckTree, step.stuckKey);
        }
        continue;
      }
      const next = step.end < KEYS_END ? step.end : null;
      if (step.lost > lost) return { next, readBlocks: 0, damaged: [], hasLostPage: true };
      from = step.end;
      if (found === Piece.passed) continue;
      const blocks = this.#ownFrom(key);
      const token = reuse.beginRead();
      const suspects = await this.#mismatches(blocks);
      reuse.endRead(token);
      const damaged = await this.#confirm(version, suspects);
      return { next, readBlocks: blocks.length, damaged, hasLostPage: false };
    }
    return { next: null, readBlocks: 0, damaged: [], hasLostPage: false };
  }

  /** The entry of a block as it is now; null: none, or it cannot be had. */
  async lookUp(version: VolumeState, key: number): Promise<MappedBlock | null> {
    const { cache, environment } = this.#parts;
    const { tree } = version;
    for (;;) {
      if (!isThere(version)) return null;
      const at = tree.find(key);
      if (at === MISSING) await loadPath(environment.reactor, tree, key);
      else return at < 0 ? null : entryOf(cache.words, at);
    }
  }

  /** Of the leaf that was looked at. */
  #ownFrom(key: number): MappedBlock[] {
    const blocks: MappedBlock[] = [];
    this.#step.forEachOwn((words, at) => {
      const block = entryOf(words, at);
      if (block.key >= key) blocks.push(block);
    });
    return blocks;
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

/**
 * All of its tree can be gone through. Of what is deleted only what waits for its children: they
 * have blocks of it still.
 */
export function isThere(version: VolumeState): boolean {
  return !version.isDeleting || (version.isWaiting && version.cursor === 0);
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
