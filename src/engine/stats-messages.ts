/**
 * The engine's stats as messages of its API. Pure.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ChildStatsSchema,
  GetStatsResponseSchema,
  LatencySchema,
  PipeStatsSchema,
  ReactorStatsSchema,
  RequestCountsSchema,
  ShareStatsSchema,
  StageStatsSchema,
} from "../api/penstock/engine/v1/engine_pb.ts";
import type { PipeStats, ReactorStats } from "../pipe/reactor-protocol.ts";
import type { ChildStats, StageStats } from "../pipe/stage-stats.ts";
import type { HistogramSnapshot } from "../util/histogram-snapshot.ts";
import type { EngineStats, NamedPipeStats } from "./engine-stats.ts";
import { pipeStateMessage, time } from "./messages.ts";

const MS_PER_SECOND = 1000;

export function statsMessage(stats: EngineStats): MessageInitShape<typeof GetStatsResponseSchema> {
  const { timeMs, uptimeMs, cpuMs, residentBytes, reactors, pipes } = stats;
  return {
    time: time(timeMs),
    uptimeSeconds: uptimeMs / MS_PER_SECOND,
    cpuSeconds: cpuMs / MS_PER_SECOND,
    residentBytes: BigInt(residentBytes),
    reactors: reactors.map(reactorMessage),
    pipes: pipes.map(pipeStatsMessage),
  };
}

function reactorMessage(stats: ReactorStats): MessageInitShape<typeof ReactorStatsSchema> {
  const { reactor, queue, bufferWaiters, connections, connectionCounts } = stats;
  return {
    reactor,
    cpuSeconds: stats.cpuMs / MS_PER_SECOND,
    spinSeconds: stats.spinMs / MS_PER_SECOND,
    turns: BigInt(stats.turns),
    sleeps: BigInt(stats.sleeps),
    blocks: BigInt(stats.blocks),
    rests: BigInt(stats.rests),
    ioCompletions: BigInt(stats.ioCompletions),
    queue,
    bufferLimitBytes: BigInt(stats.bufferLimitBytes),
    bufferAllocatedBytes: BigInt(stats.bufferAllocatedBytes),
    bufferHeldBytes: BigInt(stats.bufferHeldBytes),
    bufferWaiters,
    connections,
    connectionsAccepted: BigInt(connectionCounts.accepted),
    connectionsRefused: BigInt(connectionCounts.refused),
    connectionsAdopted: BigInt(connectionCounts.adopted),
  };
}

function pipeStatsMessage(pipe: NamedPipeStats): MessageInitShape<typeof PipeStatsSchema> {
  const { name, state, stats } = pipe;
  const share = stats === null ? null : shareMessage(stats);
  return {
    pipe: name,
    state: pipeStateMessage(state),
    stages: (stats?.stages ?? []).map(stageMessage),
    ...(share === null ? {} : { share }),
  };
}

function shareMessage(pipe: PipeStats): MessageInitShape<typeof ShareStatsSchema> | null {
  const { share, shareLatency } = pipe;
  if (share === null || shareLatency === null) return null;
  return {
    requests: countsMessage(share),
    connections: share.connections,
    readLatency: latencyMessage(shareLatency.reads),
    writeLatency: latencyMessage(shareLatency.writes),
    otherLatency: latencyMessage(shareLatency.others),
  };
}

function stageMessage(stats: StageStats): MessageInitShape<typeof StageStatsSchema> {
  const { id, kind, inFlight, counts, latency, children } = stats;
  return {
    stage: id,
    kind,
    inFlight,
    requests: countsMessage(counts),
    latency: latencyMessage(latency),
    children: children.map(childMessage),
  };
}

function childMessage(stats: ChildStats): MessageInitShape<typeof ChildStatsSchema> {
  const { child, name, state, inFlight, orphans, latency } = stats;
  return {
    child,
    name,
    state,
    inFlight,
    orphans,
    requests: countsMessage(stats),
    latency: latencyMessage(latency),
  };
}

interface Counts {
  readonly reads: number;
  readonly writes: number;
  readonly others: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly errors: number;
}

function countsMessage(counts: Counts): MessageInitShape<typeof RequestCountsSchema> {
  return {
    reads: BigInt(counts.reads),
    writes: BigInt(counts.writes),
    others: BigInt(counts.others),
    readBytes: BigInt(counts.readBytes),
    writeBytes: BigInt(counts.writeBytes),
    errors: BigInt(counts.errors),
  };
}

function latencyMessage(snapshot: HistogramSnapshot): MessageInitShape<typeof LatencySchema> {
  const { count, sum, lowest, ends, counts } = snapshot;
  return {
    count: BigInt(count),
    sumNs: sum,
    lowestNs: [...lowest],
    endsNs: [...ends],
    counts: counts.map(BigInt),
  };
}
