/**
 * Snapshots and differences as the command line shows them: from the RPC's messages to its own JSON
 * and to tables. The schema is a contract; docs/guide/snapshots.md names it. Pure.
 */

import {
  type DiffExtent,
  DiffKind,
  type MeasureSpaceResponse,
  type Snapshot,
  SnapshotState,
} from "../api/penstock/engine/v1/snapshot_pb.ts";
import type { Column } from "./output.ts";
import { lowerCase, timeText } from "./pipe-view.ts";
import { shownSize } from "./pool-view.ts";

/** One of `snapshot list -o json`. */
export interface SnapshotView {
  readonly pool: string;
  /** VOLUME@SNAPSHOT */
  readonly name: string;
  readonly uuid: string;
  readonly replica: string;
  /** "ready"; "deleting". */
  readonly state: string;
  readonly sizeBytes: number;
  /** What it maps, shared or not. */
  readonly usedBytes: number;
  /** Null unless asked for: finding it out takes a walk. */
  readonly ownBytes: number | null;
  readonly sharedBytes: number | null;
  readonly wouldFreeBytes: number | null;
  readonly clones: number;
  readonly createdAt: string | null;
}

/** One of `snapshot diff -o json`. */
export interface DiffView {
  readonly offset: number;
  readonly length: number;
  /** "data", "zero". */
  readonly kind: string;
}

export function snapshotView(
  snapshot: Snapshot,
  space: MeasureSpaceResponse | undefined,
): SnapshotView {
  const { pool, name, uuid, replica, sizeBytes, usedBytes, clones } = snapshot;
  const measured = (bytes: bigint | undefined): number | null =>
    bytes === undefined ? null : Number(bytes);
  return {
    pool,
    name,
    uuid,
    replica,
    state: lowerCase(SnapshotState, snapshot.state),
    sizeBytes: Number(sizeBytes),
    usedBytes: Number(usedBytes),
    ownBytes: measured(space?.ownBytes),
    sharedBytes: measured(space?.sharedBytes),
    wouldFreeBytes: measured(space?.wouldFreeBytes),
    clones,
    createdAt: timeText(snapshot.createTime),
  };
}

export function diffView({ offset, length, kind }: DiffExtent): DiffView {
  return { offset: Number(offset), length: Number(length), kind: lowerCase(DiffKind, kind) };
}

/** @param measured with what `--space` finds out */
export function snapshotColumns(measured: boolean): readonly Column<SnapshotView>[] {
  const size = (title: string, of: (view: SnapshotView) => number | null) => ({
    title,
    align: "right" as const,
    text: (view: SnapshotView) => {
      const bytes = of(view);
      return bytes === null ? "-" : shownSize(bytes);
    },
  });
  const space = [
    size("OWN", ({ ownBytes }) => ownBytes),
    size("SHARED", ({ sharedBytes }) => sharedBytes),
    size("FREES", ({ wouldFreeBytes }) => wouldFreeBytes),
  ];
  return [
    { title: "POOL", text: ({ pool }) => pool },
    { title: "NAME", text: ({ name }) => name },
    size("SIZE", ({ sizeBytes }) => sizeBytes),
    size("USED", ({ usedBytes }) => usedBytes),
    ...(measured ? space : []),
    { title: "CLONES", align: "right", text: ({ clones }) => String(clones) },
    { title: "STATE", text: ({ state }) => state },
    { title: "CREATED", text: ({ createdAt }) => createdAt ?? "" },
  ];
}
