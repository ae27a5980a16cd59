/** What the main thread and a reactor say to each other about pools. Plain values only. */

import type { ScrubProgress } from "../pool/check/scrub.ts";
import type {
  CreatePoolOptions,
  CreateVolumeOptions,
  GrownDisk,
  PoolInfo,
  VolumeInfo,
} from "../pool/pool-info.ts";

/** The disks of a pool, and who opens them. */
export interface PoolOpening {
  readonly name: string;
  /** Texts of sources. */
  readonly disks: readonly string[];
  /** One that was being added when the engine ended: it is the pool's, or is not. */
  readonly adding?: string;
  readonly force: boolean;
  /** A UUID of this opening: what it makes up comes from it. */
  readonly instanceSeed: string;
  /** A UUID that stays the pool's from run to run, so that servers know us again. */
  readonly hostSeed?: string;
  /** For people who find the disks in use. */
  readonly holder: string;
  /** Of the engine's data directory. */
  readonly engineUuid: string;
}

export type NewPoolOptions = Pick<
  CreatePoolOptions,
  "checksum" | "overCommitPercent" | "chunkBytes" | "warnPercent" | "criticalPercent"
>;

/** How a pool ends: `close` when the engine does. */
export type PoolEnd = "close" | "export" | "destroy";

export interface PoolListing {
  readonly info: PoolInfo;
  readonly volumes: readonly VolumeInfo[];
  /** The one that runs, or the last one; null: none since the pool was opened that is to go on. */
  readonly scrub: ScrubProgress | null;
  readonly versions: VersionCounts;
}

/** Of snapshots and clones, and of what is done with them. */
export interface VersionCounts {
  readonly snapshots: number;
  /** Volumes and snapshots that are deleted, and whose space has not come back yet. */
  readonly deleting: number;
  /** Running now. */
  readonly sends: number;
  readonly receives: number;
  readonly flattens: number;
  /** Of data, before it is compressed, since the pool was opened. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** A pool of which some disks may have become larger. */
export interface GrownPool {
  readonly listing: PoolListing;
  readonly grown: readonly GrownDisk[];
}

export interface ScrubSettings {
  /** Default: as fast as the disks. */
  readonly bytesPerSecond?: number;
  readonly restart: boolean;
  readonly trim: boolean;
}

/** What is on a disk. */
export interface ProbedDisk {
  readonly name: string;
  readonly sizeBytes: number;
  readonly kind: "empty" | "foreign" | "pool" | "damaged" | "newer";
  /** In a few words; empty when nothing is on it. */
  readonly text: string;
  readonly pool: { readonly name: string; readonly uuid: string } | null;
}

/** What the main thread calls on a reactor. */
export interface PoolMethods {
  createPool(params: {
    readonly opening: PoolOpening;
    readonly options: NewPoolOptions;
  }): Promise<PoolListing>;
  /** @param uuid the pool's; empty: any */
  importPool(params: {
    readonly opening: PoolOpening;
    readonly uuid: string;
  }): Promise<PoolListing>;
  probeDisks(params: { readonly opening: PoolOpening }): Promise<readonly ProbedDisk[]>;
  describePool(params: { readonly pool: string }): Promise<PoolListing>;
  createVolume(params: {
    readonly pool: string;
    readonly options: CreateVolumeOptions;
  }): Promise<VolumeInfo>;
  resizeVolume(params: {
    readonly pool: string;
    readonly volume: string;
    readonly sizeBytes: number;
  }): Promise<VolumeInfo>;
  deleteVolume(params: { readonly pool: string; readonly volume: string }): Promise<void>;
  /** `opening` has the one disk. */
  addPoolDisk(params: { readonly opening: PoolOpening }): Promise<PoolListing>;
  /** @param disk null: all of its disks */
  growPool(params: { readonly pool: string; readonly disk: string | null }): Promise<GrownPool>;
  /** Begins a scrub. */
  scrubPool(params: {
    readonly pool: string;
    readonly settings: ScrubSettings;
  }): Promise<ScrubProgress>;
  /** Of the last scrub; @throws PenstockError `pool-not-found` */
  scrubProgress(params: { readonly pool: string }): Promise<ScrubProgress>;
  /** Settles when it has stopped; the next one goes on where it was. */
  stopScrub(params: { readonly pool: string }): Promise<void>;
  endPool(params: { readonly pool: string; readonly how: PoolEnd }): Promise<void>;
}
