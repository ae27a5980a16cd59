/**
 * inspectPool: what is in a pool that nobody has open, by reading only: lists it, walks its trees,
 * copies a volume or a snapshot out of it.
 *
 * The log is replayed into memory, which takes up to 256 MiB of pages; nothing is written to the
 * disks, whose devices may be read-only.
 */

import type { Device } from "../../block/device.ts";
import { type PoolWalkResult, walkPool } from "../check/pool-walk.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { ImportFindings, PoolInfo, SnapshotInfo, VolumeInfo } from "../pool-info.ts";
import { Pool } from "../pool.ts";
import { type ExportResult, exportVolume } from "./export-volume.ts";

export interface InspectOptions {
  /** Walk all trees. */
  readonly check?: boolean;
  /** Goes on without a damaged log. */
  readonly force?: boolean;
  /** Copies a volume or a snapshot out. */
  readonly export?: ExportOrder;
}

export interface ExportOrder {
  /** A volume, or a snapshot. */
  readonly volume: string;
  /** Makes a device of that size which reads as zeroes; closed when all is over. */
  openTarget(sizeBytes: number): Promise<Device>;
}

export interface PoolInspection {
  readonly info: PoolInfo;
  readonly volumes: readonly VolumeInfo[];
  readonly snapshots: readonly SnapshotInfo[];
  /** Deleted, and not gone yet: what others have of them still, or what nobody has freed. */
  readonly deletedVersions: number;
  readonly findings: ImportFindings;
  /** null: not asked for. */
  readonly walk: PoolWalkResult | null;
  /** null: not asked for. */
  readonly exported: ExportResult | null;
}

/** Replay changes pages in memory that are never written: all of them must find room. */
const CACHE_BYTES = 576 * 1024 * 1024;

/**
 * @param devices all disks of the pool; closed when it settles
 * @throws PenstockError as `Pool.import`; `volume-not-found`; what the target throws
 */
export async function inspectPool(
  environment: PoolEnvironment,
  devices: readonly Device[],
  options: InspectOptions = {},
): Promise<PoolInspection> {
  const { check = false, force = false } = options;
  const limits = { readOnly: true, force, cacheBytes: CACHE_BYTES };
  const pool = await Pool.import(environment, devices, limits);
  try {
    const walk = check ? await walkPool(pool.parts) : null;
    const order = options.export;
    const exported = order === undefined ? null : await exportFrom(pool, order);
    const { info, findings } = pool;
    const [volumes, snapshots] = [pool.volumes(), pool.snapshots()];
    const versions = [...pool.parts.catalogue.all()];
    const deletedVersions = versions.filter(({ isDeleting }) => isDeleting).length;
    return { info, volumes, snapshots, deletedVersions, findings, walk, exported };
  } finally {
    await pool.close();
  }
}

async function exportFrom(pool: Pool, order: ExportOrder): Promise<ExportResult> {
  const stageName = `inspect of ${order.volume}`;
  const source = await pool.openVolume(order.volume, { readOnly: true, stageName });
  try {
    const target = await order.openTarget(source.info.sizeBytes);
    return await exportVolume(source, target);
  } finally {
    await source.close();
  }
}
