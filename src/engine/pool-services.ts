/**
 * The RPC services of pools, replicas and disks: fields are checked, the registries do the work,
 * errors get a code.
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import {
  type CreatePoolRequest,
  DeviceService,
  PoolService,
  ReplicaService,
  type ScrubPoolRequest,
  type ScrubPoolResponseSchema,
} from "../api/penstock/engine/v1/pool_pb.ts";
import type { PoolHost } from "../pipe/pool-host.ts";
import type { NewPoolOptions } from "../pipe/pool-protocol.ts";
import type { ScrubProgress } from "../pool/check/scrub.ts";
import { toPenstockError } from "../util/errors.ts";
import type { ListedDisk } from "./device-list.ts";
import {
  diskMessage,
  grownMessage,
  poolMessage,
  replicaMessage,
  scrubMessage,
} from "./pool-messages.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import type { ReplicaRegistry } from "./replica-registry.ts";
import {
  readChecksum,
  readDisks,
  readName,
  readPercent,
  readPipeName,
  readRate,
  readText,
  readThreshold,
  readUuid,
  readVolumeSize,
} from "./request-fields.ts";
import { toRpcError } from "./rpc-error.ts";

const MIB = 2 ** 20;
/** How often a scrub tells how far it has come. */
const SCRUB_STEP_MS = 500;

export interface PoolServiceParts {
  readonly host: Pick<PoolHost, "startScrub" | "scrubProgress" | "stopScrub">;
  readonly pools: PoolRegistry;
  readonly replicas: ReplicaRegistry;
  listDisks(): Promise<readonly ListedDisk[]>;
  /** An error that is a bug of ours. */
  onBug(stack: string): void;
}

export function addPoolServices(router: ConnectRouter, parts: PoolServiceParts): void {
  router.service(PoolService, poolService(parts));
  router.service(ReplicaService, replicaService(parts));
  router.service(DeviceService, {
    listDisks: () =>
      answer(parts, "", async () => ({ disks: (await parts.listDisks()).map(diskMessage) })),
  });
}

function poolService(parts: PoolServiceParts): ServiceImpl<typeof PoolService> {
  const { pools, replicas } = parts;
  return {
    createPool: (request) =>
      answer(parts, "disks", async () => {
        const pool = await pools.create({
          name: readPipeName("name", request.name),
          disks: readDisks("disks", request.disks),
          force: request.force,
          ...newPoolOptions(request),
        });
        return { pool: poolMessage(pool) };
      }),
    importPool: ({ disks, force }) =>
      answer(parts, "disks", async () => {
        const pool = await pools.import(readDisks("disks", disks), force);
        return { pool: poolMessage(pool) };
      }),
    listPools: () =>
      answer(parts, "", async () => ({ pools: (await pools.list()).map(poolMessage) })),
    getPool: ({ name }) =>
      answer(parts, "", async () => ({
        pool: poolMessage(await pools.get(readPipeName("name", name))),
      })),
    addPoolDisk: ({ name, disk, force }) =>
      answer(parts, "disk", async () => {
        const pool = readPipeName("name", name);
        return { pool: poolMessage(await pools.addDisk(pool, readText("disk", disk), force)) };
      }),
    growPool: ({ name, disk }) =>
      answer(parts, "disk", async () => {
        const only = disk === undefined ? null : readText("disk", disk);
        const { pool, grown } = await pools.grow(readPipeName("name", name), only);
        return { pool: poolMessage(pool), grown: grown.map(grownMessage) };
      }),
    scrubPool: (request, { signal }) => scrub(parts, request, signal),
    exportPool: ({ name }) =>
      answer(parts, "", async () => {
        await replicas.exportPool(readPipeName("name", name));
        return {};
      }),
    destroyPool: ({ name, force }) =>
      answer(parts, "", async () => {
        await replicas.destroyPool(readPipeName("name", name), force);
        return {};
      }),
  };
}

/** @throws PenstockError of a field */
function newPoolOptions(request: CreatePoolRequest): NewPoolOptions {
  const { checksum, overCommitPercent, chunkBytes, warningPercent, criticalPercent } = request;
  const thresholds = {
    ...(warningPercent === undefined
      ? {}
      : { warnPercent: readThreshold("warning_percent", warningPercent) }),
    ...(criticalPercent === undefined
      ? {}
      : { criticalPercent: readThreshold("critical_percent", criticalPercent) }),
  };
  return {
    ...(checksum === undefined ? {} : { checksum: readChecksum("checksum", checksum) }),
    ...(overCommitPercent === undefined
      ? {}
      : { overCommitPercent: readPercent("over_commit_percent", overCommitPercent) }),
    ...(chunkBytes === undefined ? {} : { chunkBytes }),
    ...thresholds,
  };
}

function replicaService(parts: PoolServiceParts): ServiceImpl<typeof ReplicaService> {
  const { replicas } = parts;
  return {
    createReplica: ({ pool, name, sizeBytes, thin, uuid }) =>
      answer(parts, "", async () => {
        const made = await replicas.create(readPipeName("pool", pool), {
          name: readPipeName("name", name),
          sizeBytes: readVolumeSize("size_bytes", sizeBytes),
          isThin: thin,
          ...(uuid === undefined ? {} : { uuid: readUuid("uuid", uuid) }),
        });
        return { replica: replicaMessage(made) };
      }),
    listReplicas: ({ pool }) =>
      answer(parts, "", async () => {
        const only = pool === undefined ? undefined : readPipeName("pool", pool);
        return { replicas: (await replicas.list(only)).map(replicaMessage) };
      }),
    getReplica: ({ pool, name }) =>
      answer(parts, "", async () => {
        const found = await replicas.get(readPipeName("pool", pool), readName("name", name));
        return { replica: replicaMessage(found) };
      }),
    shareReplica: ({ pool, name, share }) =>
      answer(parts, "share", async () => {
        const shared = await replicas.share(
          readPipeName("pool", pool),
          readName("name", name),
          readText("share", share),
        );
        return { replica: replicaMessage(shared) };
      }),
    unshareReplica: ({ pool, name }) =>
      answer(parts, "", async () => {
        const left = await replicas.unshare(readPipeName("pool", pool), readName("name", name));
        return { replica: replicaMessage(left) };
      }),
    resizeReplica: ({ pool, name, sizeBytes }) =>
      answer(parts, "", async () => {
        const resized = await replicas.resize(
          readPipeName("pool", pool),
          readName("name", name),
          readVolumeSize("size_bytes", sizeBytes),
        );
        return { replica: replicaMessage(resized) };
      }),
    destroyReplica: ({ pool, name }) =>
      answer(parts, "", async () => {
        await replicas.destroy(readPipeName("pool", pool), readName("name", name));
        return {};
      }),
  };
}

async function* scrub(
  { host, onBug }: PoolServiceParts,
  { name, mibPerSecond, restart, trim }: ScrubPoolRequest,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof ScrubPoolResponseSchema>> {
  try {
    const pool = readPipeName("name", name);
    const rate =
      mibPerSecond === undefined
        ? {}
        : { bytesPerSecond: readRate("mib_per_second", mibPerSecond) * MIB };
    let progress = await host.startScrub(pool, { restart, trim, ...rate });
    try {
      while (progress.state === "running" && !signal.aborted) {
        yield scrubMessage(progress);
        await sleep(SCRUB_STEP_MS, undefined, { signal }).catch(() => undefined);
        progress = await progressNow(host, pool, progress);
      }
      if (!signal.aborted) yield scrubMessage(progress);
    } finally {
      // Also when nobody listens any more.
      if (progress.state === "running") await host.stopScrub(pool);
    }
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}

/** A pool that closes stops its scrub, and is not there any more. */
async function progressNow(
  host: PoolServiceParts["host"],
  pool: string,
  before: ScrubProgress,
): Promise<ScrubProgress> {
  try {
    return await host.scrubProgress(pool);
  } catch (thrown) {
    if (toPenstockError(thrown).code !== "pool-not-found") throw thrown;
    return { ...before, state: "paused" };
  }
}

/** @param textField the one that an error of a pipe's text is about */
async function answer<T>(
  { onBug }: PoolServiceParts,
  textField: string,
  step: () => Promise<T>,
): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    throw toRpcError(thrown, onBug, textField);
  }
}
