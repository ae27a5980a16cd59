/**
 * Pool: the door. Creates, imports and exports pools of disks; makes, opens and deletes volumes.
 *
 *   create, import --> open --export, close, destroy--> closed (disks closed, memory given back)
 *
 * It owns its devices and everything between them and the volumes (`parts`). Control only: nothing
 * of a request's way goes through here. Changes run one after the other.
 */

import { AwaitedRequest } from "../block/awaited-request.ts";
import type { Device } from "../block/device.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Lane } from "../util/lane.ts";
import {
  keptScrub,
  type Scrub,
  type ScrubOptions,
  type ScrubProgress,
  startScrub,
} from "./check/scrub.ts";
import { PoolEvents } from "./pool-events.ts";
import type { PoolEnvironment } from "./pool-environment.ts";
import { BLOCK_BYTES, LABEL_AREA_BLOCKS, poolSizes } from "./pool-layout.ts";
import type {
  CloneOptions,
  CreatePoolOptions,
  CreateSnapshotOptions,
  CreateVolumeOptions,
  GrownDisk,
  ImportFindings,
  OpenVolumeOptions,
  PoolInfo,
  PoolOptions,
  SnapshotInfo,
  VersionSpace,
  VolumeInfo,
} from "./pool-info.ts";
import { PoolChanges } from "./pool-changes.ts";
import { PoolVersions } from "./pool-versions.ts";
import { PoolVolumes } from "./pool-volumes.ts";
import { addDisk, growDisks } from "./recovery/change-disks.ts";
import { formatPool } from "./recovery/format-pool.ts";
import { explainFailure, type FoundPool, findPool, importPool } from "./recovery/importer.ts";
import { checkCacheBytes, type PoolParts } from "./recovery/pool-parts.ts";
import { assembleForImport } from "./recovery/rebuild-space.ts";
import { DataPath } from "./volumes/data-path.ts";
import type { FlattenOptions, FlattenRun } from "./volumes/flatten-run.ts";
import type { DiffSink } from "./volumes/version-diff.ts";
import type { VolumeDevice } from "./volumes/volume-device.ts";

/** Of the pool: how far its scrub has come. */
const SCRUB_PROPERTY = "scrub";

export class Pool {
  readonly parts: PoolParts;
  /** What the import has found; of a new pool: nothing. */
  readonly findings: ImportFindings;
  readonly #path: DataPath;
  readonly #volumes: PoolVolumes;
  readonly #versions: PoolVersions;
  readonly #events: PoolEvents;
  readonly #lane = new Lane();
  /** Those under way. */
  readonly #flattens = new Map<FlattenRun, Promise<void>>();
  #scrub: Scrub | null = null;
  #isClosed = false;

  /**
   * Makes a pool of `devices`, which are open exclusively and belong to it from now on: it closes
   * them, also when this fails.
   * @throws PenstockError `disk-not-empty`, `disk-too-small`, `name-invalid`, `chunk-size-invalid`,
   *   `cache-size-invalid`
   */
  static async create(
    environment: PoolEnvironment,
    devices: readonly Device[],
    options: CreatePoolOptions,
  ): Promise<Pool> {
    try {
      checkCacheBytes(options.cacheBytes);
      const label = await formatPool(environment, devices, options);
      return await Pool.#open(
        environment,
        { label, devices, lacking: [], damagedCopies: 0 },
        options,
      );
    } catch (error) {
      await closeAll(devices);
      throw error;
    }
  }

  /**
   * As `create`, of a pool that is on the devices.
   * @throws PenstockError `not-a-pool`, `pool-incomplete`, `pool-newer`, `pool-in-use`,
   *   `label-damaged`, `log-damaged`, `pool-damaged`
   */
  static async import(
    environment: PoolEnvironment,
    devices: readonly Device[],
    options: PoolOptions = {},
  ): Promise<Pool> {
    try {
      checkCacheBytes(options.cacheBytes);
      const { engineUuid } = environment;
      const found = await findPool(devices, { force: options.force ?? false, engineUuid });
      const pool = await Pool.#open(environment, found, options);
      await closeAll(devices.filter((device) => !found.devices.includes(device)));
      return pool;
    } catch (error) {
      await closeAll(devices);
      throw error;
    }
  }

  static async #open(
    environment: PoolEnvironment,
    found: FoundPool,
    options: PoolOptions,
  ): Promise<Pool> {
    const { devices, lacking, damagedCopies } = found;
    const made = await assembleForImport(found.label, devices, environment, options);
    const { parts, label } = made;
    try {
      const how = { force: options.force ?? false, lacking, damagedCopies };
      return new Pool(parts, await importPool(parts, label, how));
    } catch (error) {
      await parts.checkpointer.idle();
      await closeAll(devices);
      releaseMemory(parts);
      throw explainFailure(parts, label, error);
    }
  }

  private constructor(parts: PoolParts, findings: ImportFindings) {
    this.parts = parts;
    this.findings = findings;
    this.#path = new DataPath(parts);
    const changes = new PoolChanges(parts);
    this.#volumes = new PoolVolumes(changes, this.#path);
    this.#versions = new PoolVersions(changes, this.#volumes);
    parts.faultListeners.push(() => {
      this.#path.writer.faulted();
      parts.cache.roomMayBeThere();
    });
    this.#events = new PoolEvents(parts);
    if (!parts.isReadOnly) this.#volumes.reaper.wake();
  }

  /** In the order of its disk table. It owns them. */
  get devices(): readonly Device[] {
    const { disks } = this.parts;
    return Array.from({ length: disks.count }, (_, index) => disks.at(index).device);
  }

  /** Its disks are closed, or being closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get info(): PoolInfo {
    const { checkpointer, disks, space, catalogue, checksum, isReadOnly, log } = this.parts;
    const { label } = checkpointer;
    const { all: logBytes, used: logUsedBytes } = log.bytes;
    const { capacityBytes } = poolSizes(label.disks.map(({ blocks }) => blocks));
    const usedBytes = space.dataBlocks * BLOCK_BYTES;
    const reservedBytes = catalogue.reservedBlocks * BLOCK_BYTES;
    return {
      name: label.name,
      uuid: label.poolUuid,
      ...this.#state(),
      readOnly: isReadOnly,
      capacityBytes,
      usedBytes,
      reservedBytes,
      committedBytes: catalogue.committedBytes,
      freeBytes: Math.max(capacityBytes - usedBytes - reservedBytes, 0),
      waitingBytes: space.waitingBlocks * BLOCK_BYTES,
      pageBytes: space.pageBlocks * BLOCK_BYTES,
      logBytes,
      logUsedBytes,
      checkpoints: checkpointer.completed,
      warnPercent: label.warnPercent,
      criticalPercent: label.criticalPercent,
      chunkBytes: label.chunkBlocks * BLOCK_BYTES,
      checksum: checksum.kind,
      disks: label.disks.map(({ uuid, blocks }, index) => ({
        uuid,
        name: disks.at(index).device.info.name,
        sizeBytes: blocks * BLOCK_BYTES,
        freeBytes: space.freeOf(index) * BLOCK_BYTES,
      })),
    };
  }

  /**
   * Durable when it settles.
   * @throws PenstockError `name-invalid`, `size-invalid`, `volume-exists`, `over-commit`,
   *   `no-space`, `properties-too-large`, `pool-faulted`, `pool-read-only`
   */
  createVolume(options: CreateVolumeOptions): Promise<VolumeInfo> {
    return this.#change(() => this.#volumes.create(options));
  }

  /** In the order of their names. */
  volumes(): readonly VolumeInfo[] {
    return this.#volumes.list();
  }

  volume(nameOrUuid: string): VolumeInfo | undefined {
    return this.#volumes.find(nameOrUuid);
  }

  /**
   * Larger at any time, smaller while it is not open. Whoever stands on an open one is told by the
   * caller (`followSize`).
   * @throws PenstockError `volume-not-found`, `volume-in-use`, `size-invalid`, `over-commit`,
   *   `no-space`
   */
  resizeVolume(name: string, sizeBytes: number): Promise<VolumeInfo> {
    return this.#change(() => this.#volumes.resize(name, sizeBytes));
  }

  /**
   * Gone from lists when it settles; its space follows. A snapshot's name is volume@name.
   * @throws PenstockError `volume-not-found`, `snapshot-not-found`, `volume-in-use`
   */
  deleteVolume(name: string): Promise<void> {
    return this.#change(() => this.#volumes.delete(name));
  }

  /**
   * Durable when it settles. Clients go on: their changes are wholly in it or not at all.
   * @param name the part behind the @
   * @throws PenstockError `volume-not-found`, `name-invalid`, `snapshot-exists`, `no-space` (of a
   *   thick volume: what it maps must be reserved once more), `properties-too-large`,
   *   `pool-faulted`, `pool-read-only`
   */
  createSnapshot(
    volume: string,
    name: string,
    options: CreateSnapshotOptions = {},
  ): Promise<SnapshotInfo> {
    return this.#change(() => this.#versions.create(volume, name, options));
  }

  /** In the order of their taking. @param volume only those with its name before the @ */
  snapshots(volume?: string): readonly SnapshotInfo[] {
    return this.#versions.list(volume);
  }

  /**
   * A thin volume that begins with the snapshot's content. Durable when it settles.
   * @throws PenstockError `snapshot-not-found`, and as `createVolume`
   */
  cloneSnapshot(snapshot: string, options: CloneOptions): Promise<VolumeInfo> {
    return this.#change(() => this.#versions.clone(snapshot, options));
  }

  /**
   * The snapshot's volume becomes what it was, content and size. Durable when it settles.
   * @throws PenstockError `snapshot-not-found`, `not-an-ancestor`, `volume-in-use`, `over-commit`,
   *   `no-space`
   */
  rollback(snapshot: string): Promise<VolumeInfo> {
    return this.#change(() => this.#versions.rollback(snapshot));
  }

  /**
   * The snapshots that a clone began with become its own.
   * @throws PenstockError `volume-not-found`, `not-a-clone`, `snapshot-exists`
   */
  promote(clone: string): Promise<VolumeInfo> {
    return this.#change(() => this.#versions.promote(clone));
  }

  /**
   * Writes anew what a clone has in common with its origin, beside all that clients do; then it
   * needs no other version any more. Its own snapshots stay what they are.
   * @throws PenstockError `volume-not-found`, `not-a-clone`, `aborted`, `media-error`, `no-space`,
   *   `pool-read-only`, `pool-faulted`
   */
  async flatten(volume: string, options: FlattenOptions = {}): Promise<void> {
    const { writer } = this.#path;
    let ended: Promise<void> = Promise.resolve();
    // It is known before anything else changes, so that closing ends it.
    await this.#change(() => {
      const run = this.#versions.flattening(volume, writer, options);
      ended = this.#flatten(run);
      ended.catch(() => undefined);
      this.#flattens.set(run, ended);
    });
    await ended;
  }

  /**
   * How much of a volume or snapshot is its alone. It walks what differs: beside other changes.
   * @throws PenstockError `volume-not-found`, `snapshot-not-found`
   */
  measure(name: string): Promise<VersionSpace> {
    return this.#versions.measure(name);
  }

  /**
   * Blocks of `b` from block `from` on that differ, or may differ, from those of `a`, of the same
   * family; null: all that `b` maps. Neither may be deleted meanwhile: open them.
   * @throws PenstockError `volume-not-found`, `snapshot-not-found`, `family-differs`, `media-error`
   */
  async diff(a: string | null, b: string, from: number, sink: DiffSink): Promise<void> {
    await this.#versions.diff(a, b, from, sink);
  }

  /**
   * @param name null: the pool's own
   * @throws PenstockError `volume-not-found`, `snapshot-not-found`
   */
  properties(name: string | null): ReadonlyMap<string, Uint8Array> {
    return this.#volumes.properties(name);
  }

  /**
   * Changes some of them, all at once and durably; null takes one away.
   * @throws PenstockError `volume-not-found`, `properties-too-large`
   */
  setProperties(
    name: string | null,
    changes: ReadonlyMap<string, Uint8Array | null>,
  ): Promise<void> {
    return this.#change(() => this.#volumes.setProperties(name, changes));
  }

  /**
   * One open device per volume; any number per snapshot, for reading. Whoever opens closes.
   * @throws PenstockError `volume-not-found`, `snapshot-not-found`, `volume-in-use`
   */
  openVolume(name: string, options: OpenVolumeOptions): Promise<VolumeDevice> {
    const resize = (sizeBytes: number): Promise<unknown> => this.resizeVolume(name, sizeBytes);
    return this.#change(() => this.#volumes.open(name, options, resize));
  }

  /**
   * One more disk, open exclusively, that belongs to the pool from now on: closed also when this
   * fails.
   * @throws PenstockError `disk-not-empty`, `disk-too-small`, `disk-in-pool`, `too-many-disks`
   */
  async addDisk(device: Device, { force = false }: { force?: boolean } = {}): Promise<void> {
    try {
      await this.#change(() => addDisk(this.parts, device, { force }));
    } catch (error) {
      await device.close();
      throw error;
    }
    this.#disksChanged();
  }

  /** Takes the sizes that the devices state by now. @returns those that are larger */
  async grow(): Promise<readonly GrownDisk[]> {
    const grown = await this.#change(() => growDisks(this.parts));
    this.#disksChanged();
    return grown;
  }

  /** Settles when the space of deleted volumes is free, or can never be. */
  deleted(): Promise<void> {
    return this.#volumes.reaper.idle();
  }

  /** Of a scrub that was stopped, in whichever session, before its end. */
  get keptScrub(): ScrubProgress | null {
    return keptScrub(this.parts, this.properties(null).get(SCRUB_PROPERTY));
  }

  /** One at a time. @throws AssertionError when one is under way */
  scrub(options: ScrubOptions = {}): Scrub {
    assert(this.#scrub === null, "one scrub of a pool at a time");
    const store = {
      load: () => this.properties(null).get(SCRUB_PROPERTY),
      save: (position: Uint8Array | null) =>
        this.setProperties(null, new Map([[SCRUB_PROPERTY, position]])),
    };
    const scrub = startScrub({ parts: this.parts, writer: this.#path.writer, store }, options);
    this.#scrub = scrub;
    const forget = (): void => {
      this.#scrub = null;
    };
    scrub.done.then(forget, forget);
    return scrub;
  }

  /**
   * All volumes are closed before. The pool is not used afterwards.
   * @throws PenstockError `volume-in-use`, `pool-faulted`: then it is open as before
   */
  async export(): Promise<void> {
    await this.#quiesce();
    await this.#change(() => this.parts.checkpointer.run("exported"));
    await this.#release();
  }

  /** As `export`; then nothing of it is on the disks any more. */
  async destroy(): Promise<void> {
    await this.#quiesce();
    await this.#change(async () => {
      await this.parts.checkpointer.run("destroyed");
      await this.#wipe();
    });
    await this.#release();
  }

  /** As `export`; when that fails, the disks are closed all the same, and say "in use". */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.#quiesce();
    try {
      if (!this.parts.isReadOnly) await this.parts.checkpointer.run("exported");
    } catch (_faulted) {
      // The next import replays the log: nothing that was acknowledged is lost.
    } finally {
      await this.#release();
    }
  }

  #change<T>(step: () => T | Promise<T>): Promise<T> {
    assert(!this.#isClosed, "a pool that is closed is not used");
    return this.#lane.run(step);
  }

  async #flatten(run: FlattenRun): Promise<void> {
    try {
      for (let isOver = false; !isOver; ) {
        const placements = await run.copyAll();
        isOver = await this.#change(() => this.#versions.leave(run, placements));
      }
    } finally {
      run.close();
      this.#flattens.delete(run);
    }
  }

  #state(): Pick<PoolInfo, "state" | "reason"> {
    const { disks } = this.parts;
    const { recordsDropped, logLost } = this.findings;
    if (disks.fault !== Status.ok) return { state: "faulted", reason: disks.faultReason };
    if (logLost !== null) return { state: "degraded", reason: "a part of its log was lost" };
    if (recordsDropped.length > 0) {
      const reason = "writes that were not flushed were lost with the power";
      return { state: "degraded", reason };
    }
    return { state: "online", reason: "" };
  }

  #disksChanged(): void {
    this.#path.disksChanged();
    this.#events.disksChanged();
  }

  /** Nothing of the pool's own runs any more. */
  async #quiesce(): Promise<void> {
    const { openCount, openName } = this.#volumes;
    if (openCount > 0) {
      throw new PenstockError({
        code: "volume-in-use",
        message: `volume ${openName} of pool ${this.parts.checkpointer.label.name} is open`,
        details: { volume: openName },
      });
    }
    // Whoever waits for a checkpoint on a full medium hears of it now.
    this.parts.checkpointer.isPatient = false;
    await this.#scrub?.stop();
    // One that has been asked for has begun afterwards.
    await this.#lane.run(() => undefined);
    for (const run of this.#flattens.keys()) run.stop();
    await Promise.allSettled(this.#flattens.values());
    await this.#lane.run(() => undefined);
    await this.#volumes.reaper.stop();
  }

  async #wipe(): Promise<void> {
    const { disks } = this.parts;
    const length = LABEL_AREA_BLOCKS * BLOCK_BYTES;
    for (let index = 0; index < disks.count; index++) {
      const { device, blocks } = disks.at(index);
      for (const offset of [0, blocks * BLOCK_BYTES - length]) {
        const what = { operation: Operation.writeZeroes, offset, length };
        await new AwaitedRequest().run(device, what);
      }
      await new AwaitedRequest().run(device, { operation: Operation.flush });
    }
  }

  async #release(): Promise<void> {
    assert(!this.#isClosed, "a pool is closed once");
    this.#isClosed = true;
    await this.parts.checkpointer.idle();
    this.#path.close();
    await this.parts.disks.close();
    releaseMemory(this.parts);
  }
}

/** Nothing is in flight any more. */
function releaseMemory(parts: PoolParts): void {
  parts.log.close();
  parts.cache.close();
}

/** Whatever becomes of it: there is another error to be reported. */
async function closeAll(devices: readonly Device[]): Promise<void> {
  await Promise.allSettled(devices.map((device) => device.close()));
}
