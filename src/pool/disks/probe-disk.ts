/**
 * probeDisk: what is on a device, by reading only: for device lists, create, import and inspect.
 * Control only.
 *
 * spec: docs/internals/pool-format.md, Labels: Choosing
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import { type DiskEnds, foreignSignature, SIGNATURE_BYTES } from "./foreign-signatures.ts";
import { LABEL_AREA_BYTES, readLabelAreas } from "./label-areas.ts";
import type { LabelCopy } from "./label-choice.ts";
import type { LabelProblem, PoolLabel } from "./label-format.ts";

export type DiskContent =
  | { readonly kind: "empty" }
  | { readonly kind: "foreign"; readonly what: string }
  /** The newest label on this disk alone; the pool's newest may be on another. */
  | { readonly kind: "pool"; readonly label: PoolLabel; readonly damagedCopies: number }
  | { readonly kind: "damaged"; readonly problem: LabelProblem | "unreadable" }
  | { readonly kind: "newer"; readonly bits: number };

export async function probeDisk(device: Device): Promise<DiskContent> {
  const { copies } = await readLabelAreas(device);
  const labelled = contentOf(copies);
  if (labelled !== null) return labelled;
  const ends = await readEnds(device);
  if (ends === null) return { kind: "damaged", problem: "unreadable" };
  const what = foreignSignature(ends);
  if (what !== null) return { kind: "foreign", what };
  const { front, back } = ends;
  const first = front.subarray(0, LABEL_AREA_BYTES);
  const last = back.subarray(Math.max(back.length - LABEL_AREA_BYTES, 0));
  const isEmpty = isZero(first) && isZero(last);
  return isEmpty ? { kind: "empty" } : { kind: "foreign", what: "data" };
}

/** What labels say; null: there is none, nor was there. */
function contentOf(copies: readonly LabelCopy[]): DiskContent | null {
  let best: PoolLabel | null = null;
  let damaged: LabelProblem | "unreadable" | null = null;
  let damagedCopies = 0;
  for (const copy of copies) {
    if (copy.kind === "label") {
      if (best === null || copy.label.generation > best.generation) best = copy.label;
    } else if (copy.kind === "unreadable") {
      damaged = "unreadable";
      damagedCopies++;
    } else if (copy.problem === "newer") {
      return { kind: "newer", bits: copy.newerBits };
    } else if (copy.problem !== "no-magic") {
      damaged = copy.problem;
      damagedCopies++;
    }
  }
  if (best !== null) return { kind: "pool", label: best, damagedCopies };
  return damaged === null ? null : { kind: "damaged", problem: damaged };
}

/** Null: they cannot be read. */
async function readEnds(device: Device): Promise<DiskEnds | null> {
  const { sizeBytes, maxTransferBytes } = device.info;
  const length = Math.min(SIGNATURE_BYTES, sizeBytes);
  const front = await readRange(device, 0, length, maxTransferBytes);
  const back = await readRange(device, sizeBytes - length, length, maxTransferBytes);
  return front === null || back === null ? null : { front, back };
}

async function readRange(
  device: Device,
  start: number,
  length: number,
  transferBytes: number,
): Promise<Uint8Array | null> {
  const { slabs } = device.reactor.io;
  const slab = slabs.allocate(length);
  try {
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, transferBytes);
      const request = new AwaitedRequest();
      request.segments.push(slab.id, done, piece);
      const what = { operation: Operation.read, offset: start + done, length: piece };
      if ((await request.run(device, what)) !== Status.ok) return null;
      done += piece;
    }
    return slab.bytes.slice(0, length);
  } finally {
    slabs.release(slab);
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
