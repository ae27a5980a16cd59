/**
 * What the main thread and a reactor say to each other about snapshots, clones and streams of
 * pools. Plain values only.
 *
 * What takes long is a session: opened, asked again and again, closed. It ends with its pool, too.
 */

import type { SnapshotInfo, VersionSpace, VolumeInfo } from "../pool/pool-info.ts";
import type { DiffExtent } from "../pool/stream/pulled-diff.ts";
import type { ReceiveState } from "../pool/stream/receive-state.ts";
import type { ReceiveOptions } from "../pool/stream/receive-target.ts";
import type { StreamPiece } from "../pool/stream/send-run.ts";
import type { StreamHeader } from "../pool/stream/stream-format.ts";
import type { DiffOf } from "./diff-session.ts";

/** Of a session, on its reactor. */
export type SessionId = number;

export interface SendOpening {
  /** "volume@snapshot"; null: the one that the token names. */
  readonly snapshot: string | null;
  /** Null: all of it, or the one that the token names. */
  readonly base: string | null;
  readonly token: string | null;
}

export interface OpenedSend {
  readonly session: SessionId;
  readonly header: Omit<StreamHeader, "features">;
}

/** `taken`: it was received before. */
export type OpenedReceive = { readonly session: SessionId } | { readonly taken: SnapshotInfo };

export interface FlattenProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly isFinished: boolean;
}

/** A volume or snapshot of a pool. */
export interface VersionName {
  readonly pool: string;
  readonly name: string;
}

interface OfSession {
  readonly session: SessionId;
}

/** What the main thread calls on a reactor. */
export interface VersionMethods {
  createSnapshot(params: VersionName & { readonly uuid: string | null }): Promise<SnapshotInfo>;
  /** @param volume null: of all */
  listSnapshots(params: {
    readonly pool: string;
    readonly volume: string | null;
  }): Promise<readonly SnapshotInfo[]>;
  measureVersion(params: VersionName): Promise<VersionSpace>;
  rollbackSnapshot(params: VersionName): Promise<VolumeInfo>;
  cloneSnapshot(
    params: VersionName & { readonly clone: string; readonly uuid: string | null },
  ): Promise<VolumeInfo>;
  promoteVolume(params: VersionName): Promise<VolumeInfo>;
  openFlatten(params: VersionName): Promise<SessionId>;
  /** @throws what it failed with */
  flattenProgress(params: OfSession): Promise<FlattenProgress>;
  openDiff(params: { readonly pool: string } & DiffOf): Promise<SessionId>;
  /** Empty: that was all. */
  nextDiff(params: OfSession): Promise<readonly DiffExtent[]>;
  openSend(params: { readonly pool: string; readonly opening: SendOpening }): Promise<OpenedSend>;
  /** Empty: that was all. */
  nextSend(params: OfSession): Promise<readonly StreamPiece[]>;
  openReceive(params: {
    readonly pool: string;
    readonly header: StreamHeader;
    readonly options: ReceiveOptions;
  }): Promise<OpenedReceive>;
  putReceive(params: OfSession & { readonly pieces: readonly StreamPiece[] }): Promise<void>;
  finishReceive(params: OfSession): Promise<SnapshotInfo>;
  /** Null: it is not being received. */
  receiveState(params: VersionName): Promise<ReceiveState | null>;
  abortReceive(params: VersionName): Promise<void>;
  /** Idempotent. */
  closeSession(params: OfSession): Promise<void>;
}
