/**
 * VersionCalls: snapshots and clones of this process's pools as the main thread sees them, and the
 * sessions that it draws from: of differences, of a snapshot's data, of a flatten's progress.
 *
 * Holds nothing: a session is its opener's, who closes it.
 */

import type { SnapshotInfo, VersionSpace, VolumeInfo } from "../pool/pool-info.ts";
import type { DiffExtent } from "../pool/stream/pulled-diff.ts";
import type { ReceiveState } from "../pool/stream/receive-state.ts";
import type { ReceiveOptions } from "../pool/stream/receive-target.ts";
import type { StreamPiece } from "../pool/stream/send-run.ts";
import type { StreamHeader } from "../pool/stream/stream-format.ts";
import type { DiffOf } from "./diff-session.ts";
import type { RemoteReactor } from "./reactor-pool.ts";
import type {
  FlattenProgress,
  OpenedSend,
  SendOpening,
  SessionId,
  VersionName,
} from "./version-protocol.ts";

/** Answers `null` when there is no more. */
export interface Drawn<T> {
  next(): Promise<T | null>;
  /** Ends it, also while it is asked. Idempotent. */
  close(): Promise<void>;
}

export interface SendSession extends Drawn<readonly StreamPiece[]> {
  readonly header: OpenedSend["header"];
}

export interface ReceiveSession {
  /** A few at once, in their order. Settles when they are written. */
  put(pieces: readonly StreamPiece[]): Promise<void>;
  /** All has come: the snapshot is taken. */
  finish(): Promise<SnapshotInfo>;
  /** Keeps what has come, so that it can be gone on with. Idempotent. */
  close(): Promise<void>;
}

type Remote = Pick<RemoteReactor, "call">;

export class VersionCalls {
  readonly #reactorOf: (pool: string) => Remote;

  /** @param reactorOf @throws PenstockError `pool-not-found` */
  constructor(reactorOf: (pool: string) => Remote) {
    this.#reactorOf = reactorOf;
  }

  async createSnapshot(pool: string, name: string, uuid: string | null): Promise<SnapshotInfo> {
    return await this.#reactorOf(pool).call("createSnapshot", { pool, name, uuid });
  }

  /** @param volume null: of all */
  async list(pool: string, volume: string | null): Promise<readonly SnapshotInfo[]> {
    return await this.#reactorOf(pool).call("listSnapshots", { pool, volume });
  }

  async measure(of: VersionName): Promise<VersionSpace> {
    return await this.#reactorOf(of.pool).call("measureVersion", of);
  }

  async rollback(to: VersionName): Promise<VolumeInfo> {
    return await this.#reactorOf(to.pool).call("rollbackSnapshot", to);
  }

  async clone(of: VersionName, clone: string, uuid: string | null): Promise<VolumeInfo> {
    return await this.#reactorOf(of.pool).call("cloneSnapshot", { ...of, clone, uuid });
  }

  async promote(volume: VersionName): Promise<VolumeInfo> {
    return await this.#reactorOf(volume.pool).call("promoteVolume", volume);
  }

  /** Runs until it has ended or is closed; `next` tells how far it is, at once. */
  async flatten(volume: VersionName): Promise<Drawn<FlattenProgress>> {
    const reactor = this.#reactorOf(volume.pool);
    const session = await reactor.call("openFlatten", volume);
    return {
      next: () => reactor.call("flattenProgress", { session }),
      close: () => closeSession(reactor, session),
    };
  }

  async diff(pool: string, of: DiffOf): Promise<Drawn<readonly DiffExtent[]>> {
    const reactor = this.#reactorOf(pool);
    const session = await reactor.call("openDiff", { pool, ...of });
    return {
      next: async () => orEnd(await reactor.call("nextDiff", { session })),
      close: () => closeSession(reactor, session),
    };
  }

  async send(pool: string, opening: SendOpening): Promise<SendSession> {
    const reactor = this.#reactorOf(pool);
    const { session, header } = await reactor.call("openSend", { pool, opening });
    return {
      header,
      next: async () => orEnd(await reactor.call("nextSend", { session })),
      close: () => closeSession(reactor, session),
    };
  }

  /** @returns a snapshot: it was received before */
  async receive(
    pool: string,
    header: StreamHeader,
    options: ReceiveOptions,
  ): Promise<ReceiveSession | { readonly taken: SnapshotInfo }> {
    const reactor = this.#reactorOf(pool);
    const opened = await reactor.call("openReceive", { pool, header, options });
    if ("taken" in opened) return opened;
    const { session } = opened;
    return {
      put: (pieces) => reactor.call("putReceive", { session, pieces }),
      finish: () => reactor.call("finishReceive", { session }),
      close: () => closeSession(reactor, session),
    };
  }

  async receiveState(volume: VersionName): Promise<ReceiveState | null> {
    return await this.#reactorOf(volume.pool).call("receiveState", volume);
  }

  async abortReceive(volume: VersionName): Promise<void> {
    await this.#reactorOf(volume.pool).call("abortReceive", volume);
  }
}

/** One that cannot be told any more has ended with its pool, or with the reactor. */
async function closeSession(reactor: Remote, session: SessionId): Promise<void> {
  await reactor.call("closeSession", { session }).catch(() => undefined);
}

function orEnd<T>(items: readonly T[]): readonly T[] | null {
  return items.length === 0 ? null : items;
}
