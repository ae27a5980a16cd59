/**
 * Snapshots and what is said of them as messages of the engine's API. Pure.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type DiffExtentSchema,
  DiffKind,
  type FlattenReplicaResponseSchema,
  type MeasureSpaceResponseSchema,
  type SnapshotSchema,
  SnapshotState,
} from "../api/penstock/engine/v1/snapshot_pb.ts";
import type { FlattenProgress } from "../pipe/version-protocol.ts";
import type { SnapshotInfo, VersionSpace } from "../pool/pool-info.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import type { DiffExtent } from "../pool/stream/pulled-diff.ts";
import { time } from "./messages.ts";
import type { ListedSnapshot } from "./snapshot-registry.ts";

const STATES: Readonly<Record<SnapshotInfo["state"], SnapshotState>> = {
  ready: SnapshotState.READY,
  deleting: SnapshotState.DELETING,
};

const KINDS: Readonly<Record<DiffExtent["kind"], DiffKind>> = {
  data: DiffKind.DATA,
  zero: DiffKind.ZERO,
};

export function snapshotMessage(listed: ListedSnapshot): MessageInitShape<typeof SnapshotSchema> {
  const { pool, snapshot } = listed;
  const { name, uuid, volume, sizeBytes, usedBytes, createdMs, clones, state } = snapshot;
  return {
    pool,
    name,
    uuid,
    replica: volume,
    sizeBytes: BigInt(sizeBytes),
    usedBytes: BigInt(usedBytes),
    createTime: time(createdMs),
    clones,
    state: STATES[state],
  };
}

export function spaceMessage(
  name: string,
  { ownBytes, sharedBytes, wouldFreeBytes }: VersionSpace,
): MessageInitShape<typeof MeasureSpaceResponseSchema> {
  return {
    name,
    ownBytes: BigInt(ownBytes),
    sharedBytes: BigInt(sharedBytes),
    wouldFreeBytes: BigInt(wouldFreeBytes),
  };
}

export function extentMessage({
  first,
  count,
  kind,
}: DiffExtent): MessageInitShape<typeof DiffExtentSchema> {
  return {
    offset: BigInt(first * BLOCK_BYTES),
    length: BigInt(count * BLOCK_BYTES),
    kind: KINDS[kind],
  };
}

export function flattenMessage(
  progress: FlattenProgress,
): MessageInitShape<typeof FlattenReplicaResponseSchema> {
  const { doneBytes, totalBytes, isFinished } = progress;
  return {
    doneBytes: BigInt(doneBytes),
    totalBytes: BigInt(totalBytes),
    finished: isFinished,
  };
}
