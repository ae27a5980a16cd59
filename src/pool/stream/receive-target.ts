/**
 * Finds or makes the volume that a stream is received into: new, a clone of its base, or the one
 * whose content is the base. After it the volume has the property `receive`.
 *
 * Control only. Every step leaves something that a later call understands, or can end.
 */

import { PenstockError } from "../../util/errors.ts";
import type { SnapshotInfo, VolumeInfo } from "../pool-info.ts";
import { isSnapshotName } from "../volumes/object-record.ts";
import { PulledDiff } from "./pulled-diff.ts";
import type { ReceiveTarget } from "./receive-run.ts";
import {
  decodeState,
  encodeState,
  lineageOf,
  RECEIVE_PROPERTY,
  type ReceiveState,
} from "./receive-state.ts";
import type { StreamHeader } from "./stream-format.ts";
import type { StreamPool } from "./stream-pool.ts";

export interface ReceiveOptions {
  readonly volume: string;
  /** What follows its @; null: as it was called where it was sent. */
  readonly snapshot: string | null;
  /** Of a volume that is made without a base. */
  readonly isThin: boolean;
  /** What was written since the base is lost. */
  readonly rollback: boolean;
}

/** How far the receiving of a volume is; null: it is not being received. */
export function receiveStateOf(pool: StreamPool, volume: string): ReceiveState | null {
  const kept = pool.properties(volume).get(RECEIVE_PROPERTY);
  return kept === undefined ? null : decodeState(kept);
}

/** Where a stream goes; or `taken`: it was received before, and only its volume had to be told. */
export type PreparedReceive = { readonly target: ReceiveTarget } | { readonly taken: SnapshotInfo };

/**
 * @throws PenstockError `volume-exists`, `snapshot-exists`, `base-not-found`, `receive-diverged`,
 *   `receive-other`, `name-invalid`, as those of the pool
 */
export async function prepareReceive(
  pool: StreamPool,
  header: StreamHeader,
  options: ReceiveOptions,
): Promise<PreparedReceive> {
  const { volume } = options;
  const part = options.snapshot ?? header.name.slice(header.name.indexOf("@") + 1);
  const snapshot = `${volume}@${part}`;
  if (!isSnapshotName(snapshot)) {
    const message = `${snapshot} is no name of a snapshot: give another one`;
    throw new PenstockError({ code: "name-invalid", message, details: { name: snapshot } });
  }
  const found = pool.volume(volume);
  const existing = found?.name === volume ? found : undefined;
  const { begun, ended } = existing === undefined ? NOT_BEGUN : await begunIn(pool, volume);
  if (ended !== null && lineageIn(pool, ended) === header.uuid) return { taken: ended };
  checkNew(pool, header, { volume, snapshot });
  const { uuid, baseUuid, sizeBytes } = header;
  const isMade = existing === undefined;
  const state = begun ?? { uuid, baseUuid, sizeBytes, cursor: 0, isMade };
  const target = { volume, snapshot, state };
  checkSame(begun, header, volume);
  if (existing === undefined) await makeVolume(pool, target, options);
  else if (begun === null) await beginIn(pool, existing, target, options);
  if (pool.volume(volume)?.sizeBytes !== sizeBytes) await pool.resizeVolume(volume, sizeBytes);
  return { target };
}

/**
 * Gives up what has been received of a volume: it goes, or is what it was.
 * @throws PenstockError `not-receiving`, `base-not-found`, `volume-in-use`, `volume-not-found`
 */
export async function endReceive(pool: StreamPool, volume: string): Promise<void> {
  const { begun } = await begunIn(pool, volume);
  if (begun === null) {
    const message = `${volume} is not being received`;
    throw new PenstockError({ code: "not-receiving", message, details: { name: volume } });
  }
  if (begun.isMade) {
    await pool.deleteVolume(volume);
    return;
  }
  const base = findBase(pool, pool.snapshots(volume), begun.baseUuid);
  await pool.rollback(base.name);
  await pool.setProperties(volume, new Map([[RECEIVE_PROPERTY, null]]));
}

interface Begun {
  readonly begun: ReceiveState | null;
  /** The engine had ended between this snapshot and the volume's property. */
  readonly ended: SnapshotInfo | null;
}

const NOT_BEGUN: Begun = { begun: null, ended: null };

async function begunIn(pool: StreamPool, volume: string): Promise<Begun> {
  const begun = receiveStateOf(pool, volume);
  if (begun === null) return NOT_BEGUN;
  const ended = pool.snapshots(volume).find((each) => lineageIn(pool, each) === begun.uuid);
  if (ended === undefined) return { begun, ended: null };
  await pool.setProperties(volume, new Map([[RECEIVE_PROPERTY, null]]));
  return { begun: null, ended };
}

/** A volume has each content, and each name, once. */
function checkNew(
  pool: StreamPool,
  { uuid }: StreamHeader,
  { volume, snapshot }: Pick<ReceiveTarget, "volume" | "snapshot">,
): void {
  const all = pool.snapshots(volume);
  const same = all.find((each) => lineageIn(pool, each) === uuid);
  if (same !== undefined) {
    const message = `${same.name} is there already: the stream carries the same snapshot`;
    throw new PenstockError({ code: "already-received", message, details: { name: same.name } });
  }
  if (!all.some(({ name }) => name === snapshot)) return;
  const message = `${snapshot} is there already, and is another snapshot than the stream's`;
  throw new PenstockError({ code: "snapshot-exists", message, details: { name: snapshot } });
}

/** An earlier stream of the same snapshot has come as far as this one begins, or farther. */
function checkSame(begun: ReceiveState | null, header: StreamHeader, volume: string): void {
  if (begun === null) {
    if (header.startBlock === 0) return;
    throw other(volume, `nothing of it is there, and the stream begins at ${header.startBlock}`);
  }
  const isSame =
    begun.uuid === header.uuid &&
    begun.baseUuid === header.baseUuid &&
    begun.sizeBytes === header.sizeBytes;
  if (!isSame) throw other(volume, "another snapshot is being received into it");
  if (header.startBlock > begun.cursor) {
    throw other(volume, `it came to block ${begun.cursor}, the stream goes on at a later one`);
  }
}

async function makeVolume(
  pool: StreamPool,
  { volume, state }: ReceiveTarget,
  { isThin }: ReceiveOptions,
): Promise<void> {
  const properties = new Map([[RECEIVE_PROPERTY, encodeState(state)]]);
  if (state.baseUuid === "") {
    await pool.createVolume({ name: volume, sizeBytes: state.sizeBytes, isThin, properties });
    return;
  }
  const base = findBase(pool, pool.snapshots(), state.baseUuid);
  await pool.cloneSnapshot(base.name, { name: volume, properties });
}

async function beginIn(
  pool: StreamPool,
  existing: VolumeInfo,
  { volume, state }: ReceiveTarget,
  { rollback }: ReceiveOptions,
): Promise<void> {
  if (state.baseUuid === "") {
    const message = `there is a volume ${volume}, and the stream carries all of one`;
    throw new PenstockError({ code: "volume-exists", message, details: { name: volume } });
  }
  // A volume that is a clone of its base begins there, too.
  const candidates = pool.snapshots().filter(({ name }) => isBaseOf(existing, name));
  const base = findBase(pool, candidates, state.baseUuid);
  if (await differs(pool, base.name, existing)) {
    if (!rollback || !base.name.startsWith(`${volume}@`)) {
      const message = `${volume} is not as ${base.name} any more`;
      throw new PenstockError({ code: "receive-diverged", message, details: { volume } });
    }
    await pool.rollback(base.name);
  }
  await pool.setProperties(volume, new Map([[RECEIVE_PROPERTY, encodeState(state)]]));
}

function isBaseOf({ name, origin }: VolumeInfo, snapshot: string): boolean {
  return snapshot === origin || snapshot.startsWith(`${name}@`);
}

function findBase(
  pool: StreamPool,
  snapshots: readonly SnapshotInfo[],
  baseUuid: string,
): SnapshotInfo {
  const found = snapshots.find(
    (each) => each.state === "ready" && lineageIn(pool, each) === baseUuid,
  );
  if (found !== undefined) return found;
  throw new PenstockError({
    code: "base-not-found",
    message: `the stream goes on from a snapshot that is not here (${baseUuid})`,
    details: { base: baseUuid },
  });
}

async function differs(pool: StreamPool, base: string, volume: VolumeInfo): Promise<boolean> {
  const found = pool.snapshots().find(({ name }) => name === base);
  if (found?.sizeBytes !== volume.sizeBytes) return true;
  const diff = new PulledDiff((sink) => pool.diff(base, volume.name, 0, sink));
  try {
    return (await diff.next()).length > 0;
  } finally {
    await diff.close();
  }
}

function lineageIn(pool: StreamPool, { name, uuid }: SnapshotInfo): string {
  return lineageOf(uuid, pool.properties(name));
}

function other(volume: string, why: string): PenstockError {
  const message = `${volume} cannot go on with this stream: ${why}`;
  return new PenstockError({ code: "receive-other", message, details: { volume } });
}
