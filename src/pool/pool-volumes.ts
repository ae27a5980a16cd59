/**
 * PoolVolumes: makes, opens, resizes and deletes the volumes of a pool, and keeps properties.
 *
 * Control only: every change is a record of the log that is on stable media when its call settles.
 * The caller (Pool) runs changes one after the other.
 */

import { AwaitedRequest } from "../block/awaited-request.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import { PenstockError } from "../util/errors.ts";
import { emptyPointer } from "./pages/root-pointer.ts";
import { BLOCK_BYTES, poolSizes } from "./pool-layout.ts";
import type { CreateVolumeOptions, OpenVolumeOptions, VolumeInfo } from "./pool-info.ts";
import type { PoolParts } from "./recovery/pool-parts.ts";
import { mayCommit, roomBlocks } from "./space/space-policy.ts";
import { POOL_OBJECT, type VolumeState } from "./volumes/catalogue.ts";
import type { DataPath } from "./volumes/data-path.ts";
import {
  isVolumeName,
  isVolumeSize,
  OBJECT_ID_MAX,
  OBJECT_RECORD_WORDS,
  type ObjectRecord,
  VOLUME_NAME_BYTES_MAX,
  writeObjectRecord,
} from "./volumes/object-record.ts";
import { encodeProperties, type Properties } from "./volumes/properties-area.ts";
import { RecordCall } from "./volumes/record-call.ts";
import { VolumeDevice } from "./volumes/volume-device.ts";
import { VolumeReaper } from "./volumes/volume-reaper.ts";

/** Of a properties record before its bytes. */
const PROPERTIES_HEADER_WORDS = 3;

export class PoolVolumes {
  readonly reaper: VolumeReaper;
  readonly #parts: PoolParts;
  readonly #path: DataPath;
  /** By id. */
  readonly #open = new Map<number, VolumeDevice>();

  constructor(parts: PoolParts, path: DataPath) {
    this.#parts = parts;
    this.#path = path;
    this.reaper = new VolumeReaper(parts);
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Of one that is open, for the message. */
  get openName(): string {
    for (const device of this.#open.values()) return device.volume.name;
    return "";
  }

  list(): VolumeInfo[] {
    const infos: VolumeInfo[] = [];
    for (const state of this.#parts.catalogue.all()) {
      if (!state.isDeleting && state.kind === "volume") infos.push(infoOf(state));
    }
    return infos.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(nameOrUuid: string): VolumeInfo | undefined {
    return this.list().find(({ name, uuid }) => name === nameOrUuid || uuid === nameOrUuid);
  }

  /** Sizes of all volumes, bytes. */
  get committedBytes(): number {
    return this.list().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  async create(options: CreateVolumeOptions): Promise<VolumeInfo> {
    const { catalogue, environment } = this.#parts;
    const { name, sizeBytes, isThin = true, properties } = options;
    const uuid = (options.uuid ?? environment.makeUuid()).toLowerCase();
    this.#checkName(name);
    this.#checkNew(name, uuid);
    checkSize(sizeBytes);
    this.#checkSpace(sizeBytes, isThin ? 0 : Math.ceil(sizeBytes / BLOCK_BYTES));
    const area = properties === undefined ? null : this.#encode(properties);
    this.#checkWritable();
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
    await this.#logObject(record, area === null);
    if (area !== null) await this.#logProperties(id, area);
    return infoOf(this.#state(name));
  }

  /** Larger at any time; smaller while it is not open. */
  async resize(name: string, sizeBytes: number): Promise<VolumeInfo> {
    const state = this.#state(name);
    checkSize(sizeBytes);
    this.#checkWritable();
    const more = sizeBytes - state.sizeBytes;
    if (more === 0) return infoOf(state);
    const device = this.#open.get(state.id);
    if (more < 0) {
      if (device !== undefined) throw inUse(name);
      await this.#cut(state, sizeBytes);
    } else {
      const blocks = Math.ceil(sizeBytes / BLOCK_BYTES) - state.blocks;
      this.#checkSpace(more, state.isThin ? 0 : blocks);
    }
    await this.#logObject({ ...state.record(), sizeBytes }, true);
    device?.resized(sizeBytes);
    return infoOf(state);
  }

  /** Gone from lists when it settles; the reaper does the rest. */
  async delete(name: string): Promise<void> {
    const state = this.#state(name);
    if (this.#open.has(state.id)) throw inUse(name);
    this.#checkWritable();
    await this.#logObject({ ...state.record(), isDeleting: true }, true);
    this.reaper.wake();
  }

  properties(name: string | null): Properties {
    return this.#parts.catalogue.properties(name === null ? POOL_OBJECT : this.#state(name).id);
  }

  async setProperties(
    name: string | null,
    changes: ReadonlyMap<string, Uint8Array | null>,
  ): Promise<void> {
    const id = name === null ? POOL_OBJECT : this.#state(name).id;
    const properties = new Map(this.#parts.catalogue.properties(id));
    for (const [key, value] of changes) {
      if (value === null) properties.delete(key);
      else properties.set(key, value);
    }
    const area = this.#encode(properties);
    this.#checkWritable();
    await this.#logProperties(id, area);
  }

  /** @param resize of its device, in turn with other changes */
  open(
    name: string,
    { readOnly = false, stageName }: OpenVolumeOptions,
    resize: (sizeBytes: number) => Promise<unknown>,
  ): VolumeDevice {
    const state = this.#state(name);
    if (this.#open.has(state.id)) throw inUse(name);
    const device = new VolumeDevice(this.#path, state, {
      stageName,
      readOnly,
      onClosed: () => void this.#open.delete(state.id),
      resize,
    });
    this.#open.set(state.id, device);
    return device;
  }

  /** Everything beyond `sizeBytes` reads as zeroes, should the volume grow again. */
  async #cut(state: VolumeState, sizeBytes: number): Promise<void> {
    const resize = (): Promise<never> => Promise.reject(inUse(state.name));
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
      if (status !== Status.ok) throw this.#failed(status);
    } finally {
      await device.close();
    }
  }

  #state(name: string): VolumeState {
    const state = this.#parts.catalogue.byName(name);
    if (state !== undefined) return state;
    const pool = this.#parts.checkpointer.label.name;
    throw new PenstockError({
      code: "volume-not-found",
      message: `pool ${pool} has no volume ${name}`,
      details: { pool, name },
    });
  }

  #checkName(name: string): void {
    if (isVolumeName(name)) return;
    throw new PenstockError({
      code: "name-invalid",
      message:
        `${name} is no name of a volume: letters, digits and . _ : + - inside, ` +
        `${VOLUME_NAME_BYTES_MAX} bytes at most`,
      details: { name },
    });
  }

  #checkNew(name: string, uuid: string): void {
    const { catalogue, checkpointer } = this.#parts;
    const { label } = checkpointer;
    for (const state of catalogue.all()) {
      const isSame = state.uuid === uuid || (state.name === name && !state.isDeleting);
      if (!isSame) continue;
      throw new PenstockError({
        code: "volume-exists",
        message: `pool ${label.name} has a volume ${state.name} (${state.uuid}) already`,
        details: { name: state.name, uuid: state.uuid },
      });
    }
    if (catalogue.nextObjectId <= OBJECT_ID_MAX) return;
    throw new PenstockError({
      code: "no-space",
      message: `pool ${label.name} has had ${OBJECT_ID_MAX} volumes: it can have no more`,
    });
  }

  /** @param reserve blocks that a thick volume wants to be sure of */
  #checkSpace(moreBytes: number, reserve: number): void {
    const { checkpointer, space, catalogue } = this.#parts;
    const { label } = checkpointer;
    const sizes = poolSizes(label.disks.map(({ blocks }) => blocks));
    const { capacityBytes } = sizes;
    const committed = this.committedBytes;
    const percent = label.overCommitPercent;
    if (!mayCommit({ committed, more: moreBytes, capacity: capacityBytes, percent })) {
      throw new PenstockError({
        code: "over-commit",
        message:
          `volumes of pool ${label.name} would have ${committed + moreBytes} bytes in all: ` +
          `at most ${percent} % of its ${capacityBytes} bytes are allowed`,
        details: { committed, moreBytes, capacityBytes, percent },
      });
    }
    if (reserve === 0) return;
    const figures = {
      free: space.freeBlocks,
      taken: space.takenBlocks,
      waiting: space.waitingBlocks,
      reserved: catalogue.reservedBlocks,
      keptBack: sizes.keptBackBytes / BLOCK_BYTES,
      held: space.heldBlocks,
      pages: space.pageBlocks,
    };
    const left = figures.free - figures.taken - figures.reserved - roomBlocks(figures);
    if (reserve <= left) return;
    const [wantedBytes, leftBytes] = [reserve * BLOCK_BYTES, Math.max(left, 0) * BLOCK_BYTES];
    throw new PenstockError({
      code: "no-space",
      message: `pool ${label.name} cannot reserve ${wantedBytes} bytes: ${leftBytes} are free`,
      details: { wantedBytes, leftBytes },
    });
  }

  #checkWritable(): void {
    const { isReadOnly, checkpointer, disks } = this.#parts;
    if (isReadOnly) {
      const message = `pool ${checkpointer.label.name} is open for reading only`;
      throw new PenstockError({ code: "pool-read-only", message });
    }
    if (disks.fault !== Status.ok) throw this.#failed(disks.fault);
  }

  #encode(properties: Properties): Uint8Array {
    const area = encodeProperties(properties);
    const { recordWordsMax } = this.#parts.log;
    const bytesMax = (recordWordsMax - PROPERTIES_HEADER_WORDS) * 4;
    if (area.length <= bytesMax) return area;
    throw new PenstockError({
      code: "properties-too-large",
      message: `all properties have ${area.length} bytes, a frame of this log ${bytesMax}`,
    });
  }

  async #logObject(record: ObjectRecord, isDurable: boolean): Promise<void> {
    const words = new Uint32Array(OBJECT_RECORD_WORDS);
    writeObjectRecord(record, words, 0);
    const call = new RecordCall(
      this.#parts,
      {
        log: (log, entry) => log.object(entry, words, 0),
        apply: (sink) => sink.object(words, 0),
      },
      isDurable,
    );
    const status = await call.run();
    if (status !== Status.ok) throw this.#failed(status);
  }

  async #logProperties(id: number, area: Uint8Array): Promise<void> {
    const call = new RecordCall(
      this.#parts,
      {
        log: (log, entry) => log.properties(entry, id, area),
        apply: (sink) => sink.properties(id, area),
      },
      true,
    );
    const status = await call.run();
    if (status !== Status.ok) throw this.#failed(status);
  }

  #failed(status: Status): PenstockError {
    const { checkpointer, disks } = this.#parts;
    const { label } = checkpointer;
    const reason = disks.faultReason || statusName(status);
    return new PenstockError({
      code: disks.fault === Status.ok ? statusName(status) : "pool-faulted",
      message: `pool ${label.name} cannot be changed: ${reason}`,
      details: { pool: label.name },
    });
  }
}

function infoOf(state: VolumeState): VolumeInfo {
  const { name, uuid, sizeBytes, isThin, createdMs, mappedBlocks } = state;
  const usedBytes = mappedBlocks * BLOCK_BYTES;
  const phase = state.isDeleting ? "deleting" : "ready";
  return { name, uuid, sizeBytes, isThin, usedBytes, createdMs, state: phase };
}

function checkSize(sizeBytes: number): void {
  if (isVolumeSize(sizeBytes)) return;
  throw new PenstockError({
    code: "size-invalid",
    message: `${sizeBytes} bytes: a volume has a multiple of 512, from 512 bytes to 16 TiB`,
    details: { sizeBytes },
  });
}

function inUse(name: string): PenstockError {
  return new PenstockError({
    code: "volume-in-use",
    message: `volume ${name} is open: close what uses it first`,
    details: { name },
  });
}
