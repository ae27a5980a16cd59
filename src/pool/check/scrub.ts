/** Scrub: reads everything that a pool holds and looks whether it is right. */

import { assert } from "../../util/assert.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { HealSource } from "./heal.ts";

export interface ScrubOptions {
  /** Default: as fast as the disks. */
  readonly bytesPerSecond?: number;
  /** Where good data for damaged blocks may come from. */
  readonly heal?: HealSource;
  /** From the beginning; default: goes on where the last one was. */
  readonly restart?: boolean;
}

export interface DamagedBlock {
  /** Its name. */
  readonly volume: string;
  readonly offset: number;
  readonly healed: boolean;
}

export interface ScrubProgress {
  readonly state: "running" | "paused" | "finished" | "failed";
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** The first 1,000. */
  readonly damaged: readonly DamagedBlock[];
  readonly damagedCount: number;
  /** Copies of pages and labels that were bad beside a good one; they are written anew. */
  readonly badCopies: number;
}

export interface Scrub {
  readonly progress: ScrubProgress;
  /** Settles when nothing of it is in flight and its position is kept. */
  pause(): Promise<void>;
  resume(): void;
  /** Finished, failed, or paused for good because the pool closes. */
  readonly done: Promise<ScrubProgress>;
}

/** Where a scrub keeps how far it has come. */
export interface ScrubStore {
  load(): Uint8Array | undefined;
  /** null: nothing to go on from. */
  save(position: Uint8Array | null): Promise<void>;
}

export function startScrub(_parts: PoolParts, _store: ScrubStore, _options: ScrubOptions): Scrub {
  assert(false, "not written yet");
}
