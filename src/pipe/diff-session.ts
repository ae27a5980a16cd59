/**
 * DiffSession: a walk of differences between two versions of a pool, and the snapshots of them held
 * open, so that they are not deleted meanwhile. Owns both until it is closed.
 */

import type { Device } from "../block/device.ts";
import type { Pool } from "../pool/pool.ts";
import { type DiffExtent, PulledDiff } from "../pool/stream/pulled-diff.ts";

export interface DiffOf {
  /** Null: nothing. */
  readonly from: string | null;
  readonly to: string;
  readonly startBlock: number;
}

export class DiffSession {
  readonly #diff: PulledDiff;
  readonly #held: readonly Device[];

  /** @throws PenstockError `snapshot-not-found` */
  static async open(pool: Pool, { from, to, startBlock }: DiffOf): Promise<DiffSession> {
    const held: Device[] = [];
    try {
      for (const name of [from, to]) {
        // A volume is its user's; one that is deleted meanwhile ends the walk.
        if (name === null || !name.includes("@")) continue;
        held.push(await pool.openVolume(name, { readOnly: true, stageName: `diff of ${name}` }));
      }
    } catch (thrown) {
      await closeAll(held);
      throw thrown;
    }
    return new DiffSession(new PulledDiff((sink) => pool.diff(from, to, startBlock, sink)), held);
  }

  private constructor(diff: PulledDiff, held: readonly Device[]) {
    this.#diff = diff;
    this.#held = held;
  }

  /** Empty: that was all. @throws as `PulledDiff.next` */
  next(): Promise<readonly DiffExtent[]> {
    return this.#diff.next();
  }

  async close(): Promise<void> {
    await this.#diff.close();
    await closeAll(this.#held);
  }
}

async function closeAll(devices: readonly Device[]): Promise<void> {
  await Promise.all(devices.map((device) => device.close()));
}
