/**
 * SnapshotRegistry: the snapshots of an engine's pools, and the replicas that come of them.
 *
 * Holds nothing: snapshots are the pools'. Changes in one pool come in turn with those of its
 * replicas; what takes long does not.
 */

import type { PoolHost } from "../pipe/pool-host.ts";
import type { VersionCalls } from "../pipe/version-calls.ts";
import type { SnapshotInfo } from "../pool/pool-info.ts";
import type { EngineEvents } from "./engine-event.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { ListedReplica, ReplicaRegistry } from "./replica-registry.ts";

export interface SnapshotRegistryOptions {
  readonly pools: Pick<PoolRegistry, "inTurn" | "openNames" | "listing">;
  readonly replicas: Pick<ReplicaRegistry, "get">;
  readonly host: Pick<PoolHost, "deleteVolume"> & {
    readonly versions: Pick<
      VersionCalls,
      "createSnapshot" | "list" | "rollback" | "clone" | "promote" | "abortReceive"
    >;
  };
  readonly events: Pick<EngineEvents, "add">;
}

export interface ListedSnapshot {
  readonly pool: string;
  readonly snapshot: SnapshotInfo;
}

export class SnapshotRegistry {
  readonly #options: SnapshotRegistryOptions;

  constructor(options: SnapshotRegistryOptions) {
    this.#options = options;
  }

  /** @throws PenstockError `pool-not-found`, `pool-not-ready`, and as `Pool.createSnapshot` */
  async create(pool: string, name: string, uuid: string | null): Promise<ListedSnapshot> {
    const { pools, host } = this.#options;
    return await pools.inTurn(pool, async () => {
      const snapshot = await host.versions.createSnapshot(pool, name, uuid);
      this.#say(pool, "snapshot-created", snapshot.name);
      return { pool, snapshot };
    });
  }

  /** @param only this pool's; undefined: of all that are open. @param replica null: of all */
  async list(only: string | undefined, replica: string | null): Promise<readonly ListedSnapshot[]> {
    const { pools, host } = this.#options;
    const of = async (pool: string): Promise<readonly ListedSnapshot[]> => {
      const snapshots = await host.versions.list(pool, replica);
      return snapshots.map((snapshot) => ({ pool, snapshot }));
    };
    if (only !== undefined) {
      await this.checkOpen(only);
      return await of(only);
    }
    // A pool that goes meanwhile has none.
    const lists = await Promise.all(pools.openNames.map((pool) => of(pool).catch(() => [])));
    return lists.flat();
  }

  /** @throws PenstockError `snapshot-not-found`, `volume-in-use` */
  async delete(pool: string, name: string): Promise<void> {
    const { pools, host } = this.#options;
    await pools.inTurn(pool, async () => {
      await host.deleteVolume(pool, name);
      this.#say(pool, "snapshot-deleted", name);
    });
  }

  /** @throws PenstockError `snapshot-not-found`, `volume-in-use` */
  async rollback(pool: string, name: string): Promise<ListedReplica> {
    const { pools, host, replicas } = this.#options;
    return await pools.inTurn(pool, async () => {
      const volume = await host.versions.rollback({ pool, name });
      this.#say(pool, "replica-rolled-back", `${volume.name} is as ${name} again`);
      return await replicas.get(pool, volume.name);
    });
  }

  /** @throws PenstockError `snapshot-not-found`, `volume-exists`, `over-commit` */
  async clone(
    pool: string,
    name: string,
    clone: { readonly name: string; readonly uuid: string | null },
  ): Promise<ListedReplica> {
    const { pools, host } = this.#options;
    return await pools.inTurn(pool, async () => {
      const volume = await host.versions.clone({ pool, name }, clone.name, clone.uuid);
      this.#say(pool, "clone-created", `${volume.name} of ${name}`);
      // Not looked up: there may be thousands.
      return { pool, volume, shareUri: "", pipes: [] };
    });
  }

  /** @throws PenstockError `not-a-clone`, `snapshot-exists` */
  async promote(pool: string, name: string): Promise<ListedReplica> {
    const { pools, host, replicas } = this.#options;
    return await pools.inTurn(pool, async () => {
      const volume = await host.versions.promote({ pool, name });
      this.#say(pool, "replica-promoted", volume.name);
      return await replicas.get(pool, volume.name);
    });
  }

  /** @throws PenstockError `not-receiving`, `volume-in-use`: it is being received right now */
  async abortReceive(pool: string, name: string): Promise<void> {
    const { pools, host } = this.#options;
    await pools.inTurn(pool, async () => {
      await host.versions.abortReceive({ pool, name });
      this.#say(pool, "receive-given-up", name);
    });
  }

  /** @throws PenstockError `pool-not-found`, `pool-not-ready` */
  async checkOpen(pool: string): Promise<void> {
    const { pools } = this.#options;
    if (!pools.openNames.includes(pool)) await pools.listing(pool);
  }

  /** A snapshot has been received whole. */
  received(pool: string, { name }: SnapshotInfo): void {
    this.#say(pool, "snapshot-received", name);
  }

  #say(pool: string, code: string, message: string): void {
    this.#options.events.add({ level: "info", code, pipe: "", pool, message });
  }
}
