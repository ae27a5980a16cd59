/**
 * What is fixed about pools: sizes, limits and addresses. Pure.
 *
 * spec: docs/internals/pool-format.md
 */

import type { Status } from "../block/status.ts";
import { assert } from "../util/assert.ts";

/** Unit of mapping, checksums and addresses. */
export const BLOCK_BYTES = 4096;
export const DISKS_MAX = 32;
/** Labels lie in areas of so many blocks at both ends of each disk. */
export const LABEL_AREA_BLOCKS = 16;
/** Where the two slots are in an area, blocks. */
export const LABEL_SLOTS = [4, 12] as const;
/** Keys of mapping trees have 32 bits: 16 TiB. */
export const VOLUME_BLOCKS_MAX = 2 ** 32;
/** When the log holds this many records, a checkpoint begins: bounds the time of an import. */
export const LOG_RECORDS_MAX = 65_536;
/** When so much has not been synced, the pool syncs: bounds what an import has to verify. */
export const UNFLUSHED_BYTES_MAX = 256 * 1024 * 1024;
export const FRAME_BYTES_MAX = 256 * 1024;
/** When so many freed blocks (or capacity / 16) wait for reuse, the pool syncs. */
export const WAITING_BLOCKS_MAX = 262_144;
/** Of a volume; more wait in its queue. */
export const PENDING_TASKS_MAX = 4096;

/** A block of a pool: disk index times 2^42, plus the block on that disk. */
export type Address = number;
export const NO_ADDRESS: Address = 0;

const BLOCKS_PER_DISK_MAX = 2 ** 42;

export function addressOf(disk: number, block: number): Address {
  assert(disk >= 0 && disk < DISKS_MAX, "a pool has at most 32 disks");
  assert(block >= 0 && block < BLOCKS_PER_DISK_MAX, "a block lies on its disk");
  return disk * BLOCKS_PER_DISK_MAX + block;
}

// hot path
export function diskOf(address: Address): number {
  return Math.floor(address / BLOCKS_PER_DISK_MAX);
}

// hot path
export function blockOf(address: Address): number {
  // A remainder of such numbers is a call of the C library.
  return address - diskOf(address) * BLOCKS_PER_DISK_MAX;
}

/** Consecutive blocks on one disk. */
export interface Run {
  readonly address: Address;
  readonly count: number;
}

/** Waits for a sync of the pool; links belong to the list it waits in. */
export interface FlushWaiter {
  nextFlush: FlushWaiter | null;
  /** In the turn, or at once where nothing was to be synced. */
  flushEnded(status: Status): void;
}

/** Waits for room in the log. */
export interface LogWaiter {
  nextLog: LogWaiter | null;
  /** In the turn. May wait again, and is the first then. */
  roomInLog(): void;
}

/** Waits for blocks. */
export interface SpaceWaiter {
  nextSpace: SpaceWaiter | null;
  spaceMayBeThere(): void;
}

export interface PoolSizes {
  /** Of the ring on the first disk. */
  readonly logBytes: number;
  /** For labels, the log, pages and copying. */
  readonly keptBackBytes: number;
  /** What volumes can hold. */
  readonly capacityBytes: number;
}

const MIB = 2 ** 20;
const LOG_SHARE = 128;
const LOG_MIB_MAX = 64;
const KEPT_BACK_SHARE = 64;
/** Besides the log. */
const KEPT_BACK_FIRST_MIB = 1;

/** Sizes of a pool of disks with so many blocks each; of 100 MiB, 96 are for volumes. */
export function poolSizes(diskBlocks: readonly number[]): PoolSizes {
  const first = (diskBlocks[0] ?? 0) * BLOCK_BYTES;
  const logMib = Math.min(Math.max(Math.floor(first / (LOG_SHARE * MIB)), 1), LOG_MIB_MAX);
  let [sizeBytes, keptBackBytes] = [0, (KEPT_BACK_FIRST_MIB + logMib) * MIB];
  for (const blocks of diskBlocks) {
    sizeBytes += blocks * BLOCK_BYTES;
    keptBackBytes += Math.ceil((blocks * BLOCK_BYTES) / (KEPT_BACK_SHARE * MIB)) * MIB;
  }
  const capacityBytes = Math.max(sizeBytes - keptBackBytes, 0);
  return { logBytes: logMib * MIB, keptBackBytes, capacityBytes };
}
