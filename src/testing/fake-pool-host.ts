/**
 * FakePoolHost: pools that keep their volumes in memory, for tests of what an engine does with
 * pools. Disks are texts; what is on each survives the host, as on real ones.
 */

import type {
  GrownPool,
  NewPoolOptions,
  PoolEnd,
  PoolListing,
  PoolOpening,
} from "../pipe/pool-protocol.ts";
import type { ProbedDisk } from "../pipe/pool-protocol.ts";
import type { CreateVolumeOptions, VolumeInfo } from "../pool/pool-info.ts";
import { PenstockError } from "../util/errors.ts";
import { uuidOfName } from "../util/uuid.ts";

interface FakePool {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly string[];
  readonly volumes: Map<string, VolumeInfo>;
  /** How many there are. */
  snapshots?: number;
}

const CAPACITY_BYTES = 96 * 2 ** 20;
const CHUNK_BYTES = 2 ** 20;

export class FakePoolHost {
  /** What is on each disk. */
  readonly media: Map<string, FakePool>;
  readonly open = new Map<string, FakePool>();
  /** What was called, in order. */
  readonly calls: string[] = [];
  /** A pool whose end fails is open as before. */
  staysOpen = false;
  /** Of all pools. */
  state: PoolListing["info"]["state"] = "online";
  /** Pools are asked in vain. */
  hangs = false;
  /** What the next call of a method ends with. */
  readonly failures = new Map<string, PenstockError>();

  constructor(media: Map<string, FakePool> = new Map()) {
    this.media = media;
  }

  async create(opening: PoolOpening, _options: NewPoolOptions): Promise<PoolListing> {
    this.#called("create", opening.name);
    const { name, disks } = opening;
    if (disks.some((disk) => this.media.has(disk)) && !opening.force) {
      throw new PenstockError({ code: "disk-not-empty", message: "scripted" });
    }
    const uuid = uuidOfName(`${name}:${opening.instanceSeed}`);
    const pool = { name, uuid, disks, volumes: new Map() };
    for (const disk of disks) this.media.set(disk, pool);
    return this.#opened(pool);
  }

  async import(opening: PoolOpening, uuid: string): Promise<PoolListing> {
    this.#called("import", opening.name);
    const pool = this.media.get(opening.disks[0] ?? "");
    if (pool === undefined) throw new PenstockError({ code: "not-a-pool", message: "scripted" });
    if (uuid !== "" && pool.uuid !== uuid) {
      throw new PenstockError({ code: "pool-changed", message: "scripted" });
    }
    return this.#opened(pool);
  }

  async addDisk({ name, disks: [disk = ""] }: PoolOpening): Promise<PoolListing> {
    this.#called("addDisk", `${name} ${disk}`);
    const pool = this.#pool(name);
    const larger = { ...pool, disks: [...pool.disks, disk] };
    for (const each of larger.disks) this.media.set(each, larger);
    return this.#opened(larger);
  }

  async grow(name: string, disk: string | null): Promise<GrownPool> {
    this.#called("grow", `${name} ${disk ?? "all"}`);
    const sizes = { beforeBytes: CAPACITY_BYTES, sizeBytes: 2 * CAPACITY_BYTES };
    const grown = disk === null ? [] : [{ name: disk, ...sizes }];
    return { listing: listingOf(this.#pool(name)), grown };
  }

  async probe({ disks }: PoolOpening): Promise<readonly ProbedDisk[]> {
    return disks.map((name) => {
      const pool = this.media.get(name);
      const kind = pool === undefined ? "empty" : "pool";
      return { name, sizeBytes: CAPACITY_BYTES, kind, text: pool?.name ?? "", pool: pool ?? null };
    });
  }

  async describe(name: string): Promise<PoolListing> {
    if (this.hangs) return await new Promise(() => undefined);
    const listing = listingOf(this.#pool(name));
    return { ...listing, info: { ...listing.info, state: this.state } };
  }

  async createVolume(name: string, options: CreateVolumeOptions): Promise<VolumeInfo> {
    this.#called("createVolume", `${name}/${options.name}`);
    const { volumes } = this.#pool(name);
    if (volumes.has(options.name)) {
      throw new PenstockError({ code: "volume-exists", message: "scripted" });
    }
    const volume: VolumeInfo = {
      name: options.name,
      uuid: options.uuid ?? uuidOfName(options.name),
      sizeBytes: options.sizeBytes,
      isThin: options.isThin ?? true,
      usedBytes: 0,
      createdMs: 1,
      state: "ready",
      origin: "",
      snapshots: 0,
    };
    volumes.set(options.name, volume);
    return volume;
  }

  async resizeVolume(name: string, volume: string, sizeBytes: number): Promise<VolumeInfo> {
    this.#called("resizeVolume", `${name}/${volume}`);
    const { volumes } = this.#pool(name);
    const resized = { ...(volumes.get(volume) as VolumeInfo), sizeBytes };
    volumes.set(volume, resized);
    return resized;
  }

  async deleteVolume(name: string, volume: string): Promise<void> {
    this.#called("deleteVolume", `${name}/${volume}`);
    this.#pool(name).volumes.delete(volume);
  }

  async end(name: string, how: PoolEnd): Promise<void> {
    const pool = this.#pool(name);
    if (!this.staysOpen) this.open.delete(name);
    this.#called("end", `${name} ${how}`);
    this.open.delete(name);
    if (how !== "destroy") return;
    for (const disk of pool.disks) this.media.delete(disk);
  }

  #opened(pool: FakePool): PoolListing {
    this.open.set(pool.name, pool);
    return listingOf(pool);
  }

  #pool(name: string): FakePool {
    const pool = this.open.get(name);
    if (pool === undefined) {
      throw new PenstockError({ code: "pool-not-found", message: "not open: scripted" });
    }
    return pool;
  }

  #called(method: string, what: string): void {
    this.calls.push(`${method} ${what}`);
    const failure = this.failures.get(method);
    this.failures.delete(method);
    if (failure !== undefined) throw failure;
  }
}

function listingOf({ name, uuid, disks, volumes, snapshots = 0 }: FakePool): PoolListing {
  const all = [...volumes.values()];
  const sizes = { reservedBytes: 0, waitingBytes: 0, pageBytes: 0, usedBytes: 0 };
  const log = { logBytes: 0, logUsedBytes: 0, checkpoints: 0 };
  return {
    info: {
      ...sizes,
      ...log,
      warnPercent: 80,
      criticalPercent: 95,
      name,
      uuid,
      state: "online",
      reason: "",
      readOnly: false,
      capacityBytes: CAPACITY_BYTES,
      committedBytes: all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      freeBytes: CAPACITY_BYTES,
      chunkBytes: CHUNK_BYTES,
      checksum: "xxh64",
      disks: disks.map((disk) => ({
        uuid: uuidOfName(disk),
        name: `file://${disk}`,
        sizeBytes: CAPACITY_BYTES,
        freeBytes: CAPACITY_BYTES,
      })),
    },
    volumes: all,
    scrub: null,
    versions: {
      ...{ snapshots, deleting: 0, sends: 0, receives: 0, flattens: 0 },
      ...{ sentBytes: 0, receivedBytes: 0 },
    },
  };
}
