/**
 * walkPool: what all trees of a pool refer to, counted, and compared with what the pool's own maps
 * and counters say. The four figures of the format's "Space", found the long way.
 *
 * Before it looks, all that is in memory only goes into the trees, as in a checkpoint, but nothing
 * is written. Memory: 64 MiB for each range of 1 TiB, one after the other.
 *
 * spec: docs/internals/pool-format.md, Space
 */

import { Status, statusName } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageTree } from "../pages/page-tree.ts";
import { type Address, addressOf, blockOf, diskOf, LABEL_AREA_BLOCKS } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { type TreeVisitor, TreeWalk } from "./tree-walk.ts";
import { inOrder, VersionWalk, type VersionVisitor } from "./version-walk.ts";
import { RANGE_BLOCKS_MAX, WalkBitmap } from "./walk-bitmap.ts";

export interface PoolWalkResult {
  /** Mapped by volumes and snapshots, each once. */
  readonly dataBlocks: number;
  /** Of all trees, both copies. */
  readonly pageBlocks: number;
  /** Labels and log. */
  readonly heldBlocks: number;
  /** All others. */
  readonly freeBlocks: number;
  /** For people; none: all is as it must be. At most 100. */
  readonly problems: readonly string[];
}

const PROBLEMS_MAX = 100;
const WORD_BITS = 32;

/**
 * The pool is quiet, or read-only. Nothing is changed on its disks.
 * @throws Error when the disks cannot be read at all
 */
export async function walkPool(parts: PoolParts): Promise<PoolWalkResult> {
  await foldAll(parts);
  const walk = new PoolWalk(parts);
  await walk.run();
  return walk.result();
}

/** Puts what is in memory only into the trees: roots, counts, bitmaps. */
async function foldAll({ environment, catalogue, space }: PoolParts): Promise<void> {
  for (;;) {
    for (const part of [catalogue, space]) {
      const status = await new Promise<Status>((resolve) => {
        part.prepareFold((ended) => environment.reactor.deliverLater(() => resolve(ended)));
      });
      if (status !== Status.ok) throw new Error(`trees cannot be read: ${statusName(status)}`);
    }
    if (catalogue.fold() && space.fold()) return;
  }
}

class PoolWalk {
  readonly #parts: PoolParts;
  readonly #problems: string[] = [];
  #dataBlocks = 0;
  #pageBlocks = 0;
  #heldBlocks = 0;
  /** Of the range that is looked at. */
  #disk = 0;
  #range: WalkBitmap | null = null;
  /** All ranges but the first only fill their bitmaps. */
  #isFirst = true;

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    const { disks } = this.#parts;
    for (let disk = 0; disk < disks.count; disk++) {
      const { blocks } = disks.at(disk);
      for (let first = 0; first < blocks; first += RANGE_BLOCKS_MAX) {
        this.#disk = disk;
        this.#range = new WalkBitmap(first, Math.min(RANGE_BLOCKS_MAX, blocks - first));
        await this.#walkRange();
        this.#isFirst = false;
      }
    }
    this.#compareFigures();
  }

  result(): PoolWalkResult {
    const [dataBlocks, pageBlocks, heldBlocks] = [
      this.#dataBlocks,
      this.#pageBlocks,
      this.#heldBlocks,
    ];
    const freeBlocks = this.#allBlocks() - dataBlocks - pageBlocks - heldBlocks;
    return { dataBlocks, pageBlocks, heldBlocks, freeBlocks, problems: this.#problems };
  }

  async #walkRange(): Promise<void> {
    const range = this.#range;
    assert(range !== null, "a range is being walked");
    this.#findHeld();
    await this.#walkObjects();
    await this.#walkVersions();
    await this.#walkSpace();
    for (const { first, count, isOrphan } of range.differences()) {
      const what = isOrphan ? "in use by the map, found nowhere" : "in use, and free by the map";
      this.#problem(`disk ${this.#disk}: ${count} blocks from ${first} on: ${what}`);
    }
    this.#range = null;
  }

  /** Label areas and the ring. */
  #findHeld(): void {
    const { disks, checkpointer } = this.#parts;
    const { label } = checkpointer;
    for (let disk = 0; disk < disks.count; disk++) {
      const back = disks.at(disk).blocks - LABEL_AREA_BLOCKS;
      this.#hold(addressOf(disk, 0), LABEL_AREA_BLOCKS);
      this.#hold(addressOf(disk, back), LABEL_AREA_BLOCKS);
    }
    this.#hold(label.logAddress, label.logBlocks);
  }

  #hold(address: Address, count: number): void {
    for (let index = 0; index < count; index++) this.#found(address + index, "held");
    if (this.#isFirst) this.#heldBlocks += count;
  }

  async #walkObjects(): Promise<void> {
    const { catalogue } = this.#parts;
    const known = new Set([...catalogue.all()].map(({ id }) => id));
    await this.#walkTree(catalogue.objects, "objects", (words, at) => {
      const id = words[at] as number; // an entry of the page
      if (!known.delete(id)) this.#problem(`object ${id} is in the tree, but not in memory`);
    });
    for (const id of known) this.#problem(`object ${id} is in memory, but not in the tree`);
    await this.#walkTree(catalogue.propertyTree, "properties", () => {});
  }

  async #walkVersions(): Promise<void> {
    const { environment, cache, catalogue } = this.#parts;
    const visitor: VersionVisitor = {
      page: ({ name }, a, b) => {
        if (this.#isFirst) this.#pageBlocks += 2;
        this.#found(a, `page of ${name}`);
        this.#found(b, `page of ${name}`);
      },
      block: ({ name }, key, address) => {
        if (this.#isFirst) this.#dataBlocks++;
        this.#found(address, `block ${key} of ${name}`);
      },
      problem: (message) => {
        if (this.#isFirst) this.#problem(message);
      },
    };
    const versions = [...catalogue.all()];
    const order = inOrder(versions);
    if (order.length !== versions.length) this.#problem("the tree of versions is not a tree");
    const walk = new VersionWalk({ reactor: environment.reactor, cache }, visitor);
    for (const version of order) await walk.walk(version);
  }

  /** The maps of all disks; the bits of one go into the range. */
  async #walkSpace(): Promise<void> {
    const { disks, space, checkpointer } = this.#parts;
    const { label } = checkpointer;
    const words = Math.max(1, label.chunkBlocks / WORD_BITS);
    for (let disk = 0; disk < disks.count; disk++) {
      await this.#walkTree(space.treeOf(disk), `map of disk ${disk}`, (page, at) => {
        if (disk !== this.#disk) return;
        const first = (page[at] as number) * label.chunkBlocks; // an entry of the page
        this.#mapChunk(first, page.subarray(at + 1, at + 1 + words), label.chunkBlocks);
      });
    }
  }

  #mapChunk(first: number, bits: Uint32Array, chunkBlocks: number): void {
    const range = this.#range;
    assert(range !== null, "a range is being walked");
    if (chunkBlocks >= WORD_BITS) {
      for (const [index, word] of bits.entries()) range.map(first + index * WORD_BITS, word);
      return;
    }
    // Chunks of 16 blocks share a word of the range.
    const shift = first % WORD_BITS;
    range.join(first - shift, ((bits[0] as number) & (2 ** chunkBlocks - 1)) << shift);
  }

  #walkTree(
    tree: PageTree,
    name: string,
    entry: (words: Uint32Array, at: number) => void,
  ): Promise<void> {
    const { environment, cache } = this.#parts;
    const visitor: TreeVisitor = {
      entry,
      page: (a, b) => {
        if (this.#isFirst) this.#pageBlocks += 2;
        this.#found(a, `page of ${name}`);
        this.#found(b, `page of ${name}`);
      },
      problem: (message) => {
        if (this.#isFirst) this.#problem(message);
      },
    };
    const options = { reactor: environment.reactor, cache, tree, name };
    return new TreeWalk(options, visitor).run();
  }

  #found(address: Address, what: string): void {
    const { disks } = this.#parts;
    if (!disks.holds(address, 1)) {
      if (this.#isFirst) this.#problem(`${what}: there is no block ${address}`);
      return;
    }
    if (diskOf(address) !== this.#disk || this.#range === null) return;
    if (this.#range.find(blockOf(address))) return;
    this.#problem(`${what}: block ${blockOf(address)} of disk ${this.#disk} is used twice`);
  }

  #compareFigures(): void {
    const { space } = this.#parts;
    const found = this.result();
    for (const name of ["dataBlocks", "pageBlocks", "heldBlocks", "freeBlocks"] as const) {
      if (found[name] === space[name]) continue;
      this.#problem(`${name} are ${found[name]}, and counted as ${space[name]}`);
    }
  }

  #allBlocks(): number {
    const { disks } = this.#parts;
    let sum = 0;
    for (let disk = 0; disk < disks.count; disk++) sum += disks.at(disk).blocks;
    return sum;
  }

  #problem(message: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(message);
  }
}
