/**
 * StandInPool: as much of a pool as the simulator's scenario uses, the dumb way, to try the
 * scenario itself: each volume is a file of its own, and what a pool knows is in the test's memory,
 * which no crash reaches. It can be made to break a rule.
 */

import { AwaitedRequest } from "../../block/awaited-request.ts";
import type { Device } from "../../block/device.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status, statusName } from "../../block/status.ts";
import { FileDevice } from "../../devices/file.ts";
import type { PoolEnvironment } from "../../pool/pool-environment.ts";
import type { CreateVolumeOptions, GrownDisk, PoolInfo, VolumeInfo } from "../../pool/pool-info.ts";
import type { PoolDoor, StagedPool } from "./pool-door.ts";
import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";

/** Rules that it can break. */
export type StandInFlaw =
  | "none"
  /** A new volume has the file of one that was deleted. */
  | "old-bytes"
  /** A property that was acknowledged is gone with the process. */
  | "forgets-properties"
  /** What a shrink cut off is there again. */
  | "shrink-keeps"
  /** A volume that was deleted comes back. */
  | "undeletes"
  /** Its accounts are wrong. */
  | "miscounts";

interface Kept {
  readonly uuid: string;
  readonly isThin: boolean;
  readonly path: string;
  readonly createdMs: number;
  sizeBytes: number;
  properties: Map<string, Uint8Array>;
}

/** What outlives all processes. */
interface Medium {
  readonly flaw: StandInFlaw;
  readonly volumes: Map<string, Kept>;
  readonly deleted: Map<string, Kept>;
  properties: Map<string, Uint8Array>;
  disks: number;
}

const FILE_BYTES = 8 * 1024 * 1024;
const CAPACITY_BYTES = 29 * 1024 * 1024;

/** A door to stand-ins of one run. */
export function standInDoor(flaw: StandInFlaw): PoolDoor {
  const medium: Medium = {
    flaw,
    volumes: new Map(),
    deleted: new Map(),
    properties: new Map(),
    disks: 0,
  };
  return {
    create: async (environment, devices) => {
      medium.disks = devices.length;
      return new StandInPool(environment, devices, medium);
    },
    import: async (environment, devices) => {
      if (devices.length < medium.disks) {
        await Promise.all(devices.map((device) => device.close()));
        throw new PenstockError({ code: "pool-incomplete", message: "a disk is missing" });
      }
      if (flaw === "forgets-properties") {
        for (const volume of medium.volumes.values()) volume.properties = new Map();
      }
      if (flaw === "undeletes") {
        for (const [name, volume] of medium.deleted) {
          if (!medium.volumes.has(name)) medium.volumes.set(name, volume);
        }
      }
      return new StandInPool(environment, devices, medium);
    },
    walk: () => Promise.resolve(flaw === "miscounts" ? ["one block too many"] : []),
    scrub: () => Promise.resolve(0),
    checkpoint: () => undefined,
  };
}

class StandInPool implements StagedPool {
  readonly findings = {
    wasClean: true,
    framesReplayed: 0,
    recordsDropped: [],
    copiesRepaired: 0,
    logLost: null,
    tookMs: 0,
  };
  readonly #environment: PoolEnvironment;
  readonly #devices: Device[];
  readonly #medium: Medium;
  readonly #open = new Map<string, Device>();
  #isFaulted = false;
  #sizes: number[] = [];

  constructor(environment: PoolEnvironment, devices: readonly Device[], medium: Medium) {
    this.#environment = environment;
    this.#devices = [...devices];
    this.#takeSizes();
    this.#medium = medium;
  }

  get info(): PoolInfo {
    return {
      name: "stand-in",
      uuid: "",
      state: this.#isFaulted ? "faulted" : "online",
      reason: "",
      readOnly: false,
      capacityBytes: CAPACITY_BYTES,
      usedBytes: 0,
      reservedBytes: 0,
      committedBytes: 0,
      freeBytes: 0,
      waitingBytes: 0,
      pageBytes: 0,
      logBytes: 0,
      logUsedBytes: 0,
      checkpoints: 0,
      warnPercent: 0,
      criticalPercent: 0,
      chunkBytes: 0,
      checksum: "none",
      disks: this.#devices.map(({ info }, index) => {
        const sizeBytes = this.#sizes[index] ?? info.sizeBytes;
        return { uuid: info.name, name: info.name, sizeBytes, freeBytes: 0 };
      }),
    };
  }

  async createVolume(options: CreateVolumeOptions): Promise<VolumeInfo> {
    const { name, uuid = "", sizeBytes, isThin = true } = options;
    assert(!this.#medium.volumes.has(name), "a name is given once");
    await this.#delay();
    const isOld = this.#medium.flaw === "old-bytes";
    const path = isOld ? `/${name}.vol` : `/${uuid}.vol`;
    const createdMs = this.#environment.nowMs();
    const kept: Kept = { uuid, isThin, path, createdMs, sizeBytes, properties: new Map() };
    this.#medium.volumes.set(name, kept);
    return this.#infoOf(name, kept);
  }

  volumes(): readonly VolumeInfo[] {
    return [...this.#medium.volumes].map(([name, kept]) => this.#infoOf(name, kept));
  }

  async resizeVolume(name: string, sizeBytes: number): Promise<VolumeInfo> {
    const kept = this.#kept(name);
    const before = kept.sizeBytes;
    if (sizeBytes < before && this.#medium.flaw !== "shrink-keeps") {
      assert(!this.#open.has(name), "a closed volume is cut");
      const device = await this.openVolume(name);
      const what = { operation: Operation.writeZeroes, flags: RequestFlag.fua };
      const range = { offset: sizeBytes, length: before - sizeBytes };
      const status = await new AwaitedRequest().run(device, { ...what, ...range });
      await device.close();
      this.#demand(status);
    }
    await this.#delay();
    kept.sizeBytes = sizeBytes;
    const device = this.#open.get(name);
    if (device !== undefined) device.info = { ...device.info, sizeBytes };
    return this.#infoOf(name, kept);
  }

  async deleteVolume(name: string): Promise<void> {
    const kept = this.#kept(name);
    assert(!this.#open.has(name), "a closed volume is deleted");
    await this.#delay();
    this.#medium.volumes.delete(name);
    this.#medium.deleted.set(name, kept);
  }

  properties(name: string | null): ReadonlyMap<string, Uint8Array> {
    return name === null ? this.#medium.properties : this.#kept(name).properties;
  }

  async setProperties(
    name: string | null,
    changes: ReadonlyMap<string, Uint8Array | null>,
  ): Promise<void> {
    await this.#delay();
    const next = new Map(this.properties(name));
    for (const [key, value] of changes) {
      if (value === null) next.delete(key);
      else next.set(key, value);
    }
    if (name === null) this.#medium.properties = next;
    else this.#kept(name).properties = next;
  }

  async openVolume(name: string): Promise<Device> {
    const { path, sizeBytes } = this.#kept(name);
    const { reactor } = this.#environment;
    const device = await FileDevice.open(reactor, { path, sizeBytes: FILE_BYTES });
    device.info = { ...device.info, sizeBytes };
    this.#open.set(name, device);
    const close = device.close.bind(device);
    device.close = async () => {
      await close();
      this.#open.delete(name);
    };
    return device;
  }

  async addDisk(device: Device): Promise<void> {
    await this.#delay();
    this.#devices.push(device);
    this.#medium.disks = this.#devices.length;
  }

  async grow(): Promise<readonly GrownDisk[]> {
    await this.#delay();
    this.#takeSizes();
    return [];
  }

  export(): Promise<void> {
    return this.close();
  }

  async close(): Promise<void> {
    assert(this.#open.size === 0, "volumes are closed before");
    await Promise.all(this.#devices.map((device) => device.close()));
  }

  #takeSizes(): void {
    this.#sizes = this.#devices.map(({ info }) => info.sizeBytes);
  }

  /** Some device's time: so calls are under way when something happens. */
  async #delay(): Promise<void> {
    const [device] = this.#devices;
    assert(device !== undefined, "a pool has a disk");
    this.#demand(await new AwaitedRequest().run(device, { operation: Operation.flush }));
  }

  #demand(status: Status): void {
    if (status === Status.ok) return;
    this.#isFaulted = true;
    throw new PenstockError({ code: "pool-faulted", message: statusName(status) });
  }

  #kept(name: string): Kept {
    const kept = this.#medium.volumes.get(name);
    if (kept !== undefined) return kept;
    throw new PenstockError({ code: "volume-not-found", message: `no volume ${name}` });
  }

  #infoOf(name: string, kept: Kept): VolumeInfo {
    const { uuid, sizeBytes, isThin, createdMs } = kept;
    const versions = { origin: "", snapshots: 0 };
    return { name, uuid, sizeBytes, isThin, createdMs, usedBytes: 0, state: "ready", ...versions };
  }
}
