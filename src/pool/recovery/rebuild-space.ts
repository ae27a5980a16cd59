/**
 * A forced import's way on where a page of a disk's space map is lost, both copies: the maps of all
 * disks are made anew from what all other trees refer to, as the label has them. (Of all disks:
 * copies of one map's pages lie on another disk, where nobody would free them.)
 *
 *   maps walked --a page is lost--> all other trees walked --> a table of what is in use, and a
 *   label without maps --> the import goes on with these two
 *
 * Refused where a page of another tree is lost, too: what that one refers to would be given away.
 * Then the chunks of the lost pages stay unused. Reads only. Memory: about 100 bytes for each chunk
 * in use, and pages of the new maps that the page cache must hold.
 *
 * spec: docs/internals/pool-format.md, Space
 */

import type { Device } from "../../block/device.ts";
import { toPenstockError } from "../../util/errors.ts";
import { TreeWalk } from "../check/tree-walk.ts";
import { inOrder, VersionWalk } from "../check/version-walk.ts";
import type { PoolLabel } from "../disks/label-format.ts";
import { entriesMax } from "../pages/page-format.ts";
import type { PageTree } from "../pages/page-tree.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { PoolOptions } from "../pool-info.ts";
import { type Address, blockOf, diskOf } from "../pool-layout.ts";
import { ChunkTable } from "../space/chunk-table.ts";
import { awaitCall } from "./await-call.ts";
import { heldRuns } from "./disk-layout.ts";
import { assembleParts, type PoolParts } from "./pool-parts.ts";

const QUIET_MS = 1;
/** Leaves of a map may be half full; and so much more is for the pages above them. */
const LEAVES_SHARE = 2.2;
const PAGES_MORE = 32;

/** As `assembleParts`; with `force` lost maps are made anew first. */
export async function assembleForImport(
  label: PoolLabel,
  devices: readonly Device[],
  environment: PoolEnvironment,
  options: PoolOptions,
): Promise<{ readonly parts: PoolParts; readonly label: PoolLabel }> {
  if (options.force === true && options.readOnly !== true) {
    const rebuilt = await rebuildSpace(label, devices, environment, options);
    if (rebuilt !== null) {
      const parts = assembleParts(rebuilt.label, devices, environment, options, rebuilt.table);
      return { parts, label: rebuilt.label };
    }
  }
  return { parts: assembleParts(label, devices, environment, options), label };
}

/** Null: no map is lost, or it cannot be made anew. */
async function rebuildSpace(
  label: PoolLabel,
  devices: readonly Device[],
  environment: PoolEnvironment,
  options: PoolOptions,
): Promise<{ readonly label: PoolLabel; readonly table: ChunkTable } | null> {
  const { reactor } = environment;
  // What it finds damaged the import finds, too, and tells.
  const quiet = { ...environment, onEvent: () => undefined };
  const parts = assembleParts(label, devices, quiet, { ...options, readOnly: true });
  const rebuild = new SpaceRebuild(parts, label);
  try {
    await rebuild.run();
  } catch (error) {
    rebuild.problem(toPenstockError(error).message);
  } finally {
    while (parts.disks.inFlight > 0) {
      await awaitCall<void>(reactor, (done) => {
        reactor.clock.startTimer(QUIET_MS, done);
      });
    }
    parts.log.close();
    parts.cache.close();
  }
  const { lost, problems } = rebuild;
  if (lost.length === 0) return null;
  const [problem] = problems;
  const names = lost.map((disk) => devices[disk]?.info.name ?? `disk ${disk}`).join(", ");
  environment.onEvent({
    level: problem === undefined ? "warning" : "error",
    code: problem === undefined ? "pool-map-rebuilt" : "pool-damage-found",
    message:
      problem === undefined
        ? `the map of the space of ${names} was lost, and has been made anew`
        : `the map of the space of ${names} is lost, and cannot be made anew: ${problem}`,
    pool: label.name,
    details: { disks: names },
  });
  return problem === undefined ? rebuild.result() : null;
}

class SpaceRebuild {
  /** Disks whose map has a page that is lost. */
  readonly lost: number[] = [];
  /** Why they cannot be made anew, for people. */
  readonly problems: string[] = [];
  readonly #parts: PoolParts;
  readonly #label: PoolLabel;
  readonly #table: ChunkTable;
  #dataBlocks = 0;
  #pageBlocks = 0;
  /** Blocks that something refers to. */
  #found = 0;

  constructor(parts: PoolParts, label: PoolLabel) {
    this.#parts = parts;
    this.#label = label;
    this.#table = new ChunkTable(label.chunkBlocks);
  }

  async run(): Promise<void> {
    const { catalogue, space } = this.#parts;
    const disks = this.#label.disks.keys();
    for (const disk of disks) if (await this.#isLost(space.treeOf(disk))) this.lost.push(disk);
    if (this.lost.length === 0) return;
    await catalogue.load();
    for (const disk of this.#label.disks.keys()) this.#findHeld(disk);
    await this.#walkTree(catalogue.objects, "volumes");
    await this.#walkTree(catalogue.propertyTree, "properties");
    await this.#walkVersions();
    this.#check();
  }

  problem(message: string): void {
    this.problems.push(message);
  }

  /** What the import goes on with. */
  result(): { readonly label: PoolLabel; readonly table: ChunkTable } {
    const disks = this.#label.disks.map((disk, index) => {
      return { ...disk, spaceRoot: emptyPointer(), freeBlocks: disk.blocks - this.#usedOf(index) };
    });
    const counts = { dataBlocks: this.#dataBlocks, pageBlocks: this.#pageBlocks };
    return { label: { ...this.#label, ...counts, disks }, table: this.#table };
  }

  async #isLost(tree: PageTree): Promise<boolean> {
    let isLost = false;
    const visitor = {
      page: () => undefined,
      entry: () => undefined,
      problem: () => {
        isLost = true;
      },
    };
    await this.#walkOf(tree, "the map", visitor).run();
    return isLost;
  }

  #findHeld(disk: number): void {
    for (const { address, count } of heldRuns(this.#label, disk)) {
      for (let block = 0; block < count; block++) this.#find(address + block);
    }
  }

  #walkTree(tree: PageTree, name: string): Promise<void> {
    const visitor = {
      page: (a: Address, b: Address) => this.#findPage(a, b),
      entry: () => undefined,
      problem: (message: string) => this.problem(message),
    };
    return this.#walkOf(tree, name, visitor).run();
  }

  #walkOf(
    tree: PageTree,
    name: string,
    visitor: ConstructorParameters<typeof TreeWalk>[1],
  ): TreeWalk {
    const { environment, cache } = this.#parts;
    return new TreeWalk({ reactor: environment.reactor, cache, tree, name }, visitor);
  }

  async #walkVersions(): Promise<void> {
    const { environment, cache, catalogue } = this.#parts;
    const walk = new VersionWalk(
      { reactor: environment.reactor, cache },
      {
        page: (_version, a, b) => this.#findPage(a, b),
        block: (_version, _key, address) => {
          this.#dataBlocks++;
          this.#find(address);
        },
        problem: (message) => this.problem(message),
      },
    );
    for (const version of inOrder(catalogue.all())) await walk.walk(version);
  }

  #findPage(a: Address, b: Address): void {
    this.#pageBlocks += 2;
    this.#find(a);
    this.#find(b);
  }

  #find(address: Address): void {
    const { disks } = this.#parts;
    if (!disks.holds(address, 1)) {
      this.problem(`a block ${address} that is in use is on no disk`);
      return;
    }
    const disk = diskOf(address);
    this.#found++;
    const { chunkBlocks } = this.#label;
    const block = blockOf(address);
    const chunk = Math.floor(block / chunkBlocks);
    const limit = Math.min(chunkBlocks, disks.at(disk).blocks - chunk * chunkBlocks);
    this.#table.setUsed(this.#table.record(disk, chunk, limit), block % chunkBlocks, 1, true);
  }

  /** All bits of the table's chunks are known now; and the new map has room. */
  #check(): void {
    const { cache } = this.#parts;
    for (const record of this.#table.records()) this.#table.fill(record, cache.words, -1);
    let [used, free] = [0, 0];
    for (const [disk, { blocks }] of this.#label.disks.entries()) {
      const usedHere = this.#usedOf(disk);
      used += usedHere;
      free += blocks - usedHere;
    }
    if (used !== this.#found) this.problem("a block is used twice");
    const perLeaf = entriesMax(1 + this.#table.width);
    const pages = Math.ceil((this.#table.size / perLeaf) * LEAVES_SHARE) + PAGES_MORE;
    if (pages > cache.dirtyMax) this.problem("it needs a larger page cache (--pool-cache)");
    if (2 * pages > free) this.problem("there is no space for it");
  }

  #usedOf(disk: number): number {
    const { chunkBlocks, disks } = this.#label;
    const blocks = disks[disk]?.blocks ?? 0;
    let used = 0;
    for (const record of this.#table.records()) {
      if (this.#table.diskOf(record) !== disk) continue;
      const limit = Math.min(chunkBlocks, blocks - this.#table.chunkOf(record) * chunkBlocks);
      used += limit - this.#table.roomOf(record);
    }
    return used;
  }
}
