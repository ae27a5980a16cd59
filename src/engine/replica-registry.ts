/**
 * ReplicaRegistry: the volumes of an engine's pools, and the pipes that share them.
 *
 * Holds nothing: volumes are the pools', shares are pipes with a name made from the replica's.
 * Changes in one pool come in turn, so that nothing is destroyed while it is being shared.
 */

import { planPipe } from "../pipe/pipe-plan.ts";
import type { PoolHost } from "../pipe/pool-host.ts";
import { type BranchPlan, volumesOf } from "../pipe/stage-plan.ts";
import type { CreateVolumeOptions, VolumeInfo } from "../pool/pool-info.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import type { EngineEvents } from "./engine-event.ts";
import type { ListedPipe, PipeRegistry } from "./pipe-registry.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import { isPipeName } from "./request-fields.ts";

export interface ReplicaRegistryOptions {
  readonly pools: Pick<PoolRegistry, "listing" | "openNames" | "inTurn" | "export" | "destroy">;
  readonly pipes: Pick<PipeRegistry, "list" | "create" | "delete" | "resize">;
  readonly host: Pick<PoolHost, "createVolume" | "resizeVolume" | "deleteVolume">;
  readonly events: Pick<EngineEvents, "add">;
}

/** A replica as others see it. */
export interface ListedReplica {
  readonly pool: string;
  readonly volume: VolumeInfo;
  /** What clients connect to; "": it is not shared, or not at this moment. */
  readonly shareUri: string;
  /** Names of the pipes that use it, that of its share too. */
  readonly pipes: readonly string[];
}

/** A pipe that stands on volumes of pools. */
interface PipeUse {
  readonly pipe: ListedPipe;
  readonly branch: BranchPlan;
}

const NBD_SHARE = "nbd://127.0.0.1:10809";
const NVMF_SHARE = "nvmf://127.0.0.1:4420/nqn.2026-11.io.penstock";

export class ReplicaRegistry {
  readonly #options: ReplicaRegistryOptions;

  constructor(options: ReplicaRegistryOptions) {
    this.#options = options;
  }

  /** @throws PenstockError `pool-not-found`, `pool-not-ready`, and as `Pool.createVolume` */
  async create(pool: string, options: CreateVolumeOptions): Promise<ListedReplica> {
    return await this.#options.pools.inTurn(pool, async () => {
      const volume = await this.#options.host.createVolume(pool, options);
      this.#say(pool, "replica-created", `${volume.name} of ${volume.sizeBytes} bytes`);
      return { pool, volume, shareUri: "", pipes: [] };
    });
  }

  /** @param only this pool's; undefined: of all that are open */
  async list(only: string | undefined): Promise<readonly ListedReplica[]> {
    const { pools } = this.#options;
    if (only !== undefined) return await this.#listOf(only);
    // A pool that goes meanwhile has none.
    const lists = await Promise.all(
      pools.openNames.map((pool) => this.#listOf(pool).catch(() => [])),
    );
    return lists.flat();
  }

  /** @throws PenstockError `pool-not-found`, `pool-not-ready`, `volume-not-found` */
  async get(pool: string, name: string): Promise<ListedReplica> {
    return this.#listed(pool, await this.#volume(pool, name), this.#uses());
  }

  /**
   * Serves it by a pipe of its own.
   * @param share the last stage of a pipe, or "nbd" or "nvmf"
   * @throws GrammarError; PenstockError `replica-shared`, and as `PipeRegistry.create`
   */
  async share(pool: string, name: string, share: string): Promise<ListedReplica> {
    return await this.#options.pools.inTurn(pool, async () => {
      const volume = await this.#volume(pool, name);
      const shared = this.#sharePipe(pool, volume, this.#uses());
      if (shared !== undefined) {
        const where = shared.uri === "" ? `by the pipe ${shared.name}` : `at ${shared.uri}`;
        const message = `${pool}/${volume.name} is shared ${where} already: unshare it first`;
        throw new PenstockError({ code: "replica-shared", message, details: { pool, name } });
      }
      const text = `lvol:///${pool}/${volume.name} | ${shareStage(pool, volume, share)}`;
      await this.#options.pipes.create(shareName(pool, volume), text);
      return await this.get(pool, volume.name);
    });
  }

  /** @throws PenstockError `replica-not-shared`, and as `PipeRegistry.delete` */
  async unshare(pool: string, name: string): Promise<ListedReplica> {
    return await this.#options.pools.inTurn(pool, async () => {
      const volume = await this.#volume(pool, name);
      const shared = this.#sharePipe(pool, volume, this.#uses());
      if (shared === undefined) {
        const message = `${pool}/${volume.name} is not shared`;
        throw new PenstockError({ code: "replica-not-shared", message, details: { pool, name } });
      }
      await this.#options.pipes.delete(shared.name);
      return await this.get(pool, volume.name);
    });
  }

  /** @throws PenstockError `volume-in-use`, `size-invalid`, and as `Pool.resizeVolume` */
  async resize(pool: string, name: string, sizeBytes: number): Promise<ListedReplica> {
    return await this.#options.pools.inTurn(pool, async () => {
      const volume = await this.#volume(pool, name);
      const users = usersOf(this.#uses(), pool, volume);
      const [user] = users;
      const mayGrow = users.length === 1 && sizeBytes >= volume.sizeBytes;
      if (user === undefined) {
        await this.#options.host.resizeVolume(pool, volume.name, sizeBytes);
      } else if (mayGrow && isOwnSource(user, pool, volume)) {
        await this.#options.pipes.resize(user.pipe.name, sizeBytes);
      } else if (sizeBytes < volume.sizeBytes) {
        throw cannotShrink(pool, volume, users, sizeBytes);
      } else {
        throw inUse(pool, volume, users);
      }
      this.#say(pool, "replica-resized", `${volume.name} has ${sizeBytes} bytes`);
      return await this.get(pool, volume.name);
    });
  }

  /** Ends its share, too. @throws PenstockError `volume-in-use`, and as `Pool.deleteVolume` */
  async destroy(pool: string, name: string): Promise<void> {
    await this.#options.pools.inTurn(pool, async () => {
      const volume = await this.#volume(pool, name);
      await this.#endShares(pool, [volume]);
      await this.#options.host.deleteVolume(pool, volume.name);
      this.#say(pool, "replica-destroyed", volume.name);
    });
  }

  /** Closes a pool and forgets it, with its shares. @throws as `PoolRegistry.export` */
  async exportPool(pool: string): Promise<void> {
    await this.#options.pools.export(pool, async () => {
      if (!this.#options.pools.openNames.includes(pool)) return;
      const { info, volumes } = await this.#options.pools.listing(pool);
      await this.#endShares(pool, volumes, { isFaulted: info.state === "faulted" });
    });
  }

  /**
   * Ends a pool for good. @param force its replicas with it
   * @throws PenstockError `pool-not-empty`, `volume-in-use`, and as `PoolRegistry.destroy`
   */
  async destroyPool(pool: string, force: boolean): Promise<void> {
    await this.#options.pools.destroy(pool, async () => {
      const { volumes, versions } = await this.#options.pools.listing(pool);
      const left = volumes.filter(({ state }) => state === "ready").length;
      // Those of replicas that are destroyed stay.
      const kept = versions.snapshots;
      if (left + kept > 0 && !force) {
        const and = kept === 0 ? "" : ` and ${kept} snapshot${kept === 1 ? "" : "s"}`;
        const message =
          `${pool} has ${left} replica${left === 1 ? "" : "s"}${and}: ` +
          "destroy them first, or all of them with --force";
        throw new PenstockError({ code: "pool-not-empty", message, details: { pool } });
      }
      await this.#endShares(pool, volumes);
    });
  }

  /**
   * All or none: when something else uses one of them, nothing has changed.
   * @param how a faulted pool fails each share's last flush, as it has failed those of clients:
   *   it is exported so that an import can tell what there is
   */
  async #endShares(
    pool: string,
    volumes: readonly VolumeInfo[],
    { isFaulted }: { readonly isFaulted: boolean } = { isFaulted: false },
  ): Promise<void> {
    const uses = this.#uses();
    const shares: ListedPipe[] = [];
    for (const volume of volumes) {
      const name = shareName(pool, volume);
      const users = usersOf(uses, pool, volume);
      const others = users.filter(({ pipe }) => pipe.name !== name && pipe.state !== "failed");
      if (others.length > 0) throw inUse(pool, volume, others);
      const share = this.#sharePipe(pool, volume, uses);
      if (share !== undefined) shares.push(share);
    }
    for (const { name } of shares) {
      try {
        await this.#options.pipes.delete(name);
      } catch (thrown) {
        if (!isFaulted || toPenstockError(thrown).code !== "flush-failed") throw thrown;
      }
    }
  }

  async #listOf(pool: string): Promise<readonly ListedReplica[]> {
    const { volumes } = await this.#options.pools.listing(pool);
    const uses = this.#uses();
    return volumes.map((volume) => this.#listed(pool, volume, uses));
  }

  #listed(pool: string, volume: VolumeInfo, uses: readonly PipeUse[]): ListedReplica {
    const pipes = usersOf(uses, pool, volume).map(({ pipe }) => pipe.name);
    const shareUri = this.#sharePipe(pool, volume, uses)?.uri ?? "";
    return { pool, volume, shareUri, pipes };
  }

  async #volume(pool: string, name: string): Promise<VolumeInfo> {
    const { volumes } = await this.#options.pools.listing(pool);
    const ready = volumes.filter(({ state }) => state === "ready");
    const found =
      ready.find((volume) => volume.name === name) ?? ready.find(({ uuid }) => uuid === name);
    if (found !== undefined) return found;
    const message = `there is no replica "${name}" in the pool "${pool}"`;
    throw new PenstockError({ code: "volume-not-found", message, details: { pool, name } });
  }

  #sharePipe(pool: string, volume: VolumeInfo, uses: readonly PipeUse[]): ListedPipe | undefined {
    const name = shareName(pool, volume);
    return usersOf(uses, pool, volume).find(({ pipe }) => pipe.name === name)?.pipe;
  }

  /** Pipes that stand on any volume. */
  #uses(): readonly PipeUse[] {
    return this.#options.pipes.list().flatMap((pipe) => {
      // Quick, and true of most: planning thousands of texts is not.
      if (!pipe.text.includes("lvol:")) return [];
      const branch = branchOf(pipe.text);
      return branch === null ? [] : [{ pipe, branch }];
    });
  }

  #say(pool: string, code: string, message: string): void {
    this.#options.events.add({ level: "info", code, pipe: "", pool, message });
  }
}

/** The name of the pipe that shares it: with its UUID where the names are too long for one. */
export function shareName(pool: string, { name, uuid }: VolumeInfo): string {
  const full = `replica.${pool}.${name}`;
  return isPipeName(full) ? full : `replica.${uuid}`;
}

function shareStage(pool: string, { name, uuid }: VolumeInfo, share: string): string {
  if (share === "nbd") return `${NBD_SHARE}/${pool}.${name}`;
  return share === "nvmf" ? `${NVMF_SHARE}:${pool}.${name}?uuid=${uuid}` : share;
}

function usersOf(uses: readonly PipeUse[], pool: string, volume: VolumeInfo): PipeUse[] {
  return uses.filter(({ branch }) =>
    volumesOf(branch).some((each) => isVolume(each, pool, volume)),
  );
}

function isOwnSource({ branch }: PipeUse, pool: string, volume: VolumeInfo): boolean {
  const own = branch.source.volume;
  return own !== undefined && isVolume(own, pool, volume);
}

function isVolume(
  named: { readonly pool: string; readonly volume: string },
  pool: string,
  { name, uuid }: VolumeInfo,
): boolean {
  return named.pool === pool && (named.volume === name || named.volume === uuid);
}

/** Null where this version does not understand the text: such a pipe is failed. */
function branchOf(text: string): BranchPlan | null {
  try {
    return planPipe(text).branch;
  } catch {
    return null;
  }
}

/** Whoever has it open was told a size, and may be writing there. */
function cannotShrink(
  pool: string,
  volume: VolumeInfo,
  users: readonly PipeUse[],
  sizeBytes: number,
): PenstockError {
  const { name, sizeBytes: before } = volume;
  const pipes = users.map(({ pipe }) => pipe.name);
  const isShare = pipes.length === 1 && pipes[0] === shareName(pool, volume);
  const todo = isShare ? "unshare it first" : `delete the pipe ${pipes.join(", ")} first`;
  return new PenstockError({
    code: "volume-in-use",
    message:
      `${pool}/${name} has ${before} bytes and is used: found a new size of ${sizeBytes}, ` +
      `expected at least that while it is used; to make it smaller, ${todo}`,
    details: { pool, name, pipes, sizeBytes, before },
  });
}

function inUse(pool: string, { name }: VolumeInfo, users: readonly PipeUse[]): PenstockError {
  const pipes = users.map(({ pipe }) => pipe.name);
  return new PenstockError({
    code: "volume-in-use",
    message: `${pool}/${name} is used by the pipe ${pipes.join(", ")}: delete that one first`,
    retryable: true,
    details: { pool, name, pipes },
  });
}
