/**
 * What an engine did between two answers of GetStats: rates, loads and latencies. Pure.
 *
 * The views are the schema of `stats -o json`. Counters that have begun anew in between (a pipe was
 * opened again, the engine restarted) count from 0.
 */

import {
  type ChildStats,
  type GetStatsResponse,
  type Latency,
  type PipeStats,
  PipeState,
  type ReactorStats,
  type RequestCounts,
  type StageStats,
} from "../api/penstock/engine/v1/engine_pb.ts";
import { lowerCase } from "./pipe-view.ts";
import {
  EMPTY_SNAPSHOT,
  type HistogramSnapshot,
  snapshotBetween,
  snapshotQuantile,
  snapshotSum,
} from "../util/histogram-snapshot.ts";

export interface StatsView {
  /** What the rates are over. */
  readonly seconds: number;
  readonly engine: {
    readonly uptimeSeconds: number;
    /** Of one core. */
    readonly cpuShare: number;
    readonly residentBytes: number;
  };
  readonly reactors: readonly ReactorView[];
  readonly pipes: readonly PipeStatsView[];
}

export interface ReactorView {
  readonly reactor: number;
  /** Shares of one core: working, and looking for work in vain. */
  readonly load: number;
  readonly spin: number;
  readonly queue: number;
  readonly turnsPerSecond: number;
  readonly sleepsPerSecond: number;
  readonly connections: number;
  readonly connectionsRefused: number;
  readonly buffers: {
    readonly heldBytes: number;
    readonly allocatedBytes: number;
    readonly limitBytes: number;
    readonly waiters: number;
  };
}

export interface RatesView {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly othersPerSecond: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  readonly errorsPerSecond: number;
  /** All that there were, not in the interval alone. */
  readonly errors: number;
  /** Null: nothing was measured in the interval. */
  readonly latencyMs: LatencyView | null;
}

export interface LatencyView {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
}

export interface PipeStatsView extends RatesView {
  readonly pipe: string;
  readonly state: string;
  readonly connections: number;
  readonly stages: readonly StageStatsView[];
}

export interface StageStatsView extends RatesView {
  readonly stage: string;
  readonly kind: string;
  readonly inFlight: number;
  readonly children: readonly ChildStatsView[];
}

export interface ChildStatsView extends RatesView {
  readonly child: number;
  readonly name: string;
  readonly state: string;
  readonly inFlight: number;
  readonly orphans: number;
}

/** Both of one engine; it may have been started again in between. */
export function statsBetween(before: GetStatsResponse, after: GetStatsResponse): StatsView {
  const isSame = after.uptimeSeconds >= before.uptimeSeconds;
  const passed = after.uptimeSeconds - (isSame ? before.uptimeSeconds : 0);
  const seconds = Math.max(passed, 1e-3);
  const earlier = isSame ? before : undefined;
  return {
    seconds,
    engine: {
      uptimeSeconds: after.uptimeSeconds,
      cpuShare: grown(earlier?.cpuSeconds, after.cpuSeconds) / seconds,
      residentBytes: Number(after.residentBytes),
    },
    reactors: after.reactors.map((each) =>
      reactorView(
        earlier?.reactors.find(({ reactor }) => reactor === each.reactor),
        each,
        seconds,
      ),
    ),
    pipes: pipeViews(earlier?.pipes ?? [], after.pipes, seconds),
  };
}

function pipeViews(
  before: readonly PipeStats[],
  after: readonly PipeStats[],
  seconds: number,
): PipeStatsView[] {
  const byName = new Map(before.map((pipe) => [pipe.pipe, pipe]));
  return after.map((pipe) => pipeView(byName.get(pipe.pipe), pipe, seconds));
}

function reactorView(
  before: ReactorStats | undefined,
  after: ReactorStats,
  seconds: number,
): ReactorView {
  const cpu = grown(before?.cpuSeconds, after.cpuSeconds) / seconds;
  const spin = grown(before?.spinSeconds, after.spinSeconds) / seconds;
  return {
    reactor: after.reactor,
    load: Math.max(cpu - spin, 0),
    spin,
    queue: after.queue,
    turnsPerSecond: grown(before?.turns, after.turns) / seconds,
    sleepsPerSecond: grown(before?.sleeps, after.sleeps) / seconds,
    connections: after.connections,
    connectionsRefused: Number(after.connectionsRefused),
    buffers: {
      heldBytes: Number(after.bufferHeldBytes),
      allocatedBytes: Number(after.bufferAllocatedBytes),
      limitBytes: Number(after.bufferLimitBytes),
      waiters: after.bufferWaiters,
    },
  };
}

function pipeView(before: PipeStats | undefined, after: PipeStats, seconds: number): PipeStatsView {
  const { pipe, share } = after;
  const latencies = [share?.readLatency, share?.writeLatency, share?.otherLatency];
  const earlier = before?.share;
  const latenciesBefore = [earlier?.readLatency, earlier?.writeLatency, earlier?.otherLatency];
  const between = latencies.map((each, at) =>
    snapshotBetween(snapshotIn(latenciesBefore[at]), snapshotIn(each)),
  );
  const stagesBefore = new Map((before?.stages ?? []).map((stage) => [keyOf(stage), stage]));
  return {
    pipe,
    state: lowerCase(PipeState, after.state),
    connections: share?.connections ?? 0,
    ...ratesView(earlier?.requests, share?.requests, seconds),
    latencyMs: latencyView(snapshotSum(between)),
    stages: after.stages.map((stage) => stageView(stagesBefore.get(keyOf(stage)), stage, seconds)),
  };
}

/** Another stage may have come to its place. */
function keyOf({ stage, kind }: StageStats): string {
  return `${stage} ${kind}`;
}

function stageView(
  before: StageStats | undefined,
  after: StageStats,
  seconds: number,
): StageStatsView {
  const { stage, kind, inFlight } = after;
  return {
    stage,
    kind,
    inFlight,
    ...ratesView(before?.requests, after.requests, seconds),
    latencyMs: latencyBetween(before?.latency, after.latency),
    children: after.children.map((child, at) => childView(before?.children[at], child, seconds)),
  };
}

function childView(
  before: ChildStats | undefined,
  after: ChildStats,
  seconds: number,
): ChildStatsView {
  const { child, name, state, inFlight, orphans } = after;
  return {
    child,
    name,
    state,
    inFlight,
    orphans,
    ...ratesView(before?.requests, after.requests, seconds),
    latencyMs: latencyBetween(before?.latency, after.latency),
  };
}

function ratesView(
  before: RequestCounts | undefined,
  after: RequestCounts | undefined,
  seconds: number,
): Omit<RatesView, "latencyMs"> {
  const rate = (key: keyof RequestCounts & ("reads" | "writes" | "others" | "errors")): number =>
    grown(before?.[key], after?.[key] ?? 0n) / seconds;
  return {
    readsPerSecond: rate("reads"),
    writesPerSecond: rate("writes"),
    othersPerSecond: rate("others"),
    readBytesPerSecond: grown(before?.readBytes, after?.readBytes ?? 0n) / seconds,
    writeBytesPerSecond: grown(before?.writeBytes, after?.writeBytes ?? 0n) / seconds,
    errorsPerSecond: rate("errors"),
    errors: Number(after?.errors ?? 0n),
  };
}

function latencyBetween(
  before: Latency | undefined,
  after: Latency | undefined,
): LatencyView | null {
  return latencyView(snapshotBetween(snapshotIn(before), snapshotIn(after)));
}

const NS_PER_MS = 1e6;

function latencyView(snapshot: HistogramSnapshot): LatencyView | null {
  const p50 = snapshotQuantile(snapshot, 0.5);
  const p99 = snapshotQuantile(snapshot, 0.99);
  if (p50 === null || p99 === null) return null;
  const mean = snapshot.sum / snapshot.count;
  return { mean: mean / NS_PER_MS, p50: p50 / NS_PER_MS, p99: p99 / NS_PER_MS };
}

function snapshotIn(latency: Latency | undefined): HistogramSnapshot {
  if (latency === undefined) return EMPTY_SNAPSHOT;
  const { count, sumNs, lowestNs, endsNs, counts } = latency;
  return {
    count: Number(count),
    sum: sumNs,
    lowest: lowestNs,
    ends: endsNs,
    counts: counts.map(Number),
  };
}

/** A counter that is smaller than before has begun anew. */
function grown<T extends number | bigint>(before: T | undefined, after: T): number {
  const growth = Number(after) - Number(before ?? 0);
  return growth >= 0 ? growth : Number(after);
}
