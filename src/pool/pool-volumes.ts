/**
 * PoolVolumes: makes, opens, resizes and deletes the volumes of a pool, and keeps properties.
 *
 * Control only: every change is a record of the log that is on stable media when its call settles.
 * The caller (Pool) runs changes one after the other.
 */

import { AwaitedRequest } from "../block/awaited-request.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import { emptyPointer } from "./pages/root-pointer.ts";
import { inUse, keepsAll, type PoolChanges } from "./pool-changes.ts";
import type { CreateVolumeOptions, OpenVolumeOptions, VolumeInfo } from "./pool-info.ts";
import { BLOCK_BYTES } from "./pool-layout.ts";
import type { PoolParts } from "./recovery/pool-parts.ts";
import { type Catalogue, POOL_OBJECT, type VolumeState } from "./volumes/catalogue.ts";
import type { DataPath } from "./volumes/data-path.ts";
import type { ObjectRecord } from "./volumes/object-record.ts";
import type { Properties } from "./volumes/properties-area.ts";
import { VolumeDevice } from "./volumes/volume-device.ts";
import { VolumeHold } from "./volumes/volume-hold.ts";
import { VolumeReaper } from "./volumes/volume-reaper.ts";

export class PoolVolumes {
  readonly reaper: VolumeReaper;
  readonly #parts: PoolParts;
  readonly #path: DataPath;
  readonly #changes: PoolChanges;
  /** By id. A volume has one; whoever reads a snapshot has one. */
  readonly #open = new Map<number, Set<VolumeDevice>>();

  constructor(changes: PoolChanges, path: DataPath) {
    this.#changes = changes;
    this.#parts = changes.parts;
    this.#path = path;
    this.reaper = new VolumeReaper(changes.parts);
  }

  /** Volumes and snapshots that are open. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Of one that is open, for the message. */
  get openName(): string {
    for (const devices of this.#open.values()) {
      for (const { volume } of devices) return volume.name;
    }
    return "";
  }

  /** @throws PenstockError `volume-in-use` */
  checkClosed(state: VolumeState): void {
    if (this.#open.has(state.id)) throw inUse(state);
  }

  list(): VolumeInfo[] {
    const { catalogue } = this.#parts;
    const infos: VolumeInfo[] = [];
    for (const state of catalogue.all()) {
      if (!state.isDeleting && state.kind === "volume") infos.push(volumeInfo(catalogue, state));
    }
    return infos.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(nameOrUuid: string): VolumeInfo | undefined {
    const { catalogue } = this.#parts;
    const found = catalogue.byName(nameOrUuid) ?? catalogue.byUuid(nameOrUuid);
    return found?.kind === "volume" ? volumeInfo(catalogue, found) : undefined;
  }

  async create(options: CreateVolumeOptions): Promise<VolumeInfo> {
    const { catalogue, environment } = this.#parts;
    const { name, sizeBytes, isThin = true, properties } = options;
    const uuid = (options.uuid ?? environment.makeUuid()).toLowerCase();
    const changes = this.#changes;
    changes.checkVolumeName(name);
    changes.checkNew(name, uuid);
    changes.checkSize(sizeBytes);
    changes.checkSpace(sizeBytes, isThin ? 0 : Math.ceil(sizeBytes / BLOCK_BYTES));
    const area = properties === undefined ? null : changes.encode(properties);
    changes.checkWritable();
    const id = catalogue.nextObjectId++;
    const record: ObjectRecord = {
      kind: "volume",
      id,
      uuid,
      name,
      sizeBytes,
      isThin,
      isDeleting: false,
      createdMs: environment.nowMs(),
      mappedBlocks: 0,
      root: emptyPointer(),
      propertiesBytes: 0,
      propertiesCrc: 0,
      originId: 0,
      sharedThrough: 0,
      takenEpoch: 0,
      cursor: 0,
      family: id,
      ownerId: 0,
      sharedBlocks: 0,
    };
    await changes.logObject(record, area === null);
    if (area !== null) await changes.logProperties(id, area);
    return volumeInfo(catalogue, changes.volume(name));
  }

  /** Larger at any time; smaller while it is not open. */
  async resize(name: string, sizeBytes: number): Promise<VolumeInfo> {
    const changes = this.#changes;
    const state = changes.volume(name);
    changes.checkSize(sizeBytes);
    changes.checkWritable();
    const { catalogue } = this.#parts;
    const more = sizeBytes - state.sizeBytes;
    if (more === 0) return volumeInfo(catalogue, state);
    if (more < 0) {
      this.checkClosed(state);
      await this.#cut(state, sizeBytes);
    } else {
      const blocks = Math.ceil(sizeBytes / BLOCK_BYTES) - state.blocks;
      changes.checkSpace(more, state.isThin ? 0 : blocks);
    }
    await changes.logObject({ ...state.record(), sizeBytes }, true);
    for (const device of this.#open.get(state.id) ?? []) device.resized(sizeBytes);
    return volumeInfo(catalogue, state);
  }

  /** Gone from lists when it settles; the reaper does the rest. A snapshot as well. */
  async delete(name: string): Promise<void> {
    const changes = this.#changes;
    const state = changes.either(name);
    this.checkClosed(state);
    changes.checkWritable();
    const record = { ...state.record(), isDeleting: true };
    // A heal under way ends before: nothing lands in a tree that is being taken apart.
    if (state.kind === "volume") await changes.logObject(record, true, new VolumeHold(state));
    else await changes.logVersions([keepsAll(record)], { advancesEpoch: false, isDurable: true });
    this.reaper.wake();
  }

  properties(name: string | null): Properties {
    return this.#parts.catalogue.properties(this.#idOf(name));
  }

  async setProperties(
    name: string | null,
    more: ReadonlyMap<string, Uint8Array | null>,
  ): Promise<void> {
    const changes = this.#changes;
    const id = this.#idOf(name);
    const properties = new Map(this.#parts.catalogue.properties(id));
    for (const [key, value] of more) {
      if (value === null) properties.delete(key);
      else properties.set(key, value);
    }
    const area = changes.encode(properties);
    changes.checkWritable();
    await changes.logProperties(id, area);
  }

  /** A snapshot can only be read. @param resize of its device, in turn with other changes */
  open(
    name: string,
    { readOnly = false, stageName }: OpenVolumeOptions,
    resize: (sizeBytes: number) => Promise<unknown>,
  ): VolumeDevice {
    const state = this.#changes.either(name);
    const isSnapshot = state.kind === "snapshot";
    if (!isSnapshot) this.checkClosed(state);
    const devices = this.#open.get(state.id) ?? new Set();
    const device = new VolumeDevice(this.#path, state, {
      stageName,
      readOnly: readOnly || isSnapshot,
      onClosed: () => {
        devices.delete(device);
        if (devices.size === 0) this.#open.delete(state.id);
      },
      resize,
    });
    devices.add(device);
    this.#open.set(state.id, devices);
    return device;
  }

  /** Everything beyond `sizeBytes` reads as zeroes, should the volume grow again. */
  async #cut(state: VolumeState, sizeBytes: number): Promise<void> {
    const resize = (): Promise<never> => Promise.reject(inUse(state));
    const device = this.open(state.name, { stageName: state.name }, resize);
    try {
      const what = {
        operation: Operation.discard,
        offset: sizeBytes,
        length: state.sizeBytes - sizeBytes,
        // Durable before the size is: the log's tail may keep that and lose what is written here.
        flags: RequestFlag.fua,
      };
      const status = await new AwaitedRequest().run(device, what);
      if (status !== Status.ok) throw this.#changes.failed(status);
    } finally {
      await device.close();
    }
  }

  #idOf(name: string | null): number {
    return name === null ? POOL_OBJECT : this.#changes.either(name).id;
  }
}

export function volumeInfo(catalogue: Catalogue, state: VolumeState): VolumeInfo {
  const { id, name, uuid, sizeBytes, isThin, createdMs, mappedBlocks } = state;
  return {
    name,
    uuid,
    sizeBytes,
    isThin,
    usedBytes: mappedBlocks * BLOCK_BYTES,
    createdMs,
    state: state.isDeleting ? "deleting" : "ready",
    origin: foreignOrigin(state)?.name ?? "",
    snapshots: catalogue.snapshotsOf(id).size,
  };
}

/** The snapshot of another volume that a clone began with; null: it is none. */
export function foreignOrigin({ id, origin }: VolumeState): VolumeState | null {
  let found = origin;
  while (found !== null && (found.isDeleting || found.ownerId === id)) found = found.origin;
  return found;
}
