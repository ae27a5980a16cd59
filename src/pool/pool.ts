/**
 * Pool: the door. Creates, imports and exports pools of disks; makes, opens and deletes volumes.
 *
 * It owns its devices and everything between them and the volumes (`parts`). Control only: nothing
 * of a request's way goes through here. Its calls run one after the other.
 */

import type { Device } from "../block/device.ts";
import { assert } from "../util/assert.ts";
import type { Scrub, ScrubOptions } from "./check/scrub.ts";
import type { PoolEnvironment } from "./pool-environment.ts";
import type {
  CreatePoolOptions,
  CreateVolumeOptions,
  ImportFindings,
  OpenVolumeOptions,
  PoolInfo,
  PoolOptions,
  VolumeInfo,
} from "./pool-info.ts";
import type { PoolParts } from "./recovery/pool-parts.ts";
import type { VolumeDevice } from "./volumes/volume-device.ts";

export class Pool {
  readonly parts: PoolParts;
  /** What the import has found; of a new pool: nothing. */
  readonly findings: ImportFindings;

  /**
   * Makes a pool of `devices`, which are open exclusively and belong to it from now on: it closes
   * them, also when this fails.
   * @throws PenstockError `disk-not-empty`, `disk-too-small`, `name-invalid`, `chunk-size-invalid`
   */
  static create(
    _environment: PoolEnvironment,
    _devices: readonly Device[],
    _options: CreatePoolOptions,
  ): Promise<Pool> {
    assert(false, "not written yet");
  }

  /**
   * As `create`, of a pool that is on the devices.
   * @throws PenstockError `not-a-pool`, `pool-incomplete`, `pool-newer`, `pool-in-use`,
   *   `label-damaged`, `log-damaged`
   */
  static import(
    _environment: PoolEnvironment,
    _devices: readonly Device[],
    _options: PoolOptions = {},
  ): Promise<Pool> {
    assert(false, "not written yet");
  }

  private constructor(parts: PoolParts, findings: ImportFindings) {
    this.parts = parts;
    this.findings = findings;
  }

  get info(): PoolInfo {
    assert(false, "not written yet");
  }

  /**
   * Durable when it settles.
   * @throws PenstockError `name-invalid`, `size-invalid`, `volume-exists`, `over-commit`,
   *   `no-space`, `properties-too-large`, `pool-faulted`, `pool-read-only`
   */
  createVolume(_options: CreateVolumeOptions): Promise<VolumeInfo> {
    assert(false, "not written yet");
  }

  volumes(): readonly VolumeInfo[] {
    assert(false, "not written yet");
  }

  volume(_nameOrUuid: string): VolumeInfo | undefined {
    assert(false, "not written yet");
  }

  /** @throws PenstockError `volume-not-found`, `size-invalid`, `over-commit`, `no-space` */
  resizeVolume(_name: string, _sizeBytes: number): Promise<VolumeInfo> {
    assert(false, "not written yet");
  }

  /**
   * Gone from lists when it settles; its space follows.
   * @throws PenstockError `volume-not-found`, `volume-in-use`
   */
  deleteVolume(_name: string): Promise<void> {
    assert(false, "not written yet");
  }

  /**
   * @param name null: the pool's own
   * @throws PenstockError `volume-not-found`
   */
  properties(_name: string | null): ReadonlyMap<string, Uint8Array> {
    assert(false, "not written yet");
  }

  /**
   * Changes some of them, all at once and durably; null takes one away.
   * @throws PenstockError `volume-not-found`, `properties-too-large`
   */
  setProperties(
    _name: string | null,
    _changes: ReadonlyMap<string, Uint8Array | null>,
  ): Promise<void> {
    assert(false, "not written yet");
  }

  /**
   * One open device per volume; whoever opens closes.
   * @throws PenstockError `volume-not-found`, `volume-in-use`
   */
  openVolume(_name: string, _options: OpenVolumeOptions): Promise<VolumeDevice> {
    assert(false, "not written yet");
  }

  /** The device belongs to the pool from now on, also when this fails. */
  addDisk(_device: Device, _options: { force?: boolean } = {}): Promise<void> {
    assert(false, "not written yet");
  }

  /** Takes the sizes that the devices have by now. */
  grow(): Promise<void> {
    assert(false, "not written yet");
  }

  /** All volumes are closed before. The pool is not used afterwards. */
  export(): Promise<void> {
    assert(false, "not written yet");
  }

  /** Volumes are closed before; the disks are nobody's afterwards. */
  destroy(): Promise<void> {
    assert(false, "not written yet");
  }

  /** As `export`; when that fails, the disks are closed all the same. */
  close(): Promise<void> {
    assert(false, "not written yet");
  }

  scrub(_options: ScrubOptions = {}): Scrub {
    assert(false, "not written yet");
  }
}
