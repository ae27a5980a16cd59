/** What a pool and its volumes say of themselves, and what is asked of them: plain values. */

import type { ImportFindings } from "./recovery/importer.ts";
import type { ChecksumKind } from "./volumes/block-checksum.ts";

export type { ImportFindings };

/** What people may choose: with less, changes get in one by one. */
export const CACHE_BYTES_MIN: number = 2 ** 20;
/** A pool can do with 16 pages, if slowly; nobody is offered that. */
export const CACHE_BYTES_LEAST: number = 2 ** 16;
export const CACHE_BYTES_MAX: number = 16 * 2 ** 30;

export interface PoolOptions {
  /** For pages of trees, bytes: `CACHE_BYTES_LEAST` to `CACHE_BYTES_MAX`; default 64 MiB. */
  readonly cacheBytes?: number;
  /** Nothing is written to the disks; volumes open read-only. */
  readonly readOnly?: boolean;
  /** Goes on where a log is damaged, another engine seems to have it, or disks are not empty. */
  readonly force?: boolean;
}

export interface CreatePoolOptions extends PoolOptions {
  readonly name: string;
  readonly uuid?: string;
  /** Unit of allocation, a power of two from 64 KiB to 4 MiB. */
  readonly chunkBytes?: number;
  /** Not "none": only a checksum tells data that the power took from data that is there. */
  readonly checksum?: Exclude<ChecksumKind, "none">;
  /** What sizes of volumes may add up to, percent of the capacity; 0: any. */
  readonly overCommitPercent?: number;
  readonly warnPercent?: number;
  readonly criticalPercent?: number;
}

/** A disk that has become larger. */
export interface GrownDisk {
  readonly name: string;
  readonly beforeBytes: number;
  readonly sizeBytes: number;
}

export interface PoolDiskInfo {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly freeBytes: number;
}

export interface PoolInfo {
  readonly name: string;
  readonly uuid: string;
  readonly state: "online" | "degraded" | "faulted";
  /** Why it is not online; else empty. */
  readonly reason: string;
  readonly readOnly: boolean;
  readonly capacityBytes: number;
  /** Of blocks that volumes map. */
  readonly usedBytes: number;
  /** Of thick volumes, not mapped yet. */
  readonly reservedBytes: number;
  /** All sizes of volumes. */
  readonly committedBytes: number;
  readonly freeBytes: number;
  /** Freed, and not usable again yet. */
  readonly waitingBytes: number;
  readonly pageBytes: number;
  /** Of the log's ring; and of that, what an import would read again now. */
  readonly logBytes: number;
  readonly logUsedBytes: number;
  /** Since it was opened. */
  readonly checkpoints: number;
  /** Percent of the capacity at which events come; 0: none. */
  readonly warnPercent: number;
  readonly criticalPercent: number;
  readonly chunkBytes: number;
  readonly checksum: ChecksumKind;
  readonly disks: readonly PoolDiskInfo[];
}

export interface CreateVolumeOptions {
  readonly name: string;
  readonly uuid?: string;
  /** A multiple of 512. */
  readonly sizeBytes: number;
  /** Default true; false: space for all of it is reserved. */
  readonly isThin?: boolean;
  readonly properties?: ReadonlyMap<string, Uint8Array>;
}

export interface VolumeInfo {
  readonly name: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly isThin: boolean;
  readonly usedBytes: number;
  readonly createdMs: number;
  readonly state: "ready" | "deleting";
  /** Of a clone: the snapshot that it began with, volume@name; else empty. */
  readonly origin: string;
  /** How many it has. */
  readonly snapshots: number;
}

export interface CreateSnapshotOptions {
  readonly uuid?: string;
  readonly properties?: ReadonlyMap<string, Uint8Array>;
}

export interface CloneOptions extends CreateSnapshotOptions {
  readonly name: string;
}

export interface SnapshotInfo {
  /** volume@name */
  readonly name: string;
  readonly uuid: string;
  readonly volume: string;
  readonly sizeBytes: number;
  /** Of blocks that it maps, alone or with others. */
  readonly usedBytes: number;
  readonly createdMs: number;
  /** In the order of their taking. */
  readonly epoch: number;
  /** Volumes that began with it, and are volumes of their own. */
  readonly clones: number;
  readonly state: "ready" | "deleting";
}

/** How a version's space is shared with others. */
export interface VersionSpace {
  /** Of blocks that no other version maps. */
  readonly ownBytes: number;
  /** Of blocks that others map, too. */
  readonly sharedBytes: number;
  /** Free when it is deleted. */
  readonly wouldFreeBytes: number;
}

export interface OpenVolumeOptions {
  readonly readOnly?: boolean;
  /** The stage as written, for listings. */
  readonly stageName: string;
}
