/**
 * What a record of versions says: its objects as they will be, looked at as a whole before
 * anything is changed. Pure.
 *
 * Per object: 128 words of its record · rootOf: the object whose content it takes (0: keeps its
 * own) · placeOf: the object whose place in the tree of versions it takes, as that is now (0: the
 * one in the record). So it does not matter what happens to the origin of an object between the
 * moment when its record is made and the one when it is applied.
 *
 * spec: docs/internals/pool-format.md, The log; Snapshots and clones
 */

import { emptyPointer, type RootPointer } from "../pages/root-pointer.ts";
import { OBJECT_RECORD_WORDS, type ObjectRecord, readObjectRecord } from "./object-record.ts";
import type { VolumeState } from "./volume-state.ts";

/** One object of a record of versions. */
export interface VersionChange {
  readonly record: ObjectRecord;
  readonly rootOf: number;
  readonly placeOf: number;
}

/** ... and what follows from it now. */
export interface PlannedVersion {
  readonly record: ObjectRecord;
  /** null: keeps its own. */
  readonly content: { readonly root: RootPointer; readonly mappedBlocks: number } | null;
  /** null: stays where it is. */
  readonly place: { readonly originId: number; readonly sharedThrough: number } | null;
}

export function versionChangeAt(words: Uint32Array, at: number): VersionChange | null {
  const record = readObjectRecord(words, at);
  if (record === null) return null;
  const end = at + OBJECT_RECORD_WORDS;
  return { record, rootOf: words[end] as number, placeOf: words[end + 1] as number };
}

/**
 * @param byId what there is now
 * @returns null: it makes no sense
 */
export function planVersions(
  changes: readonly VersionChange[],
  byId: (id: number) => VolumeState | undefined,
): readonly PlannedVersion[] | null {
  const plan: PlannedVersion[] = [];
  const taken = new Map<number, number>();
  for (const { record } of changes) {
    if (taken.has(record.id)) return null;
    taken.set(record.id, record.takenEpoch);
  }
  for (const change of changes) {
    const planned = planOne(change, byId);
    if (planned === null || !isPlaced(planned, taken, byId)) return null;
    plan.push(planned);
  }
  return plan;
}

function planOne(
  { record, rootOf, placeOf }: VersionChange,
  byId: (id: number) => VolumeState | undefined,
): PlannedVersion | null {
  const state = byId(record.id);
  const isLike = state === undefined || isSameObject(state, record);
  const source = rootOf === 0 ? undefined : byId(rootOf);
  if (!isLike || (rootOf !== 0 && source === undefined)) return null;
  if (state === undefined && source === undefined) return null;
  // Its pages say whose they are.
  if (source !== undefined && source.family !== record.family) return null;
  const content = source === undefined ? null : contentOf(source);
  if (placeOf === record.id) return state === undefined ? null : { record, content, place: null };
  if (placeOf === 0) {
    const { originId, sharedThrough } = record;
    return { record, content, place: { originId, sharedThrough } };
  }
  const other = byId(placeOf);
  if (other === undefined) return null;
  const { origin, sharedThrough } = other;
  return { record, content, place: { originId: origin?.id ?? 0, sharedThrough } };
}

function isSameObject(state: VolumeState, record: ObjectRecord): boolean {
  const { kind, uuid, family, takenEpoch } = state;
  const isKind = kind === record.kind && takenEpoch === record.takenEpoch;
  return isKind && uuid === record.uuid && family === record.family;
}

function contentOf({ tree, mappedBlocks }: VolumeState): PlannedVersion["content"] {
  return { root: Object.assign(emptyPointer(), tree.root), mappedBlocks };
}

/** Origins are snapshots taken at the border; so epochs go down towards them, and no ring forms. */
function isPlaced(
  { record, place }: PlannedVersion,
  taken: ReadonlyMap<number, number>,
  byId: (id: number) => VolumeState | undefined,
): boolean {
  if (place === null) return true;
  const { originId, sharedThrough } = place;
  if (record.kind === "snapshot" && record.takenEpoch <= sharedThrough) return false;
  if (originId === 0) return sharedThrough === 0;
  const originTaken = taken.get(originId) ?? byId(originId)?.takenEpoch ?? 0;
  return originTaken > 0 && originTaken === sharedThrough;
}
