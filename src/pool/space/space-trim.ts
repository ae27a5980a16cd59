/**
 * SpaceTrim: discards all free space of a pool, so that what is below its disks has it back:
 * punching after frees is best effort, and nobody repeats it after a crash.
 *
 *   free --held--> nobody takes it --discarded (own PunchQueue)--> free
 *
 * A batch at a time is held: who wants space meanwhile waits for it, and gets it. Chunks that data
 * or pages get their blocks out of now are left out: they are written soon. What is free here is
 * in no durable label and no record that a replay would apply: it may be destroyed as it may be
 * overwritten (docs/internals/pool-format.md, R).
 */

import { Support } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { FAILED, MISSING } from "../pages/page-tree.ts";
import { addressOf, BLOCK_BYTES } from "../pool-layout.ts";
import { PunchQueue } from "./punch-queue.ts";
import type { SpaceMap } from "./space-map.ts";

/** 64 MiB. */
const BATCH_BLOCKS_MAX = 16_384;
/** Of all free blocks, so many parts are left to others meanwhile, but for one. */
const FREE_SHARE = 8;
/** Chunks that one batch looks at: then others have their turn. */
const LOOKS_MAX = 1024;

export interface SpaceTrimOptions {
  readonly space: SpaceMap;
  readonly disks: PoolDisks;
  readonly reactor: Reactor;
  /** So many bytes more were discarded. Settles when it may go on. @returns false: no more */
  mayGoOn(bytes: number): Promise<boolean>;
}

export class SpaceTrim {
  readonly #options: SpaceTrimOptions;
  readonly #punches: PunchQueue;

  constructor(options: SpaceTrimOptions) {
    const { space, disks } = options;
    this.#options = options;
    this.#punches = new PunchQueue(disks, (address, count) => space.reusable(address, count));
  }

  /** All disks. Nothing is held when it settles. @returns false: it was told to stop */
  async run(): Promise<boolean> {
    const { disks, mayGoOn } = this.#options;
    for (let disk = 0; disk < disks.count; disk++) {
      if (!canDiscard(disks, disk)) continue;
      for (let chunk = 0; chunk >= 0; ) {
        const batch = await this.#batch(disk, chunk);
        chunk = batch.next;
        if (!(await mayGoOn(batch.blocks * BLOCK_BYTES))) return false;
        if (disks.fault !== Status.ok) return true;
      }
    }
    return true;
  }

  /** Discards what is free in some chunks from `first` on. @returns where to go on; -1: done */
  async #batch(disk: number, first: number): Promise<{ blocks: number; next: number }> {
    const { space, reactor } = this.#options;
    const most = Math.min(BATCH_BLOCKS_MAX, space.freeBlocks / FREE_SHARE);
    let blocks = 0;
    let chunk = space.nextChunk(disk, first);
    for (let looks = 0; looks < LOOKS_MAX && chunk >= first; looks++) {
      const found = this.#holdChunk(disk, chunk);
      if (found === MISSING) break;
      blocks += found;
      first = chunk + 1;
      chunk = space.nextChunk(disk, first);
      if (blocks >= most) break;
    }
    await new Promise<void>((resolve) => {
      this.#punches.drain(() => reactor.deliverLater(resolve));
    });
    if (chunk < first) return { blocks, next: -1 };
    await this.#loaded(disk, chunk);
    return { blocks, next: chunk };
  }

  /** @returns how many blocks are held now, or MISSING */
  #holdChunk(disk: number, chunk: number): number {
    const { space } = this.#options;
    const { table } = space;
    const record = space.open(disk, chunk, { nextWaiter: null, pageReady: () => undefined });
    if (record === MISSING) return MISSING;
    // A page of the map that is lost: what it says is in use is not known.
    if (record === FAILED || table.hasUser(record)) return 0;
    let held = 0;
    for (let at = table.firstRoom(record, 0); at >= 0; at = table.firstRoom(record, at)) {
      const count = table.runLength(record, at, table.chunkBlocks);
      const address = addressOf(disk, chunk * table.chunkBlocks + at);
      space.hold(address, count);
      this.#punches.add(address, count);
      held += count;
      at += count;
    }
    if (held === 0) table.drop(record);
    return held;
  }

  /** Settles when the map of the chunk is in memory, or cannot be had. */
  async #loaded(disk: number, chunk: number): Promise<void> {
    const { space, reactor } = this.#options;
    await new Promise<void>((resolve) => {
      const pageReady = (): void => reactor.deliverLater(resolve);
      const record = space.open(disk, chunk, { nextWaiter: null, pageReady });
      if (record === MISSING) return;
      if (record !== FAILED) space.table.drop(record);
      pageReady();
    });
  }
}

function canDiscard(disks: PoolDisks, disk: number): boolean {
  return disks.at(disk).device.operations.discard !== Support.refuse;
}
