/**
 * The live view of `npm start`: what every engine does, and what the mirror says of its legs, out
 * of two answers of each engine. Pure.
 */

import type { GetStatsResponse, Latency } from "../api/penstock/engine/v1/engine_pb.ts";
import { type Column, formatTable } from "./output.ts";
import { type LegView, NBD_SUFFIX } from "./start-cluster.ts";

const MB = 1e6;
const NS_PER_MS = 1e6;

/** What one engine's shares did between two moments. */
export interface EngineRates {
  readonly name: string;
  readonly processId: number;
  /** "serving", "killed", "ended", "silent". */
  readonly state: string;
  /** Null: unknown. */
  readonly rates: Rates | null;
}

export interface Rates {
  readonly iops: number;
  readonly readMbPerSecond: number;
  readonly writeMbPerSecond: number;
  /** Mean; null when nothing was done. */
  readonly latencyMs: number | null;
  readonly connections: number;
  readonly errors: number;
}

interface Totals {
  readonly operations: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly latencyNs: number;
  readonly latencyCount: number;
  readonly connections: number;
  readonly errors: number;
}

/** Null when an answer is missing. */
export function ratesBetween(
  before: GetStatsResponse | null,
  after: GetStatsResponse | null,
): Rates | null {
  if (before === null || after === null) return null;
  const seconds = Math.max(after.uptimeSeconds - before.uptimeSeconds, 1e-3);
  const [first, last] = [totalsOf(before), totalsOf(after)];
  const latencyCount = last.latencyCount - first.latencyCount;
  const latencyNs = last.latencyNs - first.latencyNs;
  return {
    iops: (last.operations - first.operations) / seconds,
    readMbPerSecond: (last.readBytes - first.readBytes) / MB / seconds,
    writeMbPerSecond: (last.writeBytes - first.writeBytes) / MB / seconds,
    latencyMs: latencyCount > 0 ? latencyNs / latencyCount / NS_PER_MS : null,
    connections: last.connections,
    errors: last.errors,
  };
}

/** Lines with their ends. */
export function formatBlock(engines: readonly EngineRates[], legs: readonly LegView[]): string {
  const states = legs.map(({ engine, state }) => `${engine} ${state}`).join(", ");
  const reasons = legs
    .filter(({ reason }) => reason !== "")
    .map(({ engine, reason }) => `  ${engine}: ${reason}\n`);
  const mirror = legs.length === 0 ? "" : `mirror: ${states}\n`;
  return `${formatTable(engines, COLUMNS)}${mirror}${reasons.join("")}`;
}

function totalsOf(stats: GetStatsResponse): Totals {
  const shares = stats.pipes.flatMap(({ pipe, share }) =>
    share === undefined || pipe.endsWith(NBD_SUFFIX) ? [] : [share],
  );
  const sum = (count: (share: (typeof shares)[number]) => number): number =>
    shares.reduce((total, share) => total + count(share), 0);
  const latencies = (share: (typeof shares)[number]): Latency[] =>
    [share.readLatency, share.writeLatency, share.otherLatency].filter(
      (each) => each !== undefined,
    );
  const sumLatency = (value: (latency: Latency) => number): number =>
    sum((share) => latencies(share).reduce((total, each) => total + value(each), 0));
  return {
    operations: sum(({ requests }) =>
      Number((requests?.reads ?? 0n) + (requests?.writes ?? 0n) + (requests?.others ?? 0n)),
    ),
    readBytes: sum(({ requests }) => Number(requests?.readBytes ?? 0n)),
    writeBytes: sum(({ requests }) => Number(requests?.writeBytes ?? 0n)),
    latencyNs: sumLatency(({ sumNs }) => sumNs),
    latencyCount: sumLatency(({ count }) => Number(count)),
    connections: sum(({ connections }) => connections),
    errors: sum(({ requests }) => Number(requests?.errors ?? 0n)),
  };
}

const RIGHT = { align: "right" } as const;

function column(title: string, text: (rates: Rates) => string): Column<EngineRates> {
  return { title, ...RIGHT, text: ({ rates }) => (rates === null ? "-" : text(rates)) };
}

const COLUMNS: readonly Column<EngineRates>[] = [
  { title: "ENGINE", text: ({ name }) => name },
  { title: "PROCESS", ...RIGHT, text: ({ processId }) => String(processId) },
  { title: "STATE", text: ({ state }) => state },
  column("IOPS", ({ iops }) => Math.round(iops).toLocaleString("en")),
  column("READ MB/s", ({ readMbPerSecond }) => readMbPerSecond.toFixed(1)),
  column("WRITE MB/s", ({ writeMbPerSecond }) => writeMbPerSecond.toFixed(1)),
  column("LATENCY", ({ latencyMs }) => (latencyMs === null ? "-" : `${latencyMs.toFixed(3)} ms`)),
  column("CLIENTS", ({ connections }) => String(connections)),
  column("ERRORS", ({ errors }) => String(errors)),
];
