/** What of a pool's disks is neither data nor pages: label areas and the ring. Pure. */

import type { PoolLabel } from "../disks/label-format.ts";
import { addressOf, diskOf, LABEL_AREA_BLOCKS, type Run } from "../pool-layout.ts";

/** Runs of a disk that are in use for ever, in the order of their addresses. */
export function heldRuns(label: PoolLabel, index: number): Run[] {
  const blocks = label.disks[index]?.blocks ?? 0;
  const runs: Run[] = [{ address: addressOf(index, 0), count: LABEL_AREA_BLOCKS }];
  if (diskOf(label.logAddress) === index) {
    runs.push({ address: label.logAddress, count: label.logBlocks });
  }
  runs.push(backArea(index, blocks));
  return runs;
}

/** Label area at the end of a disk with so many blocks. */
export function backArea(index: number, blocks: number): Run {
  return { address: addressOf(index, blocks - LABEL_AREA_BLOCKS), count: LABEL_AREA_BLOCKS };
}
