/** PoolDoor: what a simulated world does with a pool; the real one, or another in a test. */

import type { Device } from "../../block/device.ts";
import type { Pool } from "../../pool/pool.ts";
import type { PoolEnvironment } from "../../pool/pool-environment.ts";
import type { CreatePoolOptions, PoolOptions } from "../../pool/pool-info.ts";

type Used =
  | "addDisk"
  | "close"
  | "createVolume"
  | "deleteVolume"
  | "export"
  | "findings"
  | "grow"
  | "info"
  | "properties"
  | "resizeVolume"
  | "setProperties"
  | "volumes";

export interface StagedPool extends Pick<Pool, Used> {
  openVolume(name: string, options: { readonly stageName: string }): Promise<Device>;
}

export interface PoolDoor {
  create(
    environment: PoolEnvironment,
    devices: readonly Device[],
    options: CreatePoolOptions,
  ): Promise<StagedPool>;
  import(
    environment: PoolEnvironment,
    devices: readonly Device[],
    options: PoolOptions,
  ): Promise<StagedPool>;
  /** Nothing is under way. @returns where its accounts and its trees differ, one sentence each */
  walk(pool: StagedPool): Promise<readonly string[]>;
  /** Reads all that is there. @returns how many blocks of volumes are damaged */
  scrub(pool: StagedPool): Promise<number>;
  /** Asks for a checkpoint. */
  checkpoint(pool: StagedPool): void;
}
