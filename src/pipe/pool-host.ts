/**
 * PoolHost: the pools of this process, each on one of its reactors. On the main thread; it holds
 * who lives where, nothing of the pools themselves.
 */

import type { ScrubProgress } from "../pool/check/scrub.ts";
import type { CreateVolumeOptions, VolumeInfo } from "../pool/pool-info.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import type {
  GrownPool,
  NewPoolOptions,
  PoolEnd,
  PoolListing,
  PoolOpening,
  ProbedDisk,
  ScrubSettings,
} from "./pool-protocol.ts";
import type { ReactorPool, RemoteReactor } from "./reactor-pool.ts";
import { poolNotFound } from "./sources/lvol-source.ts";
import type { VolumeName } from "./stage-plan.ts";
import { VersionCalls } from "./version-calls.ts";

export class PoolHost {
  /** What is done with snapshots and clones. */
  readonly versions = new VersionCalls((pool) => this.#reactorOf(pool));
  readonly #reactors: Pick<ReactorPool, "reactor" | "count">;
  /** Those that are open. */
  readonly #pools = new Map<string, RemoteReactor>();
  readonly #openings = new Set<Promise<unknown>>();
  /** Pools go round the reactors. */
  #opened = 0;
  #isClosed = false;

  constructor(reactors: Pick<ReactorPool, "reactor" | "count">) {
    this.#reactors = reactors;
  }

  /** Makes a pool. @throws as `Pools.create` */
  create(opening: PoolOpening, options: NewPoolOptions): Promise<PoolListing> {
    return this.#open(opening, (reactor) => reactor.call("createPool", { opening, options }));
  }

  /** Opens a pool that is on its disks. @throws as `Pools.import` */
  import(opening: PoolOpening, uuid: string): Promise<PoolListing> {
    return this.#open(opening, (reactor) => reactor.call("importPool", { opening, uuid }));
  }

  /** What is on disks, by reading only. @throws those of the sources */
  async probe(opening: PoolOpening): Promise<readonly ProbedDisk[]> {
    if (this.#isClosed) throw stoppedError();
    return await this.#track(this.#reactors.reactor(0).call("probeDisks", { opening }));
  }

  /** @throws as `Pools.addDisk` */
  async addDisk(opening: PoolOpening): Promise<PoolListing> {
    return await this.#reactorOf(opening.name).call("addPoolDisk", { opening });
  }

  /** @throws as `Pools.grow` */
  async grow(pool: string, disk: string | null): Promise<GrownPool> {
    return await this.#reactorOf(pool).call("growPool", { pool, disk });
  }

  /** @throws PenstockError `pool-not-found`, `scrub-running` */
  async startScrub(pool: string, settings: ScrubSettings): Promise<ScrubProgress> {
    return await this.#reactorOf(pool).call("scrubPool", { pool, settings });
  }

  /** @throws PenstockError `pool-not-found` */
  async scrubProgress(pool: string): Promise<ScrubProgress> {
    return await this.#reactorOf(pool).call("scrubProgress", { pool });
  }

  async stopScrub(pool: string): Promise<void> {
    await this.#reactorOf(pool).call("stopScrub", { pool });
  }

  async describe(pool: string): Promise<PoolListing> {
    return await this.#reactorOf(pool).call("describePool", { pool });
  }

  async createVolume(pool: string, options: CreateVolumeOptions): Promise<VolumeInfo> {
    return await this.#reactorOf(pool).call("createVolume", { pool, options });
  }

  async resizeVolume(pool: string, volume: string, sizeBytes: number): Promise<VolumeInfo> {
    return await this.#reactorOf(pool).call("resizeVolume", { pool, volume, sizeBytes });
  }

  async deleteVolume(pool: string, volume: string): Promise<void> {
    await this.#reactorOf(pool).call("deleteVolume", { pool, volume });
  }

  /** @throws as the pool: `pool-faulted` and `volume-in-use` leave it open */
  async end(pool: string, how: PoolEnd): Promise<void> {
    const reactor = this.#reactorOf(pool);
    this.#pools.delete(pool);
    try {
      await reactor.call("endPool", { pool, how });
    } catch (thrown) {
      const isOpen = await reactor.call("describePool", { pool }).then(
        () => true,
        () => false,
      );
      if (isOpen) this.#pools.set(pool, reactor);
      throw thrown;
    }
  }

  /**
   * Where a pipe that stands on these volumes has to live; undefined: it stands on none.
   * @throws PenstockError `pool-not-found`, `pools-apart`
   */
  reactorOf(volumes: readonly VolumeName[]): RemoteReactor | undefined {
    const found = new Set(volumes.map(({ pool }) => this.#reactorOf(pool)));
    if (found.size <= 1) return [...found][0];
    const names = [...new Set(volumes.map(({ pool }) => pool))];
    throw new PenstockError({
      code: "pools-apart",
      message:
        `the pools ${names.join(" and ")} live on different reactors: ` +
        "one pipe stands on the pools of one reactor only",
      details: { pools: names },
    });
  }

  /** Ends all; pipes are closed. No more are opened. @returns what went wrong on the way */
  async close(): Promise<readonly PenstockError[]> {
    this.#isClosed = true;
    await Promise.allSettled([...this.#openings]);
    const ends = [...this.#pools.keys()].map((name) => this.end(name, "close"));
    const results = await Promise.allSettled(ends);
    return results.flatMap((result) =>
      result.status === "rejected" ? [toPenstockError(result.reason)] : [],
    );
  }

  async #open(
    { name }: PoolOpening,
    step: (reactor: RemoteReactor) => Promise<PoolListing>,
  ): Promise<PoolListing> {
    if (this.#isClosed) throw stoppedError();
    if (this.#pools.has(name)) {
      throw new PenstockError({
        code: "pool-exists",
        message: `there is a pool "${name}" already`,
      });
    }
    const reactor = this.#reactors.reactor(this.#opened % this.#reactors.count);
    this.#opened += 1;
    const opening = step(reactor).then((listing) => {
      this.#pools.set(name, reactor);
      return listing;
    });
    return await this.#track(opening);
  }

  async #track<T>(opening: Promise<T>): Promise<T> {
    this.#openings.add(opening);
    try {
      return await opening;
    } finally {
      this.#openings.delete(opening);
    }
  }

  #reactorOf(pool: string): RemoteReactor {
    const reactor = this.#pools.get(pool);
    if (reactor === undefined) throw poolNotFound(pool);
    return reactor;
  }
}

function stoppedError(): PenstockError {
  return new PenstockError({ code: "aborted", message: "the process is being stopped" });
}
