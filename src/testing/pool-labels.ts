/** A sound label for tests, of disks that are not there. Stateless. */

import { LabelState, type PoolLabel } from "../pool/disks/label-format.ts";
import { emptyPointer } from "../pool/pages/root-pointer.ts";
import { LABEL_AREA_BLOCKS } from "../pool/pool-layout.ts";
import { testUuid } from "./pool-disks-rig.ts";

const HELD_BLOCKS = 256;

/** Of so many disks of 32 MiB; `changes` win. */
export function testLabel(diskCount = 1, changes: Partial<PoolLabel> = {}): PoolLabel {
  const blocks = 8192;
  return {
    poolUuid: testUuid(1000),
    compat: 0,
    roCompat: 0,
    incompat: 0,
    diskIndex: 0,
    generation: 7,
    session: "0123456789abcdef",
    logSequence: 2 ** 40 + 3,
    logPosition: 5,
    logUnitBytes: 512,
    logAddress: LABEL_AREA_BLOCKS,
    logBlocks: HELD_BLOCKS,
    chunkBlocks: 64,
    epoch: 1,
    checksumKind: 3,
    state: LabelState.inUse,
    nextObjectId: 12,
    prevCrc: 0xfedc_ba98,
    createdMs: 1_700_000_000_000,
    writtenMs: 1_700_000_000_001,
    objectsRoot: { a: 1000, b: 1001, generation: 6, level: 1, epoch: 1 },
    propertiesRoot: emptyPointer(),
    dataBlocks: 11,
    pageBlocks: 13,
    heldBlocks: 8192 * diskCount - 4096 * diskCount - 24,
    overCommitPercent: 150,
    warnPercent: 80,
    criticalPercent: 95,
    name: "tänk",
    holder: "engine on host-a",
    engineUuid: testUuid(2000),
    losses: 2,
    disks: Array.from({ length: diskCount }, (_, index) => ({
      uuid: testUuid(1 + index),
      instanceId: testUuid(100 + index),
      blocks,
      spaceRoot: emptyPointer(),
      freeBlocks: 4096,
      state: 1,
    })),
    ...changes,
  };
}
