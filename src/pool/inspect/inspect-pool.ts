/** inspectPool: what is in a pool that nobody has open, by reading only. */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import type { PoolWalkResult } from "../check/pool-walk.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { ImportFindings, PoolInfo, VolumeInfo } from "../pool-info.ts";

export interface InspectOptions {
  /** Walk all trees. */
  readonly check?: boolean;
  /** Goes on without a damaged log. */
  readonly force?: boolean;
  readonly cacheBytes?: number;
}

export interface PoolInspection {
  readonly info: PoolInfo;
  readonly volumes: readonly VolumeInfo[];
  readonly findings: ImportFindings;
  /** null: not asked for. */
  readonly walk: PoolWalkResult | null;
}

/**
 * @param devices all disks of the pool, read-only ones will do; closed when it settles
 * @throws PenstockError as `Pool.import`
 */
export function inspectPool(
  _environment: PoolEnvironment,
  _devices: readonly Device[],
  _options: InspectOptions = {},
): Promise<PoolInspection> {
  assert(false, "not written yet");
}
