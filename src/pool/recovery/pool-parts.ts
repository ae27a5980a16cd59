/** PoolParts: what an open pool consists of, built in this order. */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import type { PoolLabel } from "../disks/label-format.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { PoolLog } from "../log/pool-log.ts";
import type { PageCache } from "../pages/page-cache.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { PoolOptions } from "../pool-info.ts";
import type { ReusePipeline } from "../space/reuse-pipeline.ts";
import type { SpaceMap } from "../space/space-map.ts";
import type { BlockChecksum } from "../volumes/block-checksum.ts";
import type { Catalogue } from "../volumes/catalogue.ts";
import type { RecordApplier } from "../volumes/record-applier.ts";
import type { Checkpointer } from "./checkpointer.ts";

export interface PoolParts {
  readonly environment: PoolEnvironment;
  /** Of the last checkpoint; before the import's, as found. */
  label: PoolLabel;
  readonly disks: PoolDisks;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  readonly reuse: ReusePipeline;
  readonly log: PoolLog;
  readonly applier: RecordApplier;
  readonly catalogue: Catalogue;
  readonly checkpointer: Checkpointer;
  readonly checksum: BlockChecksum;
  /** For the next object; counted up by whoever makes one. */
  nextObjectId: number;
  readonly isReadOnly: boolean;
}

/** @param devices in the order of the label's disk table */
export function assembleParts(
  _label: PoolLabel,
  _devices: readonly Device[],
  _environment: PoolEnvironment,
  _options: PoolOptions,
): PoolParts {
  assert(false, "not written yet");
}
