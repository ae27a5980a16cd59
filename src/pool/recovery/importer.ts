/** importPool: from labels and log to a pool that is open for business. */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import type { PoolLabel } from "../disks/label-format.ts";
import type { PoolParts } from "./pool-parts.ts";

/** Blocks of a volume that a write of the tail should have changed, and did not. */
export interface DroppedRange {
  readonly objectId: number;
  /** Block of the volume. */
  readonly first: number;
  readonly count: number;
}

export interface ImportFindings {
  readonly wasClean: boolean;
  readonly framesReplayed: number;
  readonly recordsDropped: readonly DroppedRange[];
  /** Labels and frames of which one copy was bad. */
  readonly copiesRepaired: number;
  /** Frames that a forced import goes on without. */
  readonly logLost: { readonly first: number; readonly last: number } | null;
  readonly tookMs: number;
}

/** What lies on devices that are to be imported together. */
export interface FoundPool {
  readonly label: PoolLabel;
  /** In the order of the disk table. */
  readonly devices: readonly Device[];
  readonly damagedCopies: number;
}

/**
 * Reads all labels of the devices and chooses.
 * @throws PenstockError `not-a-pool`, `pool-incomplete`, `pool-newer`, `pool-in-use`,
 *   `label-damaged`
 */
export function findPool(
  _devices: readonly Device[],
  _options: { force: boolean; engineUuid: string },
): Promise<FoundPool> {
  assert(false, "not written yet");
}

/**
 * Replays the log and begins a session. When the parts are read-only nothing is written: the
 * state is in memory only.
 * @throws PenstockError `log-damaged`, `pool-newer`, `pool-damaged`
 */
export function importPool(
  _parts: PoolParts,
  _label: PoolLabel,
  _options: { force: boolean },
): Promise<ImportFindings> {
  assert(false, "not written yet");
}
