/** PoolLabel, the root of a pool: 4096 bytes. */

import type { RootPointer } from "../pages/root-pointer.ts";
import { assert } from "../../util/assert.ts";
import type { Address } from "../pool-layout.ts";

export const LabelState = { inUse: 1, exported: 2, destroyed: 3, syncFailed: 4 } as const;
export type LabelState = (typeof LabelState)[keyof typeof LabelState];

/** Why bytes are not a label that counts. */
export type LabelProblem = "no-magic" | "crc" | "newer" | "fields";

export interface LabelDisk {
  readonly uuid: string;
  /** Of the device as it was when the session began. */
  readonly instanceId: string;
  readonly blocks: number;
  readonly spaceRoot: Readonly<RootPointer>;
  readonly freeBlocks: number;
  /** 1 in use. */
  readonly state: number;
}

export interface PoolLabel {
  readonly poolUuid: string;
  readonly compat: number;
  readonly roCompat: number;
  readonly incompat: number;
  /** Of the disk that this copy was on. */
  readonly diskIndex: number;
  readonly generation: number;
  /** 16 hex digits. */
  readonly session: string;
  readonly logSequence: number;
  /** Units from the ring's start. */
  readonly logPosition: number;
  readonly logUnitBytes: number;
  readonly logAddress: Address;
  readonly logBlocks: number;
  readonly chunkBlocks: number;
  readonly epoch: number;
  /** Place in CHECKSUM_KINDS. */
  readonly checksumKind: number;
  readonly state: LabelState;
  readonly nextObjectId: number;
  readonly prevCrc: number;
  readonly createdMs: number;
  readonly writtenMs: number;
  readonly objectsRoot: Readonly<RootPointer>;
  readonly propertiesRoot: Readonly<RootPointer>;
  readonly deadRoot: Readonly<RootPointer>;
  readonly killsRoot: Readonly<RootPointer>;
  readonly dataBlocks: number;
  readonly pageBlocks: number;
  readonly heldBlocks: number;
  readonly overCommitPercent: number;
  readonly warnPercent: number;
  readonly criticalPercent: number;
  readonly name: string;
  readonly holder: string;
  readonly engineUuid: string;
  readonly losses: number;
  /** In the order of their indices. */
  readonly disks: readonly LabelDisk[];
}

export function decodeLabel(_bytes: Uint8Array): PoolLabel | LabelProblem {
  assert(false, "not written yet");
}

export function encodeLabel(_label: PoolLabel, _diskIndex: number, _into: Uint8Array): void {
  assert(false, "not written yet");
}
