/**
 * PoolEntry: what the registry knows of one pool. Owned and changed by the registry alone.
 *
 *   opening --> open --export, destroy--> closing --> (gone)
 *      |  ^
 *      v  | after a while
 *     failed --export--> (gone)
 */

import type { PoolListing } from "../pipe/pool-protocol.ts";
import type { Timer } from "../reactor/clock.ts";
import type { PenstockError } from "../util/errors.ts";
import { Lane } from "../util/lane.ts";
import type { StoredPool } from "./pool-store.ts";

export type PoolEntryState = "opening" | "open" | "failed" | "closing";

export class PoolEntry {
  readonly name: string;
  readonly createdMs: number;
  /** Canonical; empty when what was stored cannot be read. */
  disks: readonly string[];
  /** One that is being added. */
  adding: string | undefined;
  /** UUID, for as long as the engine knows the pool. */
  readonly hostSeed: string;
  /** The pool's own; "" until it is known. */
  uuid: string;
  /** Version of what is stored; 0: nothing yet. */
  generation: number;
  state: PoolEntryState = "opening";
  /** Set exactly while `failed`. */
  failure: PenstockError | null = null;
  failures = 0;
  /** Milliseconds since 1970; set while a retry is planned. */
  retryAtMs: number | null = null;
  timer: Timer | null = null;
  /** What it said last while it was open. */
  lastListing: PoolListing | null = null;
  readonly #changes = new Lane();

  /** @param newSeed where none is stored */
  constructor(pool: StoredPool, newSeed: string) {
    this.name = pool.name;
    this.createdMs = pool.createdMs;
    this.disks = pool.disks;
    this.adding = pool.adding;
    this.uuid = pool.uuid;
    this.generation = pool.generation;
    this.hostSeed = pool.hostSeed ?? newSeed;
  }

  /** Runs `step`, a change, after every change before it. */
  inTurn<T>(step: () => Promise<T>): Promise<T> {
    return this.#changes.run(step);
  }

  cancelTimer(): void {
    this.timer?.cancel();
    this.timer = null;
    this.retryAtMs = null;
  }
}
