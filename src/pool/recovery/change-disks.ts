/**
 * Other disks for an open pool: one more, or disks that have become larger. Each is one checkpoint
 * whose label is the first to tell; a crash before it leaves the pool as it was.
 *
 * spec: docs/internals/pool-format.md, Labels; Space
 */

import type { Device } from "../../block/device.ts";
import { PenstockError } from "../../util/errors.ts";
import { deviceBlocks } from "../disks/label-areas.ts";
import type { LabelDisk } from "../disks/label-format.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import type { GrownDisk } from "../pool-info.ts";
import { BLOCK_BYTES, DISKS_MAX, poolSizes } from "../pool-layout.ts";
import { backArea, heldRuns } from "./disk-layout.ts";
import {
  checkDiskSize,
  checkedContent,
  clearAreas,
  clearBackArea,
  DISK_BYTES_MIN,
  flushDevice,
  writeTexts,
} from "./format-pool.ts";
import type { PoolParts } from "./pool-parts.ts";

/**
 * The device belongs to the pool when it settles well; else to the caller, still.
 * @throws PenstockError `disk-too-small`, `disk-not-empty`, `disk-in-pool`, `pool-newer`,
 *   `too-many-disks`, `pool-faulted`
 */
export async function addDisk(
  parts: PoolParts,
  device: Device,
  { force }: { force: boolean },
): Promise<void> {
  const { environment, disks, checkpointer, space } = parts;
  checkDiskSize(device, DISK_BYTES_MIN);
  if (disks.count === DISKS_MAX) {
    throw new PenstockError({
      code: "too-many-disks",
      message: `a pool has at most ${DISKS_MAX} disks`,
    });
  }
  await clearAreas(device, await checkedContent(device, force));
  await writeTexts(device, checkpointer.label);
  await flushDevice(device);
  const blocks = deviceBlocks(device);
  const uuid = environment.makeUuid();
  const { instanceId } = device.info;
  await checkpointer.run("in use", () => {
    const { index } = disks.add({ uuid, device, blocks });
    const root = { spaceRoot: emptyPointer(), freeBlocks: 0 };
    const disk: LabelDisk = { uuid, instanceId, blocks, state: 1, ...root };
    const label = { ...checkpointer.label, disks: [...checkpointer.label.disks, disk] };
    checkpointer.change({ disks: label.disks });
    space.addDisk(index, blocks, heldRuns(label, index));
    space.keptBackBlocks = keptBackBlocks(parts);
  });
}

/**
 * Takes the sizes that the devices state by now.
 * @returns the disks that are larger
 * @throws PenstockError `pool-faulted`
 */
export async function growDisks(parts: PoolParts): Promise<readonly GrownDisk[]> {
  const { disks, checkpointer, space } = parts;
  const larger: number[] = [];
  for (let index = 0; index < disks.count; index++) {
    const { device, blocks } = disks.at(index);
    if (deviceBlocks(device) > blocks) larger.push(index);
  }
  const grown: GrownDisk[] = [];
  if (larger.length === 0) return grown;
  for (const index of larger) {
    const { device } = disks.at(index);
    // What an older pool of that size has left there is not to be found any more.
    await clearBackArea(device);
    await flushDevice(device);
  }
  await checkpointer.run("in use", () => {
    for (const index of larger) {
      const disk = disks.at(index);
      const before = disk.blocks;
      disk.blocks = deviceBlocks(disk.device);
      grown.push({
        name: disk.device.info.name,
        beforeBytes: before * BLOCK_BYTES,
        sizeBytes: disk.blocks * BLOCK_BYTES,
      });
      space.growDisk(index, disk.blocks, [backArea(index, disk.blocks)], [backArea(index, before)]);
    }
    space.keptBackBlocks = keptBackBlocks(parts);
  });
  return grown;
}

function keptBackBlocks({ disks }: PoolParts): number {
  const sizes = Array.from({ length: disks.count }, (_, index) => disks.at(index).blocks);
  return Math.ceil(poolSizes(sizes).keptBackBytes / BLOCK_BYTES);
}
