/**
 * PageLoad: brings one page into its slot: copy A, and when that is not right, copy B.
 *
 *   begin --A right--> ended(ok)
 *     +--A bad--> B --right--> ended(ok), A to be written anew
 *                   +--bad--> ended(failed)
 *
 * Pooled by the PageCache; its slot stays `loading` until it has ended.
 */

import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import type { CacheSlots } from "./cache-slots.ts";
import type { PageWaiter } from "./page-cache.ts";
import { checkPage, type PageHeader, type PageProblem } from "./page-format.ts";

/** A tree that a page belongs to, and what it does about copies that are bad. */
export interface PageOwner {
  /** Makes the path to `key` dirty, so that it is written anew. As `PageTree.put`'s results. */
  touch(key: number): number;
  /** Brings what `touch` has missed. */
  load(key: number, waiter: PageWaiter): void;
}

export interface PageLoadHome {
  readonly slots: CacheSlots;
  readonly disks: PoolDisks;
  /** First 16 hex digits of the pool's uuid. */
  readonly pool: string;
  badCopy(load: PageLoad, address: Address, problem: PageProblem | "unreadable"): void;
  loadEnded(load: PageLoad, isThere: boolean): void;
}

export class PageLoad implements DiskRequestOwner {
  nextLoad: PageLoad | null = null;
  slot = -1;
  owner: PageOwner | null = null;
  /** Its second copy is tried, or was taken. */
  isSecond = false;
  /** `count` is not known. */
  readonly expected: PageHeader = {
    kind: 0,
    level: 0,
    tree: 0,
    a: 0,
    b: 0,
    generation: 0,
    epoch: 0,
    count: 0,
    entryWords: 0,
    firstKey: 0,
    lastKey: 0,
  };
  readonly #home: PageLoadHome;

  constructor(home: PageLoadHome) {
    this.#home = home;
  }

  begin(owner: PageOwner, slot: number): void {
    this.owner = owner;
    this.slot = slot;
    this.isSecond = false;
    this.#read(this.expected.a);
  }

  diskRequestEnded(request: DiskRequest): void {
    const { address, status } = request;
    this.#home.disks.give(request);
    if (status !== Status.ok) {
      this.#bad(address, "unreadable");
      return;
    }
    const { slots, pool } = this.#home;
    const problem = checkPage(slots.view, this.slot * BLOCK_BYTES, this.expected, pool);
    if (problem === null) this.#home.loadEnded(this, true);
    else this.#bad(address, problem);
  }

  #read(address: Address): void {
    const { slots, disks } = this.#home;
    const request = disks.take(this);
    request.operation = Operation.read;
    request.segments.push(slots.slab.id, this.slot * BLOCK_BYTES, BLOCK_BYTES);
    disks.submit(request, address, 1);
  }

  #bad(address: Address, problem: PageProblem | "unreadable"): void {
    const { isSecond } = this;
    if (!isSecond) this.isSecond = true;
    this.#home.badCopy(this, address, problem);
    if (isSecond) this.#home.loadEnded(this, false);
    else this.#read(this.expected.b);
  }
}
