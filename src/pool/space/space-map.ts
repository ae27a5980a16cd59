/** SpaceMap: see the contract. Bodies follow. */

import type { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageSpace, PoolPressure } from "../pages/page-cache.ts";
import type { RootPointer } from "../pages/root-pointer.ts";
import type { Address, Run, SpaceWaiter } from "../pool-layout.ts";

export type TakeResult = "ok" | "wait" | "no-space";

export interface TakenRun {
  address: Address;
  count: number;
}

export interface SpaceDisk {
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly root: RootPointer;
}

export interface SpaceMapOptions {
  readonly cache: PageCache;
  readonly chunkBlocks: number;
  /** As in the label; none when a pool is made: then `addDisk`. */
  readonly disks: readonly SpaceDisk[];
  readonly dataBlocks: number;
  readonly pageBlocks: number;
  readonly heldBlocks: number;
  readonly keptBackBlocks: number;
  /** Until `endReplay`. */
  readonly isReplay: boolean;
}

export class SpaceMap implements PageSpace {
  readonly freeBlocks: number = 0;
  readonly dataBlocks: number = 0;
  readonly pageBlocks: number = 0;
  readonly heldBlocks: number = 0;
  readonly waitingBlocks: number = 0;
  pressure: PoolPressure | null = null;

  constructor(_options: SpaceMapOptions) {
    assert(false, "written soon");
  }

  take(_count: number, _taken: TakenRun, _isReserved = false): TakeResult {
    assert(false, "written soon");
  }

  /** A record that maps them is applied, live or in replay. */
  markUsed(_address: Address, _count: number): void {
    assert(false, "written soon");
  }

  free(_address: Address, _count: number, _sequence: number, _punch: boolean): void {
    assert(false, "written soon");
  }

  giveBack(_address: Address, _count: number): void {
    assert(false, "written soon");
  }

  /** Replay: the log names them. */
  protect(_address: Address, _count: number): void {
    assert(false, "written soon");
  }

  endReplay(): void {
    assert(false, "written soon");
  }

  setReserved(_blocks: number): void {
    assert(false, "written soon");
  }

  waitForSpace(_waiter: SpaceWaiter): void {
    assert(false, "written soon");
  }

  prepareFold(_done: (status: Status) => void): void {
    assert(false, "written soon");
  }

  fold(): boolean {
    assert(false, "written soon");
  }

  rootOf(_disk: number): RootPointer {
    assert(false, "written soon");
  }

  /** Free blocks of one disk, for the label. */
  freeOf(_disk: number): number {
    assert(false, "written soon");
  }

  addDisk(_disk: number, _blocks: number, _held: readonly Run[]): void {
    assert(false, "written soon");
  }

  growDisk(
    _disk: number,
    _blocks: number,
    _held: readonly Run[],
    _unheld: readonly Run[],
  ): void {
    assert(false, "written soon");
  }

  takePages(_into: { a: Address; b: Address }): boolean {
    assert(false, "written soon");
  }

  dropPages(_a: Address, _b: Address): void {
    assert(false, "written soon");
  }

  returnPages(_a: Address, _b: Address): void {
    assert(false, "written soon");
  }

  pagesToTake(): number {
    assert(false, "written soon");
  }

  foldPages(): number {
    assert(false, "written soon");
  }

  foldPagesOf(_blocks: number): number {
    assert(false, "written soon");
  }

  generationFrozen(_generation: number): void {
    assert(false, "written soon");
  }

  generationCommitted(_generation: number): void {
    assert(false, "written soon");
  }
}
