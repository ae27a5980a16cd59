/**
 * Findings: what went wrong in a job: requests that failed, sectors that hold something else than
 * they should. All are counted, the first ones kept.
 */

import { OPERATION_NAMES } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { type Status, statusName } from "../block/status.ts";
import {
  ANY_GENERATION,
  type Finding,
  type Place,
  SECTOR_BYTES,
  type SectorStamp,
  type Stamp,
} from "./sector-stamp.ts";

/** So many of each kind are kept. */
export const KEPT_MAX = 10;

/** A sector that is not as it should be. */
export interface BadSector {
  /** Bytes from the start of the device. */
  readonly offset: number;
  /** `generation` null: any would have done. */
  readonly expected: Omit<Stamp, "generation"> & { readonly generation: number | null };
  readonly finding: Finding;
}

export interface FailedRequest {
  readonly operation: string;
  readonly offset: number;
  readonly lengthBytes: number;
  readonly status: string;
}

export class Findings {
  /** Sectors looked at, and those of them that were bad; one that is read twice counts twice. */
  sectors = 0;
  badSectors = 0;
  failures = 0;
  readonly firstBad: BadSector[] = [];
  readonly firstFailures: FailedRequest[] = [];

  get isGood(): boolean {
    return this.badSectors === 0 && this.failures === 0;
  }

  failed(request: Pick<Request, "operation" | "offset" | "length" | "status">): void {
    this.failures++;
    if (this.firstFailures.length === KEPT_MAX) return;
    this.firstFailures.push({
      operation: OPERATION_NAMES[request.operation] ?? "unknown",
      offset: request.offset,
      lengthBytes: request.length,
      status: statusName(request.status as Status),
    });
  }

  /** Some sectors of what was read differ: looks for them. */
  differ(
    stamp: SectorStamp,
    words: Int32Array,
    read: { readonly at: number; readonly length: number },
    place: Place,
  ): void {
    const { generation } = place;
    for (let skip = 0; skip < read.length; skip += SECTOR_BYTES) {
      const offset = place.offset + skip;
      const finding = stamp.examine(words, read.at + skip / 4, { offset, generation });
      if (finding === null) continue;
      this.badSectors++;
      if (this.firstBad.length === KEPT_MAX) continue;
      const wanted = generation === ANY_GENERATION ? null : generation;
      const expected = { seed: stamp.seed, offset, generation: wanted };
      this.firstBad.push({ offset, expected, finding });
    }
  }
}

/** One line for people. */
export function describeBadSector({ offset, expected, finding }: BadSector): string {
  const { seed, generation } = expected;
  const wanted = generation === null ? `seed ${seed}` : `seed ${seed}, generation ${generation}`;
  return `offset ${offset}: expected ${wanted}, found ${describe(finding)}`;
}

export function describeFailure({ operation, offset, lengthBytes, status }: FailedRequest): string {
  return `${operation} of ${lengthBytes} bytes at offset ${offset}: ${status}`;
}

function describe(finding: Finding): string {
  switch (finding.kind) {
    case "stale":
      return `generation ${finding.found.generation}`;
    case "misplaced": {
      const { offset, generation } = finding.found;
      return `the sector of offset ${offset}, generation ${generation}`;
    }
    case "other-seed": {
      const { seed, offset } = finding.found;
      return `the sector of seed ${seed}, offset ${offset}`;
    }
    case "corrupt": {
      const { differingBytes, firstByte, expectedByte, foundByte } = finding;
      const bytes = differingBytes === 1 ? "one other byte" : `${differingBytes} other bytes`;
      const which = `${hex(foundByte)} instead of ${hex(expectedByte)}`;
      return `${bytes}, the first at ${firstByte}: ${which}`;
    }
    case "zeroes":
      return "zeroes";
    case "foreign":
      return `other data, which begins with ${finding.beginsWith}`;
    default:
      return finding satisfies never;
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
