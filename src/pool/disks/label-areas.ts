/**
 * The label areas of devices: where they are, and reading and writing all copies.
 *
 *   | text | . . . | slot 0 | . . . | slot 1 | . . . |     16 blocks, at both ends of a disk
 *
 * Control only: promises, one device after the other.
 *
 * spec: docs/internals/pool-format.md, Labels
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { Slab } from "../../reactor/slab.ts";
import { BLOCK_BYTES, LABEL_AREA_BLOCKS, LABEL_SLOTS } from "../pool-layout.ts";
import type { DeviceCopies, LabelCopy } from "./label-choice.ts";
import { decodeLabel, newerBits } from "./label-format.ts";

export const LABEL_AREA_BYTES = LABEL_AREA_BLOCKS * BLOCK_BYTES;

/** First blocks of the two areas of a disk with so many blocks. */
export function areaStarts(diskBlocks: number): readonly [number, number] {
  return [0, diskBlocks - LABEL_AREA_BLOCKS];
}

/** Which slot a generation's label is written to. */
export function slotOf(generation: number): number {
  return LABEL_SLOTS[generation % LABEL_SLOTS.length] as number; // there are two
}

/** Whole blocks of a device: what a pool would take of it. */
export function deviceBlocks(device: Device): number {
  return Math.floor(device.info.sizeBytes / BLOCK_BYTES);
}

/** All copies on a device. Its table may know another size than it has by now. */
export async function readLabelAreas(device: Device): Promise<DeviceCopies> {
  const blocks = deviceBlocks(device);
  const { name } = device.info;
  if (blocks < 2 * LABEL_AREA_BLOCKS) return { name, copies: [] };
  const slab = device.reactor.io.slabs.allocate(BLOCK_BYTES);
  try {
    const front = await readArea(device, 0, slab);
    const known = front.map((copy) => sizeIn(copy));
    const copies = [...front];
    for (const size of new Set([...known, blocks])) {
      if (size === null || size > blocks) continue;
      const back = await readArea(device, size - LABEL_AREA_BLOCKS, slab);
      // At an end that nobody has named there may be anything.
      const counts = known.includes(size) || known.every((other) => other === null);
      copies.push(...back.filter((copy) => counts || copy.kind === "label"));
    }
    return { name, copies };
  } finally {
    device.reactor.io.slabs.release(slab);
  }
}

/** The copies at both ends of a disk with so many blocks; those of one slot together. */
export async function readSlots(
  device: Device,
  diskBlocks: number,
): Promise<readonly (readonly [front: LabelCopy, back: LabelCopy])[]> {
  const slab = device.reactor.io.slabs.allocate(BLOCK_BYTES);
  try {
    const [frontStart, backStart] = areaStarts(diskBlocks);
    const front = await readArea(device, frontStart, slab);
    const back = await readArea(device, backStart, slab);
    return front.map((copy, slot) => [copy, back[slot] as LabelCopy]); // as many slots
  } finally {
    device.reactor.io.slabs.release(slab);
  }
}

async function readArea(device: Device, start: number, slab: Slab): Promise<LabelCopy[]> {
  const copies: LabelCopy[] = [];
  for (const slot of LABEL_SLOTS) {
    const request = new AwaitedRequest();
    request.segments.push(slab.id, 0, BLOCK_BYTES);
    const offset = (start + slot) * BLOCK_BYTES;
    const what = { operation: Operation.read, offset, length: BLOCK_BYTES };
    const status = await request.run(device, what);
    copies.push(status === Status.ok ? copyIn(slab) : { kind: "unreadable" });
  }
  return copies;
}

function copyIn(slab: Slab): LabelCopy {
  const bytes = slab.bytes.subarray(0, BLOCK_BYTES);
  const label = decodeLabel(bytes);
  if (typeof label !== "string") return { kind: "label", label };
  return {
    kind: "problem",
    problem: label,
    newerBits: label === "newer" ? newerBits(bytes) : 0,
  };
}

/** Blocks of the disk that the copy is on, as it says. */
function sizeIn(copy: LabelCopy): number | null {
  if (copy.kind !== "label") return null;
  return copy.label.disks[copy.label.diskIndex]?.blocks ?? null;
}
