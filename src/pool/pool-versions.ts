/**
 * PoolVersions: snapshots and clones of the volumes of a pool: takes, clones, rolls back, promotes.
 *
 * Control only: every change is one record of the log (promoting: some), applied as a whole, that
 * is on stable media when its call settles. None of them touches a page or a block. The caller
 * (Pool) runs changes one after the other.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import { PenstockError } from "../util/errors.ts";
import { emptyPointer } from "./pages/root-pointer.ts";
import { keepsAll, type PoolChanges, VERSIONS_PER_RECORD_MAX } from "./pool-changes.ts";
import type {
  CloneOptions,
  CreateSnapshotOptions,
  SnapshotInfo,
  VersionSpace,
  VolumeInfo,
} from "./pool-info.ts";
import { BLOCK_BYTES } from "./pool-layout.ts";
import { foreignOrigin, type PoolVolumes, volumeInfo } from "./pool-volumes.ts";
import type { VolumeState } from "./volumes/catalogue.ts";
import type { DataWriter } from "./volumes/data-writer.ts";
import { type FlattenOptions, FlattenRun } from "./volumes/flatten-run.ts";
import type { ObjectRecord } from "./volumes/object-record.ts";
import { type DiffSink, diffVersions } from "./volumes/version-diff.ts";
import type { VersionChange } from "./volumes/version-plan.ts";
import { measureVersion } from "./volumes/version-space.ts";
import { VolumeHold } from "./volumes/volume-hold.ts";

/** Of an object that is made: it has no properties yet, and takes the content of another. */
const NOTHING_YET = {
  isDeleting: false,
  root: emptyPointer(),
  propertiesBytes: 0,
  propertiesCrc: 0,
  cursor: 0,
} as const;

export class PoolVersions {
  readonly #changes: PoolChanges;
  readonly #volumes: PoolVolumes;

  constructor(changes: PoolChanges, volumes: PoolVolumes) {
    this.#changes = changes;
    this.#volumes = volumes;
  }

  /** All, or those named after one volume, in the order of their taking. */
  list(volume?: string): SnapshotInfo[] {
    const { catalogue } = this.#changes.parts;
    const prefix = volume === undefined ? null : `${volume}@`;
    const states: VolumeState[] = [];
    for (const state of catalogue.all()) {
      if (state.kind !== "snapshot" || state.isDeleting) continue;
      if (prefix === null || state.name.startsWith(prefix)) states.push(state);
    }
    return states.sort(byAge).map(snapshotInfo);
  }

  /**
   * As of a moment between now and its settling: changes of clients that end before are in it,
   * those that begin after are not, and none is in it by half.
   */
  async create(
    volume: string,
    part: string,
    { properties, ...options }: CreateSnapshotOptions,
  ): Promise<SnapshotInfo> {
    const changes = this.#changes;
    const { catalogue, cache, environment } = changes.parts;
    const source = changes.volume(volume);
    const name = `${volume}@${part}`;
    const uuid = (options.uuid ?? environment.makeUuid()).toLowerCase();
    changes.checkSnapshotName(name);
    changes.checkNew(name, uuid);
    const area = properties === undefined ? null : changes.encode(properties);
    changes.checkWritable();
    // What it maps cannot be overwritten in the place of others any more.
    const reserve = source.isThin ? 0 : source.blocks - source.reservedBlocks;
    changes.checkSpace(0, reserve);
    const id = catalogue.nextObjectId++;
    const { epoch } = cache;
    const taken: ObjectRecord = {
      ...source.record(),
      ...NOTHING_YET,
      kind: "snapshot",
      id,
      uuid,
      name,
      createdMs: environment.nowMs(),
      takenEpoch: epoch,
      ownerId: source.id,
    };
    const goesOn = { ...source.record(), originId: id, sharedThrough: epoch };
    const record: VersionChange[] = [
      { record: taken, rootOf: source.id, placeOf: source.id },
      { record: goesOn, rootOf: 0, placeOf: 0 },
    ];
    await changes.logVersions(record, {
      advancesEpoch: true,
      isDurable: area === null,
      hold: new VolumeHold(source),
    });
    if (area !== null) await changes.logProperties(id, area);
    return snapshotInfo(changes.snapshot(name));
  }

  /** A volume with the snapshot's content. It is thin. */
  async clone(
    snapshot: string,
    { name, properties, ...options }: CloneOptions,
  ): Promise<VolumeInfo> {
    const changes = this.#changes;
    const { catalogue, environment } = changes.parts;
    const source = changes.snapshot(snapshot);
    const uuid = (options.uuid ?? environment.makeUuid()).toLowerCase();
    changes.checkVolumeName(name);
    changes.checkNew(name, uuid);
    changes.checkSpace(source.sizeBytes, 0);
    const area = properties === undefined ? null : changes.encode(properties);
    changes.checkWritable();
    const id = catalogue.nextObjectId++;
    const record: ObjectRecord = {
      ...source.record(),
      ...NOTHING_YET,
      kind: "volume",
      id,
      uuid,
      name,
      isThin: true,
      createdMs: environment.nowMs(),
      originId: source.id,
      sharedThrough: source.takenEpoch,
      takenEpoch: 0,
      ownerId: 0,
    };
    const change = { record, rootOf: source.id, placeOf: 0 };
    await changes.logVersions([change], { advancesEpoch: false, isDurable: area === null });
    if (area !== null) await changes.logProperties(id, area);
    return volumeInfo(catalogue, changes.volume(name));
  }

  /**
   * Its volume is what it was, content and size. What the volume was until now becomes an object
   * without a name that is being deleted; snapshots taken since stay.
   */
  async rollback(snapshot: string): Promise<VolumeInfo> {
    const changes = this.#changes;
    const { catalogue, environment } = changes.parts;
    const source = changes.snapshot(snapshot);
    const volume = this.#ownerOf(source);
    this.#volumes.checkClosed(volume);
    changes.checkWritable();
    const { sizeBytes } = source;
    const reserve = volume.isThin ? 0 : source.blocks - volume.reservedBlocks;
    changes.checkSpace(Math.max(sizeBytes - volume.sizeBytes, 0), Math.max(reserve, 0));
    const until: ObjectRecord = {
      ...volume.record(),
      ...NOTHING_YET,
      id: catalogue.nextObjectId++,
      uuid: environment.makeUuid(),
      isDeleting: true,
    };
    const { takenEpoch: sharedThrough, id: originId } = source;
    const back = { ...volume.record(), sizeBytes, originId, sharedThrough };
    await changes.logVersions(
      [
        { record: until, rootOf: volume.id, placeOf: volume.id },
        { record: back, rootOf: source.id, placeOf: 0 },
      ],
      { advancesEpoch: false, isDurable: true, hold: new VolumeHold(volume) },
    );
    this.#volumes.reaper.wake();
    return volumeInfo(catalogue, volume);
  }

  /** The snapshots that a clone began with become its own, with their names behind its. */
  async promote(clone: string): Promise<VolumeInfo> {
    const changes = this.#changes;
    const { catalogue } = changes.parts;
    const volume = changes.volume(clone);
    const records = this.#inherited(volume).map((state) => {
      const name = `${clone}${state.name.slice(state.name.indexOf("@"))}`;
      return { ...state.record(), name, ownerId: volume.id };
    });
    for (const { name } of records) {
      const other = catalogue.byName(name);
      if (other !== undefined) changes.checkNew(name, other.uuid);
    }
    changes.checkWritable();
    // The nearest first: whatever a crash leaves, it is still a clone until all are its own.
    for (let first = 0; first < records.length; first += VERSIONS_PER_RECORD_MAX) {
      const some = records.slice(first, first + VERSIONS_PER_RECORD_MAX).map(keepsAll);
      await changes.logVersions(some, { advancesEpoch: false, isDurable: false });
    }
    await changes.flush();
    return volumeInfo(catalogue, volume);
  }

  /** A run that copies what a clone shares. `leave` ends it. */
  flattening(clone: string, writer: DataWriter, options: FlattenOptions): FlattenRun {
    const changes = this.#changes;
    const volume = changes.volume(clone);
    if (!isClone(volume)) throw notAClone(volume);
    changes.checkWritable();
    return new FlattenRun(changes.parts, writer, volume, options);
  }

  /**
   * Takes a volume that shares nothing any more out of its family.
   * @param placements what the run has come to
   * @returns false: there has been a snapshot or such meanwhile, the run is to go on
   */
  async leave({ volume }: FlattenRun, placements: number): Promise<boolean> {
    if (volume.isDeleting || volume.placements !== placements) return false;
    const record = { ...volume.record(), originId: 0, sharedThrough: 0 };
    const change = { record, rootOf: 0, placeOf: 0 };
    await this.#changes.logVersions([change], { advancesEpoch: false, isDurable: true });
    // A ghost may have one child less.
    this.#volumes.reaper.wake();
    return true;
  }

  /** By walking what differs from others: may take long. */
  async measure(name: string): Promise<VersionSpace> {
    const changes = this.#changes;
    const blocks = await measureVersion(changes.parts, changes.either(name));
    return {
      ownBytes: blocks.ownBlocks * BLOCK_BYTES,
      sharedBytes: blocks.sharedBlocks * BLOCK_BYTES,
      wouldFreeBytes: blocks.wouldFreeBlocks * BLOCK_BYTES,
    };
  }

  /** Blocks of `b` from `from` on that differ from `a`; null: that it maps. */
  diff(a: string | null, b: string, from: number, sink: DiffSink): Promise<void> {
    const changes = this.#changes;
    const before = a === null ? null : changes.either(a);
    return diffVersions(changes.parts, before, changes.either(b), from, sink);
  }

  /** @throws PenstockError `not-an-ancestor` */
  #ownerOf(snapshot: VolumeState): VolumeState {
    const { catalogue } = this.#changes.parts;
    const owner = catalogue.byId(snapshot.ownerId);
    if (owner !== undefined && !owner.isDeleting) return owner;
    const volume = snapshot.name.slice(0, snapshot.name.indexOf("@"));
    throw new PenstockError({
      code: "not-an-ancestor",
      message:
        `the volume that ${snapshot.name} was taken of is deleted: clone the snapshot instead ` +
        `of rolling ${volume} back to it`,
      details: { snapshot: snapshot.name, volume },
    });
  }

  /** Those of the volume that it is a clone of, from the one it began with back to the first. */
  #inherited(volume: VolumeState): VolumeState[] {
    const first = foreignOrigin(volume);
    if (first === null) throw notAClone(volume);
    const found: VolumeState[] = [];
    for (let state: VolumeState | null = first; state !== null; state = state.origin) {
      if (state.isDeleting) continue;
      if (state.ownerId !== first.ownerId) break;
      found.push(state);
    }
    return found;
  }
}

/** It began with a snapshot that is not its own, deleted or not. */
function isClone({ id, origin }: VolumeState): boolean {
  for (let at = origin; at !== null; at = at.origin) if (at.ownerId !== id) return true;
  return false;
}

function notAClone({ name }: VolumeState): PenstockError {
  return new PenstockError({
    code: "not-a-clone",
    message: `volume ${name} did not begin with a snapshot of another volume`,
    details: { volume: name },
  });
}

function snapshotInfo(state: VolumeState): SnapshotInfo {
  const { name, uuid, sizeBytes, mappedBlocks, createdMs, takenEpoch, ownerId } = state;
  let clones = 0;
  for (const child of state.children) {
    const isOwn = child.kind === "volume" ? child.id === ownerId : child.ownerId === ownerId;
    if (!isOwn && !(child.kind === "volume" && child.isDeleting)) clones++;
  }
  return {
    name,
    uuid,
    volume: name.slice(0, name.indexOf("@")),
    sizeBytes,
    usedBytes: mappedBlocks * BLOCK_BYTES,
    createdMs,
    epoch: takenEpoch,
    clones,
    state: state.isDeleting ? "deleting" : "ready",
  };
}

function byAge(one: VolumeState, other: VolumeState): number {
  return one.takenEpoch - other.takenEpoch || one.id - other.id;
}
