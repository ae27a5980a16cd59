/**
 * The RPC service of snapshots and clones: fields are checked, the registry and the pools do the
 * work, errors get a code. What takes long is a stream that ends when its client goes.
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import {
  type DiffSnapshotsRequest,
  type DiffSnapshotsResponseSchema,
  type FlattenReplicaRequest,
  type FlattenReplicaResponseSchema,
  type MeasureSpaceRequest,
  type MeasureSpaceResponseSchema,
  type ReceiveSnapshotRequest,
  type ReceiveTarget,
  SendCompression,
  type SendSnapshotRequest,
  type SendSnapshotResponseSchema,
  SnapshotService,
} from "../api/penstock/engine/v1/snapshot_pb.ts";
import type { Drawn, VersionCalls } from "../pipe/version-calls.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import { encodeToken } from "../pool/stream/receive-state.ts";
import type { ReceiveOptions } from "../pool/stream/receive-target.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { replicaMessage } from "./pool-messages.ts";
import { receiveStream } from "./receive-stream.ts";
import {
  readBlockOffset,
  readName,
  readPipeName,
  readSnapshotName,
  readSnapshotPart,
  readText,
  readUuid,
  readVersionName,
  readVersionNames,
} from "./request-fields.ts";
import { toRpcError } from "./rpc-error.ts";
import { sendStream } from "./send-stream.ts";
import {
  extentMessage,
  flattenMessage,
  snapshotMessage,
  spaceMessage,
} from "./snapshot-messages.ts";
import type { SnapshotRegistry } from "./snapshot-registry.ts";

/** How often a flatten tells how far it has come. */
const FLATTEN_STEP_MS = 500;

export interface SnapshotServiceParts {
  readonly snapshots: SnapshotRegistry;
  readonly versions: VersionCalls;
  /** An error that is a bug of ours. */
  onBug(stack: string): void;
}

type Answer<T> = AsyncGenerator<T>;

export function addSnapshotService(router: ConnectRouter, parts: SnapshotServiceParts): void {
  router.service(SnapshotService, { ...changes(parts), ...streams(parts) });
}

type Service = ServiceImpl<typeof SnapshotService>;
type StreamName =
  | "measureSpace"
  | "flattenReplica"
  | "diffSnapshots"
  | "sendSnapshot"
  | "receiveSnapshot";

function changes(parts: SnapshotServiceParts): Omit<Service, StreamName> {
  const { snapshots, versions } = parts;
  return {
    createSnapshot: ({ pool, snapshot, uuid }) =>
      answer(parts, async () => {
        const name = readSnapshotName("snapshot", snapshot);
        const id = uuid === undefined ? null : readUuid("uuid", uuid);
        const made = await snapshots.create(readPipeName("pool", pool), name, id);
        return { snapshot: snapshotMessage(made) };
      }),
    listSnapshots: ({ pool, replica }) =>
      answer(parts, async () => {
        const only = pool === undefined ? undefined : readPipeName("pool", pool);
        const of = replica === undefined ? null : readName("replica", replica);
        return { snapshots: (await snapshots.list(only, of)).map(snapshotMessage) };
      }),
    deleteSnapshot: ({ pool, snapshot }) =>
      answer(parts, async () => {
        const name = readSnapshotName("snapshot", snapshot);
        await snapshots.delete(readPipeName("pool", pool), name);
        return {};
      }),
    rollbackSnapshot: ({ pool, snapshot }) =>
      answer(parts, async () => {
        const name = readSnapshotName("snapshot", snapshot);
        const replica = await snapshots.rollback(readPipeName("pool", pool), name);
        return { replica: replicaMessage(replica) };
      }),
    cloneSnapshot: ({ pool, snapshot, name, uuid }) =>
      answer(parts, async () => {
        const of = readSnapshotName("snapshot", snapshot);
        const id = uuid === undefined ? null : readUuid("uuid", uuid);
        const clone = { name: readPipeName("name", name), uuid: id };
        const replica = await snapshots.clone(readPipeName("pool", pool), of, clone);
        return { replica: replicaMessage(replica) };
      }),
    promoteReplica: ({ pool, name }) =>
      answer(parts, async () => {
        const replica = await snapshots.promote(readPipeName("pool", pool), readName("name", name));
        return { replica: replicaMessage(replica) };
      }),
    getReceive: ({ pool, replica }) =>
      answer(parts, async () => {
        const of = { pool: readPipeName("pool", pool), name: readName("replica", replica) };
        await snapshots.checkOpen(of.pool);
        const state = await versions.receiveState(of);
        if (state === null) return {};
        return {
          resumeToken: encodeToken(state),
          positionBytes: BigInt(Math.min(state.cursor * BLOCK_BYTES, state.sizeBytes)),
          sizeBytes: BigInt(state.sizeBytes),
        };
      }),
    abortReceive: ({ pool, replica }) =>
      answer(parts, async () => {
        await snapshots.abortReceive(readPipeName("pool", pool), readName("replica", replica));
        return {};
      }),
  };
}

function streams(parts: SnapshotServiceParts): Pick<Service, StreamName> {
  return {
    measureSpace: (request, { signal }) => measure(parts, request, signal),
    flattenReplica: (request, { signal }) => flatten(parts, request, signal),
    diffSnapshots: (request, { signal }) => diff(parts, request, signal),
    sendSnapshot: (request, { signal }) => send(parts, request, signal),
    receiveSnapshot: (requests) => answer(parts, () => receive(parts, requests)),
  };
}

async function* measure(
  { snapshots, versions, onBug }: SnapshotServiceParts,
  { pool, names }: MeasureSpaceRequest,
  signal: AbortSignal,
): Answer<MessageInitShape<typeof MeasureSpaceResponseSchema>> {
  try {
    const of = readPipeName("pool", pool);
    const wanted = readVersionNames("names", names);
    await snapshots.checkOpen(of);
    for (const name of wanted) {
      if (signal.aborted) return;
      const space = spaceMessage(name, await versions.measure({ pool: of, name }));
      try {
        yield space;
      } catch {
        return; // Whoever reads is gone.
      }
    }
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}

async function* flatten(
  parts: SnapshotServiceParts,
  { pool, name }: FlattenReplicaRequest,
  signal: AbortSignal,
): Answer<MessageInitShape<typeof FlattenReplicaResponseSchema>> {
  yield* drawn(parts, signal, {
    open: async () => {
      const of = { pool: readPipeName("pool", pool), name: readName("name", name) };
      await parts.snapshots.checkOpen(of.pool);
      return await parts.versions.flatten(of);
    },
    message: flattenMessage,
    isLast: ({ isFinished }) => isFinished,
    stepMs: FLATTEN_STEP_MS,
  });
}

async function* diff(
  parts: SnapshotServiceParts,
  { pool, from, to, offset }: DiffSnapshotsRequest,
  signal: AbortSignal,
): Answer<MessageInitShape<typeof DiffSnapshotsResponseSchema>> {
  yield* drawn(parts, signal, {
    open: async () => {
      const of = readPipeName("pool", pool);
      const between = {
        from: from === undefined ? null : readVersionName("from", from),
        to: readVersionName("to", to),
        startBlock: offset === undefined ? 0 : readBlockOffset("offset", offset),
      };
      await parts.snapshots.checkOpen(of);
      return await parts.versions.diff(of, between);
    },
    message: (extents) => ({ extents: extents.map(extentMessage) }),
    isLast: () => false,
    stepMs: 0,
  });
}

interface DrawnHow<T, M> {
  open(): Promise<Drawn<T>>;
  message(item: T): M;
  isLast(item: T): boolean;
  /** Between two, 0: as fast as they are taken. */
  readonly stepMs: number;
}

/** Draws until there is no more, or nobody listens: then whatever runs for it ends at once. */
async function* drawn<T, M>(
  { onBug }: SnapshotServiceParts,
  signal: AbortSignal,
  { open, message, isLast, stepMs }: DrawnHow<T, M>,
): Answer<M> {
  try {
    const session = await open();
    const end = (): void => void session.close();
    signal.addEventListener("abort", end, { once: true });
    try {
      while (!signal.aborted) {
        const item = await session.next();
        if (item === null) return;
        try {
          yield message(item);
        } catch {
          return; // Whoever reads is gone.
        }
        if (isLast(item)) return;
        if (stepMs > 0) await sleep(stepMs, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      signal.removeEventListener("abort", end);
      await session.close();
    }
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}

async function* send(
  { snapshots, versions, onBug }: SnapshotServiceParts,
  request: SendSnapshotRequest,
  signal: AbortSignal,
): Answer<MessageInitShape<typeof SendSnapshotResponseSchema>> {
  try {
    const pool = readPipeName("pool", request.pool);
    const { snapshot, base, resumeToken } = request;
    const mayLeaveOut = resumeToken !== undefined && snapshot === undefined;
    const opening = {
      snapshot: mayLeaveOut ? null : readSnapshotName("snapshot", snapshot ?? ""),
      base: base === undefined ? null : readSnapshotName("base", base),
      token: resumeToken === undefined ? null : readText("resume_token", resumeToken),
    };
    await snapshots.checkOpen(pool);
    const session = await versions.send(pool, opening);
    const zstd = request.compression === SendCompression.ZSTD;
    for await (const { data, positionBytes, sizeBytes } of sendStream(session, { zstd, signal })) {
      try {
        yield { data, positionBytes: BigInt(positionBytes), sizeBytes: BigInt(sizeBytes) };
      } catch {
        return; // Whoever reads is gone.
      }
    }
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}

async function receive(
  { snapshots, versions }: SnapshotServiceParts,
  requests: AsyncIterable<ReceiveSnapshotRequest>,
): Promise<{ snapshot: ReturnType<typeof snapshotMessage> }> {
  const all = requests[Symbol.asyncIterator]();
  const first = await all.next();
  const target = first.done === true ? undefined : first.value.target;
  if (target === undefined) throw targetMissing();
  const pool = readPipeName("target.pool", target.pool);
  const options = receiveOptions(target);
  await snapshots.checkOpen(pool);
  const snapshot = await receiveStream(versions, pool, bytesOf(first, all), options);
  snapshots.received(pool, snapshot);
  return { snapshot: snapshotMessage({ pool, snapshot }) };
}

function receiveOptions({ replica, snapshot, thin, rollback }: ReceiveTarget): ReceiveOptions {
  return {
    volume: readPipeName("target.replica", replica),
    snapshot: snapshot === undefined ? null : readSnapshotPart("target.snapshot", snapshot),
    isThin: thin,
    rollback,
  };
}

async function* bytesOf(
  first: IteratorResult<ReceiveSnapshotRequest>,
  all: AsyncIterator<ReceiveSnapshotRequest>,
): AsyncGenerator<Uint8Array> {
  let next = first;
  while (next.done !== true) {
    yield next.value.data;
    try {
      next = await all.next();
    } catch (thrown) {
      if (thrown instanceof ConnectError) throw thrown;
      const { message } = toPenstockError(thrown);
      const cut = `the connection ended before the stream: ${message}`;
      throw new PenstockError({ code: "stream-cut", message: cut, retryable: true, cause: thrown });
    }
  }
}

function targetMissing(): PenstockError {
  const message = "target: found nothing, expected it in the first message";
  return new PenstockError({ code: "field-missing", message, details: { field: "target" } });
}

async function answer<T>({ onBug }: SnapshotServiceParts, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    throw toRpcError(thrown, onBug);
  }
}
