/** PageCache: see the contract. Bodies follow. */

import type { Reactor } from "../../reactor/reactor.ts";
import type { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { Address } from "../pool-layout.ts";
import type { PageDamage } from "./page-format.ts";

/** Somebody for whom a page is loaded. */
export interface PageWaiter {
  nextWaiter: PageWaiter | null;
  /** The page is there, or cannot be had (then the next look says FAILED). In the turn. */
  pageReady(): void;
}

/** Somebody whom `admit` refused. */
export interface PageRoomWaiter {
  nextRoom: PageRoomWaiter | null;
  /** In the turn: try again. */
  pagesMayBeThere(): void;
}

/** What pages and space ask of the pool when they run short. */
export interface PoolPressure {
  /** Freed blocks wait for a flush. */
  flushWanted(): void;
  /** Dirty or replaced pages wait for a checkpoint. */
  checkpointWanted(): void;
}

/** Where pages get their blocks. */
export interface PageSpace {
  /** Blocks for both copies of a page. False: none (then `admit` was not asked). */
  takePages(into: { a: Address; b: Address }): boolean;
  /** Free when the open generation is committed. */
  dropPages(a: Address, b: Address): void;
  /** Of a page made in the open generation and never written: free at once. */
  returnPages(a: Address, b: Address): void;
  /** How many pages may be taken by now, those that the checkpoint needs itself taken off. */
  pagesToTake(): number;
  /** What is dropped from now on belongs to the next generation. */
  generationFrozen(generation: number): void;
  generationCommitted(generation: number): void;
}

export interface PageCacheOptions {
  readonly reactor: Reactor;
  /** A multiple of 4 KiB, at least 64 KiB. */
  readonly limitBytes: number;
  readonly disks: PoolDisks;
  readonly poolUuid: string;
  /** The open one, at first. */
  readonly generation: number;
  onDamage(found: PageDamage): void;
}

/** What a checkpoint writes. */
export interface FrozenPages {
  readonly count: number;
  /** Of the label that may be written when they are. */
  readonly generation: number;
  /**
   * Writes all pages, both copies, sorted by address and merged up to 1 MiB, at most 32 device
   * writes in flight. `done` once, in the turn; when it fails they stay as they are: may be called
   * again.
   */
  write(done: (status: Status) => void): void;
  /** The label is durable: pages replaced by this generation are free. */
  committed(): void;
}

export class PageCache {
  readonly words: Uint32Array = new Uint32Array(0);
  generation: number;
  space: PageSpace | null = null;
  pressure: PoolPressure | null = null;
  readonly dirtyCount: number = 0;
  readonly dirtyMax: number = 0;

  constructor(options: PageCacheOptions) {
    this.generation = options.generation;
  }

  /** Room for a record that maps or unmaps at most so many blocks. */
  admit(_blocks: number): boolean {
    assert(false, "written soon");
  }

  applied(_blocks: number): void {
    assert(false, "written soon");
  }

  waitForPages(_waiter: PageRoomWaiter): void {
    assert(false, "written soon");
  }

  freeze(): FrozenPages {
    assert(false, "written soon");
  }

  /** Gives its memory back; nothing is in flight. */
  close(): void {
    assert(false, "written soon");
  }
}
