/**
 * VersionSessions: what a reactor does with the snapshots and clones of its pools: single calls,
 * and sessions that the main thread draws from.
 *
 *   open --> asked again and again --> closed, by whoever asked or with its pool
 *
 * Owns its sessions. A pool is asked to end only when nothing here uses it any more (`endOf`).
 */

import type { Pool } from "../pool/pool.ts";
import type { SnapshotInfo, VersionSpace, VolumeInfo } from "../pool/pool-info.ts";
import type { DiffExtent } from "../pool/stream/pulled-diff.ts";
import { ReceiveRun } from "../pool/stream/receive-run.ts";
import {
  decodeToken,
  lineageOf,
  RECEIVE_PROPERTY,
  type ReceiveState,
  type ReceiveToken,
} from "../pool/stream/receive-state.ts";
import { endReceive, prepareReceive, receiveStateOf } from "../pool/stream/receive-target.ts";
import { SendRun, type StreamPiece } from "../pool/stream/send-run.ts";
import { blocksOf } from "../pool/stream/stream-format.ts";
import { PenstockError } from "../util/errors.ts";
import { DiffSession } from "./diff-session.ts";
import { FlattenSession } from "./flatten-session.ts";
import type { VersionCounts } from "./pool-protocol.ts";
import type {
  FlattenProgress,
  OpenedReceive,
  OpenedSend,
  SendOpening,
  SessionId,
  VersionMethods,
  VersionName,
} from "./version-protocol.ts";

interface Session {
  close(): Promise<void>;
}

/** Since the pool was opened. */
interface Moved {
  sentBytes: number;
  receivedBytes: number;
}

type Params<K extends keyof VersionMethods> = Parameters<VersionMethods[K]>[0];

/** Of a reactor; a send or receive has some MiB on their way. */
const SESSIONS_MAX = 256;

export class VersionSessions implements VersionMethods {
  readonly #find: (pool: string) => Pool;
  readonly #cursorBytes: number | undefined;
  readonly #sessions = new Map<SessionId, { readonly session: Session; readonly pool: Pool }>();
  /** Calls under way. */
  readonly #calls = new Map<Pool, Set<Promise<unknown>>>();
  readonly #ending = new WeakSet<Pool>();
  readonly #moved = new WeakMap<Pool, Moved>();
  #lastId = 0;

  /**
   * @param find @throws PenstockError `pool-not-found`
   * @param cursorBytes received between two cursors; undefined: as is good
   */
  constructor(find: (pool: string) => Pool, cursorBytes?: number) {
    this.#find = find;
    this.#cursorBytes = cursorBytes;
  }

  /** A pool is about to end: settles when nothing of it runs here any more. */
  async endOf(pool: Pool): Promise<void> {
    this.#ending.add(pool);
    const own = [...this.#sessions].filter(([, each]) => each.pool === pool);
    for (const [id] of own) this.#sessions.delete(id);
    await Promise.all(own.map(([, { session }]) => session.close()));
    await Promise.allSettled([...(this.#calls.get(pool) ?? [])]);
  }

  /** It has not ended after all. */
  staysOpen(pool: Pool): void {
    this.#ending.delete(pool);
  }

  countsOf(pool: Pool): VersionCounts {
    let [snapshots, deleting] = [0, 0];
    for (const { kind, isDeleting } of pool.parts.catalogue.all()) {
      if (isDeleting) deleting++;
      else if (kind === "snapshot") snapshots++;
    }
    const own = [...this.#sessions.values()].filter((each) => each.pool === pool);
    const count = (is: (session: Session) => boolean): number =>
      own.filter(({ session }) => is(session)).length;
    const { sentBytes, receivedBytes } = this.#moved.get(pool) ?? {
      sentBytes: 0,
      receivedBytes: 0,
    };
    return {
      ...{ snapshots, deleting, sentBytes, receivedBytes },
      sends: count(isSend),
      receives: count(isReceive),
      flattens: count(isFlatten),
    };
  }

  createSnapshot({ pool, name, uuid }: Params<"createSnapshot">): Promise<SnapshotInfo> {
    return this.#call(pool, async (live) => {
      const [volume, part] = splitName(name);
      checkNotReceived(live, volume);
      return await live.createSnapshot(volume, part, uuid === null ? {} : { uuid });
    });
  }

  listSnapshots({ pool, volume }: Params<"listSnapshots">): Promise<readonly SnapshotInfo[]> {
    return this.#call(pool, async (live) => live.snapshots(volume ?? undefined));
  }

  measureVersion({ pool, name }: VersionName): Promise<VersionSpace> {
    return this.#call(pool, (live) => live.measure(name));
  }

  rollbackSnapshot({ pool, name }: VersionName): Promise<VolumeInfo> {
    return this.#call(pool, async (live) => {
      checkNotReceived(live, splitName(name)[0]);
      return await live.rollback(name);
    });
  }

  cloneSnapshot({ pool, name, clone, uuid }: Params<"cloneSnapshot">): Promise<VolumeInfo> {
    const id = uuid === null ? {} : { uuid };
    return this.#call(pool, (live) => live.cloneSnapshot(name, { name: clone, ...id }));
  }

  promoteVolume({ pool, name }: VersionName): Promise<VolumeInfo> {
    return this.#call(pool, async (live) => {
      checkNotReceived(live, name);
      return await live.promote(name);
    });
  }

  openFlatten({ pool, name }: VersionName): Promise<SessionId> {
    return this.#open(pool, async (live) => {
      checkNotReceived(live, name);
      return new FlattenSession(live, name);
    });
  }

  async flattenProgress({ session }: Params<"flattenProgress">): Promise<FlattenProgress> {
    return this.#session(session, isFlatten).progress;
  }

  openDiff({ pool, ...of }: Params<"openDiff">): Promise<SessionId> {
    return this.#open(pool, (live) => DiffSession.open(live, of));
  }

  async nextDiff({ session }: Params<"nextDiff">): Promise<readonly DiffExtent[]> {
    return await this.#session(session, isDiff).next();
  }

  async openSend({ pool, opening }: Params<"openSend">): Promise<OpenedSend> {
    const { base, ...header } = sendHeader(this.#find(pool), opening);
    const { name: snapshot, startBlock } = header;
    const session = await this.#open(pool, (live) =>
      SendRun.open(live, { snapshot, base, startBlock }),
    );
    return { session, header };
  }

  async nextSend({ session }: Params<"nextSend">): Promise<readonly StreamPiece[]> {
    const pieces = await this.#session(session, isSend).next();
    this.#count(session, "sentBytes", pieces);
    return pieces;
  }

  async openReceive(params: Params<"openReceive">): Promise<OpenedReceive> {
    const { pool, header, options } = params;
    const found = await this.#call(pool, (live) => prepareReceive(live, header, options));
    if ("taken" in found) return found;
    const session = await this.#open(pool, (live) =>
      ReceiveRun.open(live, found.target, this.#cursorBytes),
    );
    return { session };
  }

  async putReceive({ session, pieces }: Params<"putReceive">): Promise<void> {
    await this.#session(session, isReceive).put(pieces);
    this.#count(session, "receivedBytes", pieces);
  }

  async finishReceive({ session }: Params<"finishReceive">): Promise<SnapshotInfo> {
    const run = this.#session(session, isReceive);
    const pool = this.#sessions.get(session)?.pool as Pool; // it was found
    return await this.#tracked(pool, run.finish());
  }

  receiveState({ pool, name }: VersionName): Promise<ReceiveState | null> {
    return this.#call(pool, async (live) => receiveStateOf(live, name));
  }

  abortReceive({ pool, name }: VersionName): Promise<void> {
    return this.#call(pool, (live) => endReceive(live, name));
  }

  async closeSession({ session }: Params<"closeSession">): Promise<void> {
    const found = this.#sessions.get(session);
    this.#sessions.delete(session);
    await found?.session.close();
  }

  async #open(name: string, step: (pool: Pool) => Promise<Session>): Promise<SessionId> {
    if (this.#sessions.size >= SESSIONS_MAX) {
      const message = `${SESSIONS_MAX} sends, receives and the like run already`;
      throw new PenstockError({ code: "too-many-sessions", message, retryable: true });
    }
    return await this.#call(name, async (pool) => {
      const session = await step(pool);
      if (this.#ending.has(pool)) {
        await session.close();
        throw ended();
      }
      this.#lastId += 1;
      this.#sessions.set(this.#lastId, { session, pool });
      return this.#lastId;
    });
  }

  async #call<T>(name: string, step: (pool: Pool) => Promise<T>): Promise<T> {
    const pool = this.#find(name);
    return await this.#tracked(pool, step(pool));
  }

  async #tracked<T>(pool: Pool, call: Promise<T>): Promise<T> {
    const calls = this.#calls.get(pool) ?? new Set();
    this.#calls.set(pool, calls.add(call));
    try {
      return await call;
    } finally {
      calls.delete(call);
      if (calls.size === 0) this.#calls.delete(pool);
    }
  }

  #count(id: SessionId, what: keyof Moved, pieces: readonly StreamPiece[]): void {
    const pool = this.#sessions.get(id)?.pool;
    if (pool === undefined) return;
    const moved = this.#moved.get(pool) ?? { sentBytes: 0, receivedBytes: 0 };
    for (const { bytes } of pieces) moved[what] += bytes?.length ?? 0;
    this.#moved.set(pool, moved);
  }

  #session<T extends Session>(id: SessionId, isWanted: (session: Session) => session is T): T {
    const session = this.#sessions.get(id)?.session;
    if (session !== undefined && isWanted(session)) return session;
    throw ended();
  }
}

const isFlatten = (session: Session): session is FlattenSession =>
  session instanceof FlattenSession;
const isDiff = (session: Session): session is DiffSession => session instanceof DiffSession;
const isSend = (session: Session): session is SendRun => session instanceof SendRun;
const isReceive = (session: Session): session is ReceiveRun => session instanceof ReceiveRun;

/** A volume that is being received is nobody's until all of it is there. */
export function checkNotReceived(pool: Pool, volume: string): void {
  const found = pool.volume(volume);
  if (found === undefined || !pool.properties(found.name).has(RECEIVE_PROPERTY)) return;
  throw new PenstockError({
    code: "volume-receiving",
    message: `${found.name} is being received: end that first, or give it up`,
    retryable: true,
    details: { name: found.name },
  });
}

function splitName(name: string): readonly [string, string] {
  const at = name.indexOf("@");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

function sendHeader(
  pool: Pool,
  { snapshot, base, token }: SendOpening,
): OpenedSend["header"] & { readonly base: string | null } {
  const from: ReceiveToken | null = token === null ? null : decodeToken(token);
  const all = pool.snapshots();
  const idOf = ({ name, uuid }: SnapshotInfo): string => lineageOf(uuid, pool.properties(name));
  const named = (name: string): SnapshotInfo => {
    const found = all.find((each) => each.name === name);
    if (found !== undefined) return found;
    throw notFound(`there is no snapshot ${name}`, name);
  };
  const sameAs = (uuid: string): SnapshotInfo => {
    const found = all.find((each) => idOf(each) === uuid);
    if (found !== undefined) return found;
    throw notFound(`the snapshot that the token names is not here (${uuid})`, uuid);
  };
  const sent = snapshot === null ? sameAs(from?.uuid ?? "") : named(snapshot);
  const fromBase = from === null || from.baseUuid === "" ? null : sameAs(from.baseUuid);
  const before = base === null ? fromBase : named(base);
  const uuid = idOf(sent);
  const baseUuid = before === null ? "" : idOf(before);
  const isSame = from === null || (from.uuid === uuid && from.baseUuid === baseUuid);
  const startBlock = from?.cursor ?? 0;
  if (!isSame || startBlock > blocksOf(sent.sizeBytes)) {
    const message = `the token is of another snapshot than ${sent.name}, or from another base`;
    throw new PenstockError({ code: "token-invalid", message });
  }
  if (uuid === baseUuid) {
    const message = `${sent.name} cannot be sent as what differs from itself`;
    throw new PenstockError({ code: "base-invalid", message });
  }
  const { name, sizeBytes, createdMs } = sent;
  return { name, uuid, baseUuid, sizeBytes, createdMs, startBlock, base: before?.name ?? null };
}

function notFound(message: string, name: string): PenstockError {
  return new PenstockError({ code: "snapshot-not-found", message, details: { name } });
}

function ended(): PenstockError {
  const message = "it was ended: the pool is being closed";
  return new PenstockError({ code: "aborted", message, retryable: true });
}
