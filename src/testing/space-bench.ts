/**
 * A space map, a page cache and one tree of mapped blocks, with what they should be: for tests of
 * the space of a pool without log and labels. Owned by one test.
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { testUuid } from "./pool-disks-rig.ts";
import type { Prng } from "../util/prng.ts";
import type { PoolDisks } from "../pool/disks/pool-disks.ts";
import { type FrozenPages, PageCache, type PageWaiter } from "../pool/pages/page-cache.ts";
import { PageKind } from "../pool/pages/page-format.ts";
import { ABSENT, type EntrySink, MISSING, PageTree } from "../pool/pages/page-tree.ts";
import { emptyPointer, type RootPointer } from "../pool/pages/root-pointer.ts";
import {
  type Address,
  addressOf,
  BLOCK_BYTES,
  blockOf,
  diskOf,
  type Run,
} from "../pool/pool-layout.ts";
import { ReusePipeline } from "../pool/space/reuse-pipeline.ts";
import { SpaceMap } from "../pool/space/space-map.ts";

const CHUNK_BLOCKS = 64;
const MAPPING = { kind: PageKind.mapping, entryWords: 5 };
export const KEYS = 20_000;

export interface BenchLabel {
  readonly roots: readonly RootPointer[];
  readonly free: readonly number[];
  readonly dataBlocks: number;
  readonly pageBlocks: number;
  readonly heldBlocks: number;
  readonly mapping: RootPointer;
  readonly generation: number;
}

export interface Shape {
  readonly diskBlocks: readonly number[];
  readonly keptBackBlocks: number;
  readonly slots: number;
  /** Part of the keys that is used. */
  readonly keys: number;
  /** Large writes, and little that is unmapped. */
  readonly isFilled?: boolean;
}

/** As a record of the log: blocks of consecutive keys, or none: they are unmapped. */
export interface Entry {
  readonly first: number;
  readonly end: number;
  readonly addresses: readonly Address[] | null;
}

/** A volume of sorts over the map, and what it should be. */
export class SpaceBench {
  readonly reactor: Reactor;
  readonly disks: PoolDisks;
  readonly shape: Shape;
  readonly prng: Prng;
  cache!: PageCache;
  space!: SpaceMap;
  reuse!: ReusePipeline;
  mapping!: PageTree;
  label: BenchLabel | null = null;
  /** Key to block. */
  readonly mapped = new Map<number, Address>();
  readonly taken = new Set<Address>();
  readonly held = new Set<Address>();
  /** Written, and not in the log yet. */
  pending: Entry[] = [];
  /** What the log holds since the label. */
  journal: Entry[] = [];
  sequence = 1;
  readonly reads: number[] = [];
  checkpointsWanted = 0;
  flushesWanted = 0;

  readonly buffer: PoolBuffer;

  constructor(reactor: Reactor, disks: PoolDisks, shape: Shape, prng: Prng) {
    const buffer = reactor.buffers.acquire(256 * BLOCK_BYTES);
    ok(buffer !== null);
    this.buffer = buffer;
    this.reactor = reactor;
    this.disks = disks;
    this.shape = shape;
    this.prng = prng;
  }

  /** As an import does: from the label, or as a new pool. `more`: what its log holds. */
  open(more: readonly Run[] = []): void {
    const { label, shape, disks, reactor } = this;
    this.cache = new PageCache({
      reactor,
      limitBytes: shape.slots * BLOCK_BYTES,
      disks,
      poolUuid: testUuid(7),
      generation: (label?.generation ?? 0) + 3,
      onDamage: (found) => ok(false, JSON.stringify(found)),
    });
    this.space = new SpaceMap({
      cache: this.cache,
      chunkBlocks: CHUNK_BLOCKS,
      disks:
        label?.roots.map((root, disk) => ({
          root,
          blocks: shape.diskBlocks[disk] as number,
          freeBlocks: label.free[disk] as number,
        })) ?? [],
      dataBlocks: label?.dataBlocks ?? 0,
      pageBlocks: label?.pageBlocks ?? 0,
      heldBlocks: label?.heldBlocks ?? 0,
      keptBackBlocks: shape.keptBackBlocks,
      isReplay: true,
    });
    this.reuse = new ReusePipeline({ space: this.space, disks });
    this.mapping = new PageTree(this.cache, MAPPING, 1, label?.mapping ?? emptyPointer());
    this.space.pressure = {
      flushWanted: () => this.flushesWanted++,
      checkpointWanted: () => this.checkpointsWanted++,
    };
    this.cache.pressure = this.space.pressure;
    if (label !== null) return;
    for (const [disk, blocks] of shape.diskBlocks.entries()) {
      const front = { address: addressOf(disk, 0), count: 16 };
      const back = { address: addressOf(disk, blocks - 16), count: 16 };
      const runs = disk === 0 && more.length > 0 ? [...more, back] : [front, back];
      this.space.addDisk(disk, blocks, runs);
      for (const { address, count } of runs) {
        for (let block = 0; block < count; block++) this.held.add(address + block);
      }
    }
  }

  async wait(start: (waiter: PageWaiter) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      start({ nextWaiter: null, pageReady: () => this.reactor.deliverLater(resolve) });
    });
  }

  async until(tree: PageTree, key: number, step: () => number): Promise<number> {
    for (;;) {
      const result = step();
      if (result !== MISSING) return result;
      await this.wait((waiter) => tree.load(key, waiter));
    }
  }

  endReads(left: number): void {
    while (this.reads.length > left) this.reuse.endRead(this.reads.shift() as number);
  }

  turn(): Promise<void> {
    return new Promise((resolve) => this.reactor.deliverLater(resolve));
  }

  async fold(): Promise<void> {
    const { space, reactor } = this;
    do {
      const status = await new Promise<Status>((resolve) => {
        space.prepareFold((result) => reactor.deliverLater(() => resolve(result)));
      });
      strictEqual(status, Status.ok);
    } while (!space.fold());
  }

  /**
   * @param isCut the process ends before the label is written
   * @param busy what goes on meanwhile
   */
  async checkpoint(isCut = false, busy = async (): Promise<void> => undefined): Promise<void> {
    await this.fold();
    const before = this.journal.length;
    const { space, cache, shape } = this;
    const label: BenchLabel = {
      roots: shape.diskBlocks.map((_, disk) => ({ ...space.rootOf(disk) })),
      free: shape.diskBlocks.map((_, disk) => space.freeOf(disk)),
      dataBlocks: space.dataBlocks,
      pageBlocks: space.pageBlocks,
      heldBlocks: space.heldBlocks,
      mapping: { ...this.mapping.root },
      generation: cache.generation,
    };
    const mapped = new Set(this.mapped.values());
    const frozen = cache.freeze();
    strictEqual(frozen.generation, label.generation);
    await busy();
    await this.writeFrozen(frozen);
    await busy();
    await this.checkLabel(label, mapped);
    if (isCut) return;
    this.label = label;
    this.journal = this.journal.slice(before);
    frozen.committed();
    this.reuse.durableThrough(this.sequence);
    await this.turn();
  }

  /** The trees that a label names use exactly what its bitmaps say. */
  async checkLabel(label: BenchLabel, mapped: ReadonlySet<Address>): Promise<void> {
    const cache = new PageCache({
      reactor: this.reactor,
      limitBytes: 512 * BLOCK_BYTES,
      disks: this.disks,
      poolUuid: testUuid(7),
      generation: 1,
      onDamage: (found) => ok(false, JSON.stringify(found)),
    });
    const used = new Set<Address>(this.held);
    for (const address of mapped) used.add(address);
    const width = CHUNK_BLOCKS / 32;
    const bits = new Set<Address>();
    const trees = label.roots.map(
      (root, disk) =>
        new PageTree(cache, { kind: PageKind.space, entryWords: 1 + width }, disk, root),
    );
    for (const [disk, tree] of trees.entries()) {
      for (let key = 0; ; ) {
        const at = await this.until(tree, key, () => tree.atLeast(key));
        if (at === ABSENT) break;
        key = cache.words[at] as number;
        for (let bit = 0; bit < CHUNK_BLOCKS; bit++) {
          const word = cache.words[at + 1 + (bit >>> 5)] as number;
          if (((word >>> (bit & 31)) & 1) === 1) {
            bits.add(addressOf(disk, key * CHUNK_BLOCKS + bit));
          }
        }
        key++;
      }
    }
    let pages = 0;
    for (const tree of [...trees, new PageTree(cache, MAPPING, 1, label.mapping)]) {
      for (let level = 0; level <= tree.root.level && tree.root.a !== 0; level++) {
        for (let key = 0; key < 2 ** 32; ) {
          const slot = await this.until(tree, key, () => tree.slotOnPath(key, level));
          const high = cache.words[slot * 1024 + 6] as number;
          const a = (cache.words[slot * 1024 + 4] as number) + (high & 0xffff) * 2 ** 32;
          const b = (cache.words[slot * 1024 + 5] as number) + (high >>> 16) * 2 ** 32;
          ok(!used.has(a) && !used.has(b), "a page has blocks of its own");
          used.add(a);
          used.add(b);
          pages += 2;
          key = (tree.path.lasts[level] as number) + 1;
        }
      }
    }
    deepStrictEqual(
      [...bits].sort((x, y) => x - y),
      [...used].sort((x, y) => x - y),
    );
    strictEqual(label.pageBlocks, pages);
    strictEqual(label.dataBlocks, mapped.size);
    strictEqual(label.heldBlocks, this.held.size);
    const total = this.shape.diskBlocks.reduce((sum, blocks) => sum + blocks, 0);
    const free = label.free.reduce((sum, blocks) => sum + blocks, 0);
    strictEqual(free, total - used.size);
    cache.close();
  }

  /** Reads or writes through the buffer of the bench. */
  async transfer(operation: Operation, address: Address, blocks: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const request = this.disks.take({
        diskRequestEnded: (ended) => {
          strictEqual(ended.status, Status.ok);
          this.disks.give(ended);
          this.reactor.deliverLater(resolve);
        },
      });
      request.operation = operation;
      request.segments.push(this.buffer.slab.id, this.buffer.offset, blocks * BLOCK_BYTES);
      this.disks.submit(request, address, blocks);
    });
  }

  stampAt(block: number): number {
    return this.buffer.offset + block * BLOCK_BYTES;
  }

  /** Every block says its address: pages that are still needed there would be found broken. */
  async writeData(addresses: readonly Address[]): Promise<void> {
    const { view } = this.buffer.slab;
    for (const [index, address] of addresses.entries()) {
      view.setFloat64(this.stampAt(index), address, true);
    }
    await this.transfer(Operation.write, addresses[0] as Address, addresses.length);
  }

  /** No page was written to a block that is mapped. */
  async checkData(): Promise<void> {
    const { view } = this.buffer.slab;
    const all = [...this.mapped.values()].sort((x, y) => x - y);
    for (let next = 0; next < all.length; ) {
      const start = all[next] as Address;
      const left = (this.shape.diskBlocks[diskOf(start)] as number) - blockOf(start);
      const count = Math.min(256, left);
      await this.transfer(Operation.read, start, count);
      for (; next < all.length && (all[next] as Address) < start + count; next++) {
        const address = all[next] as Address;
        strictEqual(view.getFloat64(this.stampAt(address - start), true), address, "data stays");
      }
    }
  }

  /** Another process: from the label, and what the log holds. */
  async reopen(): Promise<void> {
    await this.turn();
    for (const { addresses } of this.pending) {
      for (const address of addresses ?? []) this.taken.delete(address);
    }
    this.pending = [];
    this.reads.length = 0;
    this.open();
    for (const { addresses } of this.journal) {
      if (addresses !== null) this.space.protect(addresses[0] as Address, addresses.length);
    }
    const replayed = new Map<number, Address>();
    for (const entry of this.journal) {
      await this.admitInReplay(entry.end - entry.first);
      await this.apply(entry);
      this.cache.applied(entry.end - entry.first);
    }
    for (let key = 0; ; ) {
      const at = await this.until(this.mapping, key, () => this.mapping.atLeast(key));
      if (at === ABSENT) break;
      key = this.cache.words[at] as number;
      replayed.set(key, addressAt(this.cache.words, at + 1));
      key++;
    }
    deepStrictEqual(replayed, new Map([...this.mapped].sort(([a], [b]) => a - b)));
    await this.checkData();
    await this.checkpoint();
    this.space.endReplay();
    await this.turn();
    await this.checkData();
  }

  /** In a small cache pages are written early; no label says so. */
  async admitInReplay(blocks: number): Promise<void> {
    for (let tries = 0; !this.cache.admit(blocks); tries++) {
      ok(tries < 100, "a replay always finds room");
      if (this.cache.dirtyCount < 10) await this.turn();
      else await this.writeFrozen(this.cache.freeze());
    }
  }

  async writeFrozen(frozen: FrozenPages): Promise<void> {
    const status = await new Promise<Status>((resolve) => {
      frozen.write((result) => this.reactor.deliverLater(() => resolve(result)));
    });
    strictEqual(status, Status.ok);
  }

  /** As the applier does. */
  async apply({ first, end, addresses }: Entry): Promise<void> {
    const { space, mapping, cache } = this;
    if (addresses === null) {
      for (let from = first; from < end; ) {
        const leafEnd = await this.until(mapping, from, () => mapping.leafEnd(from));
        const sink: EntrySink = {
          entry: (words, at) => space.free(addressAt(words, at + 1), 1, this.sequence, true),
        };
        ok((await this.until(mapping, from, () => mapping.removeInLeaf(from, end, sink))) >= 0);
        from = leafEnd;
      }
      return;
    }
    space.markUsed(addresses[0] as Address, addresses.length);
    for (const [index, address] of addresses.entries()) {
      const key = first + index;
      const at = await this.until(mapping, key, () => mapping.put(key));
      ok(at >= 0);
      const old = addressAt(cache.words, at + 1);
      if (old !== 0) space.free(old, 1, this.sequence, false);
      cache.words[at + 1] = address % 2 ** 32;
      cache.words[at + 2] = Math.floor(address / 2 ** 32);
    }
  }

  /** Its frame is written: from now on it is there, whatever happens. */
  async log(entry: Entry): Promise<void> {
    this.sequence++;
    this.journal.push(entry);
    await this.apply(entry);
    for (let key = entry.first; key < entry.end; key++) {
      const address = entry.addresses?.[key - entry.first];
      if (address === undefined) this.mapped.delete(key);
      else {
        this.taken.delete(address);
        this.mapped.set(key, address);
      }
    }
    this.cache.applied(entry.end - entry.first);
  }

  checkCounters(): void {
    const { space } = this;
    strictEqual(space.dataBlocks, this.mapped.size);
    strictEqual(space.takenBlocks, this.taken.size);
    const total = this.shape.diskBlocks.reduce((sum, blocks) => sum + blocks, 0);
    const sum = space.freeBlocks + space.dataBlocks + space.pageBlocks + space.heldBlocks;
    strictEqual(sum, total);
    ok(space.waitingBlocks + space.takenBlocks <= space.freeBlocks);
    const byDisk = this.shape.diskBlocks.reduce((all, _, disk) => all + space.freeOf(disk), 0);
    strictEqual(byDisk, space.freeBlocks);
  }
}

function addressAt(words: Uint32Array, at: number): Address {
  return (words[at] as number) + (words[at + 1] as number) * 2 ** 32;
}
