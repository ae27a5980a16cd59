/**
 * FlattenRun: makes a volume independent of its origin: what it has in common with that is written
 * anew, to blocks of its own, through the same gate as all changes of the volume (its range table):
 * clients go on meanwhile.
 *
 *   next shared blocks --enter their range--> still shared? read, checksum right --written-->
 *     ... none is left --flushed--> the caller takes the volume out of its family
 *
 * All has to be flushed before: a write that a power loss takes back would leave a block that both
 * the volume and its origin take for theirs. One piece is in flight.
 */

import { SegmentList } from "../../block/segments.ts";
import { Status, statusName } from "../../block/status.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { BlockRun } from "../check/block-run.ts";
import { loadPath } from "../check/load-path.ts";
import { HEADER_WORDS, PAGE_WORDS } from "../pages/page-format.ts";
import { ABSENT, MISSING } from "../pages/page-tree.ts";
import { countOf } from "../pages/tree-search.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import { awaitFlush, yieldTurn } from "../recovery/await-call.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { BlockWrite, type BlockWriteOwner } from "./block-write.ts";
import type { DataWriter } from "./data-writer.ts";
import { KEYS_END } from "./edge-step.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import { RangedRequest } from "./ranged-request.ts";
import { keyToLoad } from "./tree-step.ts";
import { MAPPING_ENTRY_WORDS, MappingFlag, MappingWord, type VolumeState } from "./volume-state.ts";

export interface FlattenOptions {
  /** `allBlocks` is an upper bound. */
  onProgress?(doneBlocks: number, allBlocks: number): void;
  readonly signal?: AbortSignal;
}

/** A block that the origin has, too. */
interface SharedBlock {
  readonly key: number;
  readonly address: Address;
  readonly checksum: number;
  /** `MappingFlag` bits. */
  readonly flags: number;
}

/** Blocks that are copied at a stretch: 512 KiB. */
const COPIED_MAX = 128;

export class FlattenRun extends RangedRequest implements BlockWriteOwner {
  readonly #parts: PoolParts;
  readonly #volume: VolumeState;
  #isStopped = false;
  readonly #options: FlattenOptions;
  readonly #writer: DataWriter;
  readonly #write: BlockWrite;
  readonly #run: BlockRun;
  readonly #memory: Slab;
  readonly #content = new SegmentList();
  #doneBlocks = 0;
  #entered: (() => void) | null = null;
  #written: ((status: Status) => void) | null = null;

  /** @throws PenstockError `out-of-memory` */
  constructor(
    parts: PoolParts,
    writer: DataWriter,
    volume: VolumeState,
    options: FlattenOptions = {},
  ) {
    super();
    this.#parts = parts;
    this.#volume = volume;
    this.#options = options;
    this.#writer = writer;
    this.#write = new BlockWrite(writer);
    this.#run = new BlockRun(parts, COPIED_MAX);
    this.#memory = this.#run.slab;
    this.#content.push(this.#memory.id, 0, COPIED_MAX * BLOCK_BYTES);
  }

  get volume(): VolumeState {
    return this.#volume;
  }

  /** It ends with `aborted` after the piece under way. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Nothing of it is in flight. */
  close(): void {
    this.#run.close();
  }

  /**
   * Copies all that is shared and flushes it.
   * @returns the volume's `placements` for which nothing is shared any more: with another number
   *   it is to be called again
   * @throws PenstockError `aborted`, `volume-not-found`, `media-error`, `no-space`, `pool-faulted`
   */
  async copyAll(): Promise<number> {
    const { placements } = this.#volume;
    for (let key = 0; key < KEYS_END; ) {
      this.#check();
      if (this.#volume.placements !== placements) return await this.copyAll();
      const shared = await this.#sharedFrom(key);
      const [first] = shared;
      if (first === undefined) break;
      await this.#copy(first.key, shared.length);
      key = first.key + shared.length;
      this.#doneBlocks += shared.length;
      this.#tell();
    }
    const { environment, log } = this.#parts;
    const status = await awaitFlush(environment.reactor, log);
    if (status !== Status.ok) throw this.#failed(status, "they could not be flushed");
    return placements;
  }

  override rangeEntered(): void {
    const entered = this.#entered;
    assert(entered !== null, "a run enters once at a time");
    this.#entered = null;
    this.#parts.environment.reactor.deliverLater(entered);
  }

  blocksWritten({ status }: BlockWrite): void {
    const written = this.#written;
    assert(written !== null, "a run writes once at a time");
    this.#written = null;
    this.#parts.environment.reactor.deliverLater(() => written(status));
  }

  /** The next blocks that are shared, one behind the other, in one leaf; none: there are none. */
  async #sharedFrom(from: number): Promise<SharedBlock[]> {
    const { reactor } = this.#parts.environment;
    const { tree } = this.#volume;
    for (let key = from; key < KEYS_END; ) {
      const at = tree.atLeast(key);
      if (at === MISSING) {
        await loadPath(reactor, tree, keyToLoad(tree, key));
        this.#check();
        continue;
      }
      if (at === ABSENT) return [];
      if (at < 0) throw this.#failed(Status.mediaError, "a page that says where they are is lost");
      const { shared, last } = this.#sharedIn(at);
      if (shared.length > 0) return shared;
      key = last + 1;
      await yieldTurn(reactor);
      this.#check();
    }
    return [];
  }

  /** Of the leaf with the entry at `at`, from that on. */
  #sharedIn(at: number): { shared: SharedBlock[]; last: number } {
    const { words } = this.#parts.cache;
    const slot = Math.floor(at / PAGE_WORDS);
    const end = slot * PAGE_WORDS + HEADER_WORDS + countOf(words, slot) * MAPPING_ENTRY_WORDS;
    const shared: SharedBlock[] = [];
    let last = 0;
    for (let entry = at; entry < end; entry += MAPPING_ENTRY_WORDS) {
      last = words[entry] as number; // an entry of the page
      const block = this.#sharedAt(entry);
      const isNext = shared.length === 0 || last === (shared[0]?.key ?? 0) + shared.length;
      if (block !== null && isNext) shared.push(block);
      else if (shared.length > 0) break;
      if (shared.length === COPIED_MAX) break;
    }
    return { shared, last };
  }

  #sharedAt(at: number): SharedBlock | null {
    const { words } = this.#parts.cache;
    const key = words[at] as number; // `at` is an entry of a leaf
    const epoch = words[at + MappingWord.epoch] as number;
    if (this.#volume.tree.sharing.ownsEntry(epoch, key)) return null;
    return {
      key,
      address: addressOfEntry(words, at),
      checksum: words[at + MappingWord.checksum] as number,
      flags: words[at + MappingWord.addressHigh] as number,
    };
  }

  /** Of these blocks those that are shared still. */
  async #copy(first: number, count: number): Promise<void> {
    const { reuse } = this.#parts;
    await this.#enter(first, count);
    try {
      // What was before it in the table may have been its deletion.
      this.#check();
      for (let key = first; key < first + count; ) {
        const token = reuse.beginRead();
        const { blocks, end } = await this.#stillShared(key, first + count);
        const status = await this.#read(blocks);
        reuse.endRead(token);
        const [next] = blocks;
        if (status !== Status.ok) throw this.#failed(status, "one of them cannot be read");
        if (next !== undefined) await this.#writeBlocks(next.key, blocks.length);
        key = end;
      }
    } finally {
      this.#volume.ranges.leave(this);
    }
  }

  /** The next ones in [from, to), one behind the other, and where to look for more. */
  async #stillShared(from: number, to: number): Promise<{ blocks: SharedBlock[]; end: number }> {
    const { reactor } = this.#parts.environment;
    const { tree } = this.#volume;
    const blocks: SharedBlock[] = [];
    for (let key = from; key < to; ) {
      const at = tree.find(key);
      if (at === MISSING) {
        await loadPath(reactor, tree, key);
        continue;
      }
      const block = at < 0 ? null : this.#sharedAt(at);
      key++;
      if (block !== null) blocks.push(block);
      else if (blocks.length > 0) return { blocks, end: key };
    }
    return { blocks, end: to };
  }

  /** Into its memory, in their order; what lies one behind the other is read at once. */
  async #read(blocks: readonly SharedBlock[]): Promise<Status> {
    for (let index = 0; index < blocks.length; ) {
      const address = blocks[index]?.address ?? 0;
      let count = 1;
      while (blocks[index + count]?.address === address + count) count++;
      if (!this.#parts.disks.holds(address, count)) return Status.mediaError;
      const status = await this.#run.read(address, count, index);
      if (status !== Status.ok) return status;
      index += count;
    }
    const { checksum } = this.#parts;
    for (const [index, block] of blocks.entries()) {
      if ((block.flags & MappingFlag.damaged) !== 0) return Status.mediaError;
      if ((block.flags & MappingFlag.noChecksum) !== 0) continue;
      const found = checksum.ofBytes(this.#memory.bytes, index * BLOCK_BYTES);
      if (found !== block.checksum) return Status.mediaError;
    }
    return Status.ok;
  }

  async #writeBlocks(first: number, count: number): Promise<void> {
    const status = await new Promise<Status>((resolve) => {
      this.#written = resolve;
      this.#write.fill(this, this.#volume, first, count, this.#content, 0);
      this.#write.flags = 0;
      this.#write.stream = 0;
      this.#writer.submit(this.#write);
    });
    if (status !== Status.ok) throw this.#failed(status, "one of them cannot be written");
  }

  #enter(first: number, count: number): Promise<void> {
    this.offset = first * BLOCK_BYTES;
    this.length = count * BLOCK_BYTES;
    return new Promise((resolve) => {
      this.#entered = resolve;
      if (this.#volume.ranges.enter(this)) this.rangeEntered();
    });
  }

  #tell(): void {
    const all = this.#doneBlocks + this.#volume.sharedBlocks;
    this.#options.onProgress?.(this.#doneBlocks, all);
  }

  /** @throws PenstockError `aborted`, `volume-not-found` */
  #check(): void {
    const { name, isDeleting } = this.#volume;
    if (this.#isStopped || this.#options.signal?.aborted === true) {
      const message = `the flattening of ${name} was ended; another one goes on where it was`;
      throw new PenstockError({ code: "aborted", message, retryable: true });
    }
    if (!isDeleting) return;
    const message = `volume ${name} was deleted meanwhile`;
    throw new PenstockError({ code: "volume-not-found", message, details: { name } });
  }

  #failed(status: Status, what: string): PenstockError {
    const { name } = this.#volume;
    const { disks } = this.#parts;
    const reason = disks.faultReason || `${what} (${statusName(status)})`;
    return new PenstockError({
      code: disks.fault === Status.ok ? statusName(status) : "pool-faulted",
      message: `blocks of ${name} that its origin has, too, cannot be copied: ${reason}`,
      details: { name },
    });
  }
}
