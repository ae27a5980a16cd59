/**
 * The live line of `npm start`: what the engine did between two of its stats lines. Pure.
 */

import type { PipeCounters, StatsLine } from "./stats-lines.ts";

const MB = 1e6;

/** All pipes together. */
export interface Rates {
  readonly iops: number;
  readonly readMbPerSecond: number;
  readonly writeMbPerSecond: number;
  /** Null when nothing was done. */
  readonly latencyMs: number | null;
  readonly connections: number;
  readonly errors: number;
}

export function ratesBetween(before: StatsLine, after: StatsLine): Rates {
  const seconds = Math.max((after.atMs - before.atMs) / 1000, 1e-3);
  const grown = (count: (pipe: PipeCounters) => number): number =>
    sum(after, count) - sum(before, count);
  const operations = grown((pipe) => pipe.reads + pipe.writes + pipe.others);
  const latencyMsSum = grown((pipe) => pipe.latencyMsSum);
  return {
    iops: operations / seconds,
    readMbPerSecond: grown((pipe) => pipe.readBytes) / MB / seconds,
    writeMbPerSecond: grown((pipe) => pipe.writeBytes) / MB / seconds,
    latencyMs: operations > 0 ? latencyMsSum / operations : null,
    connections: sum(after, (pipe) => pipe.connections),
    errors: sum(after, (pipe) => pipe.errors),
  };
}

export function formatRates(rates: Rates): string {
  const { iops, readMbPerSecond, writeMbPerSecond, latencyMs, connections, errors } = rates;
  const parts = [
    `${Math.round(iops).toLocaleString("en")} IOPS`,
    `read ${readMbPerSecond.toFixed(1)} MB/s`,
    `write ${writeMbPerSecond.toFixed(1)} MB/s`,
    `latency ${latencyMs === null ? "-" : `${latencyMs.toFixed(3)} ms`}`,
    `${connections} ${connections === 1 ? "connection" : "connections"}`,
  ];
  if (errors > 0) parts.push(`${errors} ${errors === 1 ? "error" : "errors"}`);
  return parts.join("  ");
}

function sum(line: StatsLine, count: (pipe: PipeCounters) => number): number {
  return line.pipes.reduce((total, pipe) => total + count(pipe), 0);
}
