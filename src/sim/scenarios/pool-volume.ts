/**
 * PoolVolume: one volume of a simulated pool from its creation to its deletion, with its history;
 * PoolSlot: a name, and the volumes that have it one after the other. Plain state of `PoolStage`.
 */

import type { Device } from "../../block/device.ts";
import type { SimClient } from "../client.ts";
import type { History, HistoryOp } from "../history.ts";

export interface PoolVolume {
  readonly uuid: string;
  readonly history: History;
  readonly isThin: boolean;
  sizeSectors: number;
  /** It has never been smaller. */
  smallestSectors: number;
}

/** What a name stands for in listings; plain JSON. */
export interface VolumeText extends Readonly<Record<string, unknown>> {
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly isThin: boolean;
  readonly properties: Readonly<Record<string, string>>;
}

export interface PoolSlot {
  readonly name: string;
  readonly clients: SimClient[];
  /** Null: there is none, as far as one can know. */
  volume: PoolVolume | null;
  /** Creation of it is under way, or nobody knows what came of it. */
  next: PoolVolume | null;
  /** A shrink under way: it zeroes what lies behind. */
  shrink: HistoryOp | null;
  device: Device | null;
  /** A call to the pool is under way. */
  isBusy: boolean;
}
