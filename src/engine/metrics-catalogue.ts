/**
 * The metrics of an engine: the one list of their names, kinds and labels, and where in the stats
 * their values are. docs/operations/metrics.md says the same; a test compares. Pure.
 *
 * Labels are names that people gave and small numbers, so their sets are bounded by what there is;
 * a pipe or a pool that is gone is gone from all of them.
 */

import type { ReactorStats, ShareLatency } from "../pipe/reactor-protocol.ts";
import type { ChildStats, StageStats } from "../pipe/stage-stats.ts";
import type { HistogramSnapshot } from "../util/histogram-snapshot.ts";
import type { EngineStats } from "./engine-stats.ts";
import type { EntryState } from "./pipe-entry.ts";
import { POOL_METRICS } from "./pool-metrics.ts";
import type { ListedPool } from "./pool-registry.ts";

export type MetricLabels = Readonly<Record<string, string | number>>;

export interface MetricSample {
  readonly labels: MetricLabels;
  /** Of a histogram: in nanoseconds. */
  readonly value: number | HistogramSnapshot;
}

export interface MetricDefinition {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  samples(source: MetricsSource): Iterable<MetricSample>;
}

export interface MetricsSource {
  readonly version: string;
  readonly level: string;
  readonly stats: EngineStats;
  readonly pools: readonly ListedPool[];
}

const MS_PER_SECOND = 1000;
const STATES: readonly EntryState[] = ["opening", "ready", "failed", "closing"];

interface Counts {
  readonly reads: number;
  readonly writes: number;
  readonly others: number;
  readonly readBytes: number;
  readonly writeBytes: number;
}

export const METRICS: readonly MetricDefinition[] = [
  single("penstock_info", "gauge", "1; what runs", ["version", "level"], ({ version, level }) => ({
    labels: { version, level },
    value: 1,
  })),
  single(
    "penstock_start_time_seconds",
    "gauge",
    "When the engine started, since 1970",
    [],
    (s) => ({
      labels: {},
      value: (s.stats.timeMs - s.stats.uptimeMs) / MS_PER_SECOND,
    }),
  ),
  single("penstock_cpu_seconds_total", "counter", "Processor time of the process", [], (s) => ({
    labels: {},
    value: s.stats.cpuMs / MS_PER_SECOND,
  })),
  single("penstock_resident_bytes", "gauge", "Memory of the process", [], ({ stats }) => ({
    labels: {},
    value: stats.residentBytes,
  })),
  {
    name: "penstock_pipes",
    type: "gauge",
    help: "Pipes by state",
    labels: ["state"],
    *samples({ stats }) {
      for (const state of STATES) {
        const value = stats.pipes.filter((pipe) => pipe.state === state).length;
        yield { labels: { state }, value };
      }
    },
  },

  ofReactor("cpu_seconds_total", "Processor time", (s) => s.cpuMs / MS_PER_SECOND),
  ofReactor("spin_seconds_total", "Of that, looking for work in vain", (s) => {
    return s.spinMs / MS_PER_SECOND;
  }),
  ofReactor("turns_total", "Turns", (s) => s.turns),
  ofReactor("sleeps_total", "Sleeps in the event loop", (s) => s.sleeps),
  ofReactor("blocks_total", "Short sleeps in the kernel", (s) => s.blocks),
  ofReactor("rests_total", "Times it let requests gather before receiving", (s) => s.rests),
  ofReactor("io_completions_total", "Files' and sockets' operations ended", (s) => s.ioCompletions),
  ofReactor("queue_requests", "Clients' requests on their way now", (s) => s.queue),
  ofReactor("buffer_limit_bytes", "Most memory for buffers", (s) => s.bufferLimitBytes),
  ofReactor("buffer_allocated_bytes", "Memory taken for buffers", (s) => s.bufferAllocatedBytes),
  ofReactor("buffer_held_bytes", "Memory in buffers in use now", (s) => s.bufferHeldBytes),
  ofReactor("buffer_waiters", "Who waits for a buffer now", (s) => s.bufferWaiters),
  ofReactor("connections", "Clients connected now", (s) => s.connections),
  ofReactor("connections_accepted_total", "Clients accepted", (s) => s.connectionCounts.accepted),
  ofReactor("connections_refused_total", "Clients turned away: too many, or no memory", (s) => {
    return s.connectionCounts.refused;
  }),
  ofReactor("connections_adopted_total", "Clients taken over from another reactor", (s) => {
    return s.connectionCounts.adopted;
  }),

  {
    name: "penstock_pipe_ready",
    type: "gauge",
    help: "1: clients can connect; 0: not",
    labels: ["pipe"],
    *samples({ stats }) {
      for (const { name, state } of stats.pipes) {
        yield { labels: { pipe: name }, value: state === "ready" ? 1 : 0 };
      }
    },
  },
  ofShare("requests_total", "counter", "Commands of clients", ["op"], function* ({ share }) {
    yield* byOperation(share);
  }),
  ofShare("bytes_total", "counter", "Bytes of clients' reads and writes", ["op"], ({ share }) =>
    bytesOf(share),
  ),
  ofShare("errors_total", "counter", "Commands answered with an error", [], function* ({ share }) {
    yield { labels: {}, value: share.errors };
  }),
  ofShare("connections", "gauge", "Clients connected now", [], function* ({ share }) {
    yield { labels: {}, value: share.connections };
  }),
  ofShare(
    "latency_seconds",
    "histogram",
    "From reading a command's header to sending its reply",
    ["op"],
    function* ({ latency }) {
      yield { labels: { op: "read" }, value: latency.reads };
      yield { labels: { op: "write" }, value: latency.writes };
      yield { labels: { op: "other" }, value: latency.others };
    },
  ),

  ofStage("requests_total", "counter", "Requests that ended", ["op"], function* ({ counts }) {
    yield* byOperation(counts);
  }),
  ofStage("bytes_total", "counter", "Bytes of reads and writes", ["op"], ({ counts }) =>
    bytesOf(counts),
  ),
  ofStage("errors_total", "counter", "Requests that failed", [], function* ({ counts }) {
    yield { labels: {}, value: counts.errors };
  }),
  ofStage("in_flight_requests", "gauge", "Requests in it now", [], function* ({ inFlight }) {
    yield { labels: {}, value: inFlight };
  }),
  ofStage(
    "latency_seconds",
    "histogram",
    "Time in it and below it, of one in 64 requests",
    [],
    function* ({ latency }) {
      yield { labels: {}, value: latency };
    },
  ),

  ofChild("in_sync", "gauge", "1: in sync; 0: faulted", [], function* ({ state }) {
    yield { labels: {}, value: state === "in-sync" ? 1 : 0 };
  }),
  ofChild("requests_total", "counter", "Requests sent to it", ["op"], function* (child) {
    yield* byOperation(child);
  }),
  ofChild("bytes_total", "counter", "Bytes asked of it", ["op"], bytesOf),
  ofChild("errors_total", "counter", "Requests that failed, or hung", [], function* ({ errors }) {
    yield { labels: {}, value: errors };
  }),
  ofChild("in_flight_requests", "gauge", "Requests in it now", [], function* ({ inFlight }) {
    yield { labels: {}, value: inFlight };
  }),
  ofChild("orphans", "gauge", "Requests given up that have not ended", [], function* (child) {
    yield { labels: {}, value: child.orphans };
  }),
  ofChild(
    "latency_seconds",
    "histogram",
    "Until it answers, of one in 64 requests",
    [],
    function* ({ latency }) {
      yield { labels: {}, value: latency };
    },
  ),

  ...POOL_METRICS,
];

function single(
  name: string,
  type: "counter" | "gauge",
  help: string,
  labels: readonly string[],
  sample: (source: MetricsSource) => MetricSample,
): MetricDefinition {
  return { name, type, help, labels, samples: (source) => [sample(source)] };
}

function ofReactor(
  name: string,
  help: string,
  value: (stats: ReactorStats) => number,
): MetricDefinition {
  return {
    name: `penstock_reactor_${name}`,
    type: name.endsWith("_total") ? "counter" : "gauge",
    help,
    labels: ["reactor"],
    *samples({ stats }) {
      for (const each of stats.reactors) {
        yield { labels: { reactor: each.reactor }, value: value(each) };
      }
    },
  };
}

interface SharePart {
  readonly share: Counts & { readonly errors: number; readonly connections: number };
  readonly latency: ShareLatency;
}

function ofShare(
  name: string,
  type: MetricDefinition["type"],
  help: string,
  labels: readonly string[],
  samples: (part: SharePart) => Iterable<MetricSample>,
): MetricDefinition {
  return {
    name: `penstock_share_${name}`,
    type,
    help,
    labels: ["pipe", ...labels],
    *samples({ stats }) {
      for (const { name: pipe, stats: each } of stats.pipes) {
        const { share = null, shareLatency: latency = null } = each ?? {};
        if (share === null || latency === null) continue;
        yield* labelled({ pipe }, samples({ share, latency }));
      }
    },
  };
}

function ofStage(
  name: string,
  type: MetricDefinition["type"],
  help: string,
  labels: readonly string[],
  samples: (stage: StageStats) => Iterable<MetricSample>,
): MetricDefinition {
  return {
    name: `penstock_stage_${name}`,
    type,
    help,
    labels: ["pipe", "stage", "kind", ...labels],
    *samples({ stats }) {
      for (const { name: pipe, stats: each } of stats.pipes) {
        for (const stage of each?.stages ?? []) {
          yield* labelled({ pipe, stage: stage.id, kind: stage.kind }, samples(stage));
        }
      }
    },
  };
}

function ofChild(
  name: string,
  type: MetricDefinition["type"],
  help: string,
  labels: readonly string[],
  samples: (child: ChildStats) => Iterable<MetricSample>,
): MetricDefinition {
  return {
    name: `penstock_child_${name}`,
    type,
    help,
    labels: ["pipe", "stage", "child", ...labels],
    *samples({ stats }) {
      for (const { name: pipe, stats: each } of stats.pipes) {
        for (const { id, children } of each?.stages ?? []) {
          for (const child of children) {
            yield* labelled({ pipe, stage: id, child: child.child }, samples(child));
          }
        }
      }
    },
  };
}

function* labelled(common: MetricLabels, samples: Iterable<MetricSample>): Iterable<MetricSample> {
  for (const { labels, value } of samples) yield { labels: { ...common, ...labels }, value };
}

function* byOperation({ reads, writes, others }: Counts): Iterable<MetricSample> {
  yield { labels: { op: "read" }, value: reads };
  yield { labels: { op: "write" }, value: writes };
  yield { labels: { op: "other" }, value: others };
}

function* bytesOf({ readBytes, writeBytes }: Counts): Iterable<MetricSample> {
  yield { labels: { op: "read" }, value: readBytes };
  yield { labels: { op: "write" }, value: writeBytes };
}
