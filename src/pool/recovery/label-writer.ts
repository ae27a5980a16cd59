/**
 * writeLabel: writes a label to all its places: the front copies of all disks, then the back
 * copies, so that no crash finds all of them half written.
 *
 * spec: docs/internals/pool-format.md, Labels; The order of things, C
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import { areaStarts, slotOf } from "../disks/label-areas.ts";
import { encodeLabel, LABEL_BYTES, type LabelDisk, type PoolLabel } from "../disks/label-format.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";

/**
 * @param durableGeneration of the last label that is durable: its slot is left alone
 * @param indexes of the disks that get it; default: all
 * @returns ok: each of them has the label in one of its areas at least
 */
export async function writeLabel(
  reactor: Reactor,
  disks: PoolDisks,
  label: PoolLabel,
  durableGeneration: number,
  indexes: readonly number[] = [...label.disks.keys()],
): Promise<Status> {
  const slot = slotOf(label.generation);
  assert(slot !== slotOf(durableGeneration), "the last durable label is not written over");
  const { length: count } = label.disks;
  assert(count <= disks.count, "a label names disks of its pool");
  const slab = reactor.io.slabs.allocate(count * LABEL_BYTES);
  try {
    for (let index = 0; index < count; index++) {
      encodeLabel(
        label,
        index,
        slab.bytes.subarray(index * LABEL_BYTES, (index + 1) * LABEL_BYTES),
      );
    }
    const good = new Set<number>();
    let failure: Status = Status.ok;
    for (const area of [0, 1] as const) {
      const writes = indexes.map(async (index) => {
        const { blocks } = label.disks[index] as LabelDisk; // one of its table
        const request = new AwaitedRequest();
        request.segments.push(slab.id, index * LABEL_BYTES, LABEL_BYTES);
        const offset = (areaStarts(blocks)[area] + slot) * BLOCK_BYTES;
        const what = { operation: Operation.write, offset, length: LABEL_BYTES };
        const status = await request.run(disks.at(index).device, what);
        disks.noteWritten(index, LABEL_BYTES);
        if (status === Status.ok) good.add(index);
        else failure = status;
      });
      await Promise.all(writes);
    }
    return indexes.every((index) => good.has(index)) ? Status.ok : failure;
  } finally {
    reactor.io.slabs.release(slab);
  }
}
