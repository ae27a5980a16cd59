/**
 * Pools: the pools that live on one reactor, by name. Opens their disks, hands them to the pool,
 * finds pools for the stages that are their volumes. Owns them until they are closed.
 *
 * A pool's name is taken as soon as its opening begins, and free when it has closed.
 */

import type { Device } from "../block/device.ts";
import type { Scrub, ScrubProgress } from "../pool/check/scrub.ts";
import { probeDisk } from "../pool/disks/probe-disk.ts";
import { Pool } from "../pool/pool.ts";
import type { PoolEnvironment, PoolEvent } from "../pool/pool-environment.ts";
import type { CreateVolumeOptions, PoolInfo, VolumeInfo } from "../pool/pool-info.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { FirstFailure } from "../util/first-failure.ts";
import { uuidOfName } from "../util/uuid.ts";
import { planDisk } from "./disk-plan.ts";
import type {
  GrownPool,
  NewPoolOptions,
  PoolEnd,
  PoolListing,
  PoolOpening,
  ProbedDisk,
  ScrubSettings,
} from "./pool-protocol.ts";
import { poolNotFound } from "./sources/lvol-source.ts";
import type { VolumeOpener } from "./stage-plan.ts";
import { checkNotReceived, VersionSessions } from "./version-sessions.ts";

/** How pools come to be. */
export interface PoolMaker {
  create: typeof Pool.create;
  import: typeof Pool.import;
  probe: typeof probeDisk;
}

const REAL_MAKER: PoolMaker = { create: Pool.create, import: Pool.import, probe: probeDisk };

/** @param cacheBytes of each pool's page cache */
export function poolMaker(cacheBytes: number | undefined): PoolMaker {
  if (cacheBytes === undefined) return REAL_MAKER;
  return {
    create: (environment, devices, options) =>
      Pool.create(environment, devices, { ...options, cacheBytes }),
    import: (environment, devices, options) =>
      Pool.import(environment, devices, { ...options, cacheBytes }),
    probe: probeDisk,
  };
}

export class Pools {
  /** What is done with their snapshots and clones. */
  readonly versions = new VersionSessions((name) => this.#pool(name));
  readonly #reactor: Reactor;
  readonly #report: (event: PoolEvent) => void;
  readonly #maker: PoolMaker;
  /** Null: being opened or closed. */
  readonly #pools = new Map<string, Pool | null>();
  /** The last one of each pool. */
  readonly #scrubs = new WeakMap<Pool, Scrub>();

  /** @param report gets what people should know of; may be called in a turn */
  constructor(reactor: Reactor, report: (event: PoolEvent) => void, maker = REAL_MAKER) {
    this.#reactor = reactor;
    this.#report = report;
    this.#maker = maker;
  }

  /** For the stages of this reactor's pipes. */
  find(name: string): VolumeOpener | undefined {
    const pool = this.#pools.get(name);
    if (pool === undefined || pool === null) return undefined;
    return {
      openVolume: async (volume, options) => {
        checkNotReceived(pool, volume);
        return await pool.openVolume(volume, options);
      },
    };
  }

  /** Makes a pool of its disks. @throws as `Pool.create` and the disks' sources */
  create(opening: PoolOpening, options: NewPoolOptions): Promise<PoolListing> {
    return this.#open(opening, (environment, devices) =>
      this.#maker.create(environment, devices, {
        ...options,
        name: opening.name,
        force: opening.force,
      }),
    );
  }

  /**
   * Opens the pool that is on the disks.
   * @throws as `Pool.import` and the disks' sources; PenstockError `pool-changed`
   */
  import(opening: PoolOpening, uuid: string): Promise<PoolListing> {
    return this.#open(opening, async (environment, devices) => {
      const added = await this.#addedDisk(opening, uuid);
      const all = [...devices, ...added];
      try {
        await this.#checkSame(all, opening.name, uuid);
      } catch (thrown) {
        await closeDevices(all);
        throw thrown;
      }
      return await this.#maker.import(environment, all, { force: opening.force });
    });
  }

  /** What is on disks that nobody has open, by reading only. @throws those of the sources */
  async probe(opening: PoolOpening): Promise<readonly ProbedDisk[]> {
    const devices = await this.#openDisks(opening, { glance: true });
    const first = new FirstFailure();
    const found: ProbedDisk[] = [];
    await first.attempt(async () => {
      for (const device of devices) found.push(await this.#probeOne(device));
    });
    await first.attempt(() => closeDevices(devices));
    first.throwIfAny();
    return found;
  }

  /** @throws as `Pool.addDisk` and the disk's source */
  async addDisk(opening: PoolOpening): Promise<PoolListing> {
    const pool = this.#pool(opening.name);
    const [device] = await this.#openDisks(opening);
    assert(device !== undefined, "one disk is added at a time");
    await pool.addDisk(device, { force: opening.force });
    return this.#listing(pool);
  }

  /**
   * Takes the sizes that a pool's disks have by now; open devices go on with those that they had.
   * @param disk only this one, as listings name it; null: all
   * @throws GrammarError; as `Pool.grow` and `Device.grow`; PenstockError `not-its-disk`
   */
  async grow(name: string, disk: string | null): Promise<GrownPool> {
    const pool = this.#pool(name);
    const all = pool.devices;
    const wanted = disk === null ? [] : [deviceOf(all, name, disk)];
    for (const device of wanted.length === 0 ? all : wanted) {
      const sizeBytes = await device.mediumBytes();
      if (sizeBytes !== device.info.sizeBytes) await device.grow(sizeBytes);
    }
    const grown = await pool.grow();
    return { listing: this.#listing(pool), grown };
  }

  /** @throws PenstockError `scrub-running`, `pool-not-found` */
  startScrub(name: string, settings: ScrubSettings): ScrubProgress {
    const pool = this.#pool(name);
    const state = this.#scrubs.get(pool)?.progress.state;
    if (state === "running") {
      const message = `the pool "${name}" is being scrubbed already`;
      throw new PenstockError({ code: "scrub-running", message, retryable: true });
    }
    const scrub = pool.scrub(settings);
    this.#scrubs.set(pool, scrub);
    return scrub.progress;
  }

  /** @throws PenstockError `pool-not-found`: it has ended, and its scrub before */
  scrubProgress(name: string): ScrubProgress {
    const scrub = this.#scrubs.get(this.#pool(name));
    assert(scrub !== undefined, "a scrub is begun before it is asked for");
    return scrub.progress;
  }

  async stopScrub(name: string): Promise<void> {
    await this.#scrubs.get(this.#pool(name))?.stop();
  }

  describe(name: string): PoolListing {
    return this.#listing(this.#pool(name));
  }

  createVolume(name: string, options: CreateVolumeOptions): Promise<VolumeInfo> {
    return this.#pool(name).createVolume(options);
  }

  async resizeVolume(name: string, volume: string, sizeBytes: number): Promise<VolumeInfo> {
    const pool = this.#pool(name);
    checkNotReceived(pool, volume);
    return await pool.resizeVolume(volume, sizeBytes);
  }

  deleteVolume(name: string, volume: string): Promise<void> {
    return this.#pool(name).deleteVolume(volume);
  }

  /**
   * Its volumes are closed.
   * @throws as the pool: `pool-faulted` and `volume-in-use` leave it open
   */
  async end(name: string, how: PoolEnd): Promise<void> {
    const pool = this.#pool(name);
    this.#pools.set(name, null);
    try {
      await this.versions.endOf(pool);
      if (how === "export") await pool.export();
      else if (how === "destroy") await pool.destroy();
      else await pool.close();
    } finally {
      if (pool.isClosed) {
        this.#pools.delete(name);
      } else {
        this.#pools.set(name, pool);
        this.versions.staysOpen(pool);
      }
    }
  }

  /** All that are left; the first failure, after all have closed. */
  async closeAll(): Promise<void> {
    const first = new FirstFailure();
    for (const [name, pool] of [...this.#pools]) {
      if (pool !== null) await first.attempt(() => this.end(name, "close"));
    }
    first.throwIfAny();
  }

  /** @param make owns the devices from when it is called */
  async #open(
    opening: PoolOpening,
    make: (environment: PoolEnvironment, devices: readonly Device[]) => Promise<Pool>,
  ): Promise<PoolListing> {
    const { name } = opening;
    if (this.#pools.has(name)) {
      throw new PenstockError({
        code: "pool-exists",
        message: `there is a pool "${name}" already`,
      });
    }
    this.#pools.set(name, null);
    try {
      const devices = await this.#openDisks(opening);
      const pool = await make(this.#environment(opening), devices);
      this.#pools.set(name, pool);
      return this.#listing(pool);
    } catch (thrown) {
      this.#pools.delete(name);
      throw thrown;
    }
  }

  /** All or none. */
  async #openDisks(
    { disks, name, instanceSeed, hostSeed }: PoolOpening,
    { glance }: { readonly glance: boolean } = { glance: false },
  ): Promise<Device[]> {
    const devices: Device[] = [];
    try {
      for (const [index, text] of disks.entries()) {
        const { source } = planDisk(text);
        const device = await source.open(
          {
            reactor: this.#reactor,
            holder: `pool ${name}`,
            // Two of one text are two: the second one is refused by its claim.
            instanceSeed: uuidOfName(`disk:${instanceSeed}:${index}`),
            place: `${index}.`,
            claims: !glance,
            glance,
            ...(hostSeed === undefined ? {} : { hostSeed }),
          },
          [],
        );
        devices.push(device);
      }
      return devices;
    } catch (thrown) {
      await closeDevices(devices);
      throw thrown;
    }
  }

  /** The disk that was being added, if it is the pool's by now. Never throws. */
  async #addedDisk(opening: PoolOpening, uuid: string): Promise<readonly Device[]> {
    const { adding } = opening;
    if (adding === undefined) return [];
    let devices: readonly Device[] = [];
    try {
      devices = await this.#openDisks({ ...opening, disks: [adding] });
      const [device] = devices;
      assert(device !== undefined, "one text is one disk");
      const content = await this.#maker.probe(device);
      if (content.kind === "pool" && content.label.poolUuid === uuid) return devices;
    } catch {
      // Is it the pool's, then the import says that it is incomplete.
    }
    await closeDevices(devices);
    return [];
  }

  #environment({ instanceSeed, holder, engineUuid }: PoolOpening): PoolEnvironment {
    const { clock } = this.#reactor;
    let made = 0;
    return {
      reactor: this.#reactor,
      // As random as the seed, of which each opening has its own.
      makeUuid: () => {
        made += 1;
        return uuidOfName(`pool:${instanceSeed}:${made}`);
      },
      nowMs: () => clock.wallMs?.() ?? 0,
      onEvent: this.#report,
      holder,
      engineUuid,
    };
  }

  /** Before anything is written: disks get other names at a restart of the machine. */
  async #checkSame(devices: readonly Device[], name: string, uuid: string): Promise<void> {
    if (uuid === "") return;
    for (const device of devices) {
      const content = await this.#maker.probe(device);
      if (content.kind !== "pool" || content.label.poolUuid === uuid) continue;
      throw new PenstockError({
        code: "pool-changed",
        message:
          `${device.info.name} has a disk of the pool "${content.label.name}" ` +
          `(${content.label.poolUuid}), expected one of "${name}" (${uuid})`,
        details: { device: device.info.name },
      });
    }
  }

  async #probeOne(device: Device): Promise<ProbedDisk> {
    const { name, sizeBytes } = device.info;
    const content = await this.#maker.probe(device);
    switch (content.kind) {
      case "empty":
        return { name, sizeBytes, kind: "empty", text: "", pool: null };
      case "foreign":
        return { name, sizeBytes, kind: "foreign", text: content.what, pool: null };
      case "pool": {
        const { name: poolName, poolUuid } = content.label;
        const pool = { name: poolName, uuid: poolUuid };
        return { name, sizeBytes, kind: "pool", text: `pool ${poolName}`, pool };
      }
      case "damaged":
        return { name, sizeBytes, kind: "damaged", text: "a damaged pool", pool: null };
      case "newer":
        return { name, sizeBytes, kind: "newer", text: "a pool of a newer format", pool: null };
    }
  }

  #listing(pool: Pool): PoolListing {
    const info: PoolInfo = pool.info;
    const scrub = this.#scrubs.get(pool)?.progress ?? pool.keptScrub;
    const versions = this.versions.countsOf(pool);
    return { info, volumes: pool.volumes(), scrub, versions };
  }

  #pool(name: string): Pool {
    const pool = this.#pools.get(name);
    if (pool === undefined || pool === null) throw poolNotFound(name);
    return pool;
  }
}

/** The one of a pool's devices that a listing names so. */
function deviceOf(devices: readonly Device[], pool: string, disk: string): Device {
  const { text } = planDisk(disk);
  const found = devices.find(({ info }) => info.name === text || info.name === disk);
  if (found !== undefined) return found;
  const names = devices.map(({ info }) => info.name).join(", ");
  throw new PenstockError({
    code: "not-its-disk",
    message: `found ${text}, expected a disk of the pool "${pool}": ${names}`,
    details: { pool, disk: text },
  });
}

async function closeDevices(devices: readonly Device[]): Promise<void> {
  await Promise.allSettled(devices.map((device) => device.close()));
}
