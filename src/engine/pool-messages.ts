/**
 * Pools, replicas and disks as messages of the engine's API. Pure.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type DiskSchema,
  DiskUse,
  type PoolSchema,
  PoolState,
  type ReplicaSchema,
  ReplicaState,
  type ScrubPoolResponseSchema,
  ScrubState,
} from "../api/penstock/engine/v1/pool_pb.ts";
import type { PoolListing } from "../pipe/pool-protocol.ts";
import type { ScrubProgress } from "../pool/check/scrub.ts";
import type { GrownDisk, PoolInfo, VolumeInfo } from "../pool/pool-info.ts";
import type { DiskUse as DiskUseName, ListedDisk } from "./device-list.ts";
import { time } from "./messages.ts";
import type { PoolEntryState } from "./pool-entry.ts";
import type { ListedPool } from "./pool-registry.ts";
import type { ListedReplica } from "./replica-registry.ts";

const ENTRY_STATES: Readonly<Record<PoolEntryState, PoolState>> = {
  opening: PoolState.OPENING,
  // Closed at the very moment when it was asked.
  open: PoolState.CLOSING,
  failed: PoolState.FAILED,
  closing: PoolState.CLOSING,
};

const STALLED_REASON = "its reactor has not answered in time: this is what it said last";

const STATES: Readonly<Record<PoolInfo["state"], PoolState>> = {
  online: PoolState.ONLINE,
  degraded: PoolState.DEGRADED,
  faulted: PoolState.FAULTED,
};

const VOLUME_STATES: Readonly<Record<VolumeInfo["state"], ReplicaState>> = {
  ready: ReplicaState.READY,
  deleting: ReplicaState.DELETING,
};

const DISK_USES: Readonly<Record<DiskUseName, DiskUse>> = {
  free: DiskUse.FREE,
  used: DiskUse.USED,
  unreadable: DiskUse.UNREADABLE,
};

export function poolMessage(pool: ListedPool): MessageInitShape<typeof PoolSchema> {
  const { entry, listing, isStalled = false } = pool;
  const { name, createdMs, disks, failure, retryAtMs } = entry;
  return {
    name,
    state: ENTRY_STATES[entry.state],
    disks: disks.map((device) => ({ device })),
    ...(createdMs === 0 ? {} : { createTime: time(createdMs) }),
    ...(failure === null ? {} : { failure: { code: failure.code, message: failure.message } }),
    ...(retryAtMs === null ? {} : { retryTime: time(retryAtMs) }),
    ...(listing === null ? {} : openPool(listing)),
    ...(isStalled ? { state: PoolState.STALLED, reason: STALLED_REASON } : {}),
  };
}

export function replicaMessage(replica: ListedReplica): MessageInitShape<typeof ReplicaSchema> {
  const { pool, volume, shareUri, pipes } = replica;
  const { name, uuid, sizeBytes, usedBytes, isThin, createdMs, state } = volume;
  return {
    pool,
    name,
    uuid,
    sizeBytes: BigInt(sizeBytes),
    usedBytes: BigInt(usedBytes),
    thin: isThin,
    state: VOLUME_STATES[state],
    createTime: time(createdMs),
    shareUri,
    pipes: [...pipes],
    origin: volume.origin,
    snapshots: volume.snapshots,
  };
}

export function diskMessage(disk: ListedDisk): MessageInitShape<typeof DiskSchema> {
  const { device, kind, sizeBytes, use, content, readOnly, model } = disk;
  const size = BigInt(sizeBytes);
  return { device, kind, sizeBytes: size, use: DISK_USES[use], content, readOnly, model };
}

/** Damaged blocks beyond so many are counted only. */
const DAMAGED_SHOWN_MAX = 100;

const SCRUB_STATES: Readonly<Record<ScrubProgress["state"], ScrubState>> = {
  running: ScrubState.RUNNING,
  paused: ScrubState.PAUSED,
  finished: ScrubState.FINISHED,
  failed: ScrubState.FAILED,
};

export function scrubMessage(
  progress: ScrubProgress,
): MessageInitShape<typeof ScrubPoolResponseSchema> {
  const { state, doneBytes, totalBytes, badCopies, damagedCount, damaged, trimmedBytes } = progress;
  return {
    state: SCRUB_STATES[state],
    doneBytes: BigInt(doneBytes),
    totalBytes: BigInt(totalBytes),
    badCopies: BigInt(badCopies),
    damagedBlocks: BigInt(damagedCount),
    damaged: damaged
      .slice(0, DAMAGED_SHOWN_MAX)
      .map(({ volume, offset }) => ({ replica: volume, offset: BigInt(offset) })),
    trimmedBytes: BigInt(trimmedBytes),
  };
}

export function grownMessage({ name, beforeBytes, sizeBytes }: GrownDisk) {
  return { device: name, beforeBytes: BigInt(beforeBytes), sizeBytes: BigInt(sizeBytes) };
}

function openPool({ info, scrub }: PoolListing) {
  const { state, reason, uuid, chunkBytes, checksum } = info;
  return {
    state: STATES[state],
    reason,
    uuid,
    chunkBytes,
    checksum,
    capacityBytes: BigInt(info.capacityBytes),
    usedBytes: BigInt(info.usedBytes),
    reservedBytes: BigInt(info.reservedBytes),
    committedBytes: BigInt(info.committedBytes),
    freeBytes: BigInt(info.freeBytes),
    waitingBytes: BigInt(info.waitingBytes),
    pageBytes: BigInt(info.pageBytes),
    logBytes: BigInt(info.logBytes),
    logUsedBytes: BigInt(info.logUsedBytes),
    checkpoints: BigInt(info.checkpoints),
    warningPercent: info.warnPercent,
    criticalPercent: info.criticalPercent,
    ...(scrub === null ? {} : { scrub: scrubMessage(scrub) }),
    disks: info.disks.map((disk) => ({
      device: disk.name,
      uuid: disk.uuid,
      sizeBytes: BigInt(disk.sizeBytes),
      freeBytes: BigInt(disk.freeBytes),
    })),
  };
}
