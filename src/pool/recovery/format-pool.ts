/** formatPool: an empty pool on devices: state exported, to be imported at once. */

import type { Device } from "../../block/device.ts";
import { assert } from "../../util/assert.ts";
import type { PoolLabel } from "../disks/label-format.ts";
import type { PoolEnvironment } from "../pool-environment.ts";
import type { CreatePoolOptions } from "../pool-info.ts";

/**
 * @throws PenstockError `disk-not-empty`, `disk-too-small`, `disk-in-pool`, `name-invalid`,
 *   `chunk-size-invalid`, `pool-newer`
 */
export function formatPool(
  _environment: PoolEnvironment,
  _devices: readonly Device[],
  _options: CreatePoolOptions,
): Promise<PoolLabel> {
  assert(false, "not written yet");
}
