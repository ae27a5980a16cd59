/**
 * Tables of `penstock stats`, `penstock top` and `penstock reactor list`. Pure.
 */

import { formatSize } from "../util/size.ts";
import { type Column, formatTable } from "./output.ts";
import type {
  LatencyView,
  PipeStatsView,
  RatesView,
  ReactorView,
  StatsView,
} from "./stats-rates.ts";

const MB = 1e6;
const MIB = 2 ** 20;
const PERCENT = 100;

export function pipesTable(pipes: readonly PipeStatsView[]): string {
  return formatTable(pipes, PIPE_COLUMNS);
}

export function reactorsTable(reactors: readonly ReactorView[]): string {
  return formatTable(reactors, REACTOR_COLUMNS);
}

/** A pipe with its share, its stages and their children, top down. */
export function pipeTable(pipe: PipeStatsView): string {
  const stages = pipe.stages.toReversed().flatMap((stage): StageRow[] => [
    { ...stage, place: stage.stage, what: stage.kind, queue: stage.inFlight },
    ...stage.children.map((child) => ({
      ...child,
      place: `${stage.stage} child ${child.child}`,
      what: child.state,
      queue: child.inFlight,
    })),
  ]);
  const top: StageRow = { ...pipe, place: "share", what: pipe.state, queue: null };
  return formatTable([top, ...stages], STAGE_COLUMNS);
}

/** What `top` says first: the engine and its reactors. */
export function summaryText({ engine, reactors, pipes }: StatsView): string {
  const operations = pipes.reduce((all, pipe) => all + operationsOf(pipe), 0);
  const read = pipes.reduce((all, pipe) => all + pipe.readBytesPerSecond, 0);
  const written = pipes.reduce((all, pipe) => all + pipe.writeBytesPerSecond, 0);
  const ready = pipes.filter(({ state }) => state === "ready").length;
  const first = [
    `up ${uptimeText(engine.uptimeSeconds)}`,
    `${ready} of ${pipes.length} ${pipes.length === 1 ? "pipe" : "pipes"} ready`,
    `${whole(operations)} IOPS`,
    `read ${(read / MB).toFixed(1)} MB/s`,
    `write ${(written / MB).toFixed(1)} MB/s`,
    `CPU ${percent(engine.cpuShare)}`,
    `memory ${Math.round(engine.residentBytes / MIB)} MiB`,
  ];
  const lines = reactors.map((each) => {
    const { held, limit } = buffersOf(each);
    return (
      `reactor ${each.reactor}  load ${percent(each.load)}  spin ${percent(each.spin)}` +
      `  queue ${each.queue}  buffers ${held} of ${limit}  connections ${each.connections}`
    );
  });
  return `${[first.join("  "), ...lines].join("\n")}\n`;
}

export function operationsOf(rates: RatesView): number {
  return rates.readsPerSecond + rates.writesPerSecond + rates.othersPerSecond;
}

interface StageRow extends RatesView {
  readonly place: string;
  readonly what: string;
  /** Requests in it; null: not known. */
  readonly queue: number | null;
}

const RATE_COLUMNS: readonly Column<RatesView>[] = [
  { title: "READ/S", align: "right", text: ({ readsPerSecond }) => whole(readsPerSecond) },
  { title: "WRITE/S", align: "right", text: ({ writesPerSecond }) => whole(writesPerSecond) },
  { title: "OTHER/S", align: "right", text: ({ othersPerSecond }) => whole(othersPerSecond) },
  { title: "READ MB/S", align: "right", text: (row) => (row.readBytesPerSecond / MB).toFixed(1) },
  { title: "WRITE MB/S", align: "right", text: (row) => (row.writeBytesPerSecond / MB).toFixed(1) },
  { title: "P50 MS", align: "right", text: ({ latencyMs }) => msText(latencyMs, "p50") },
  { title: "P99 MS", align: "right", text: ({ latencyMs }) => msText(latencyMs, "p99") },
  { title: "ERRORS", align: "right", text: ({ errors }) => whole(errors) },
];

const PIPE_COLUMNS: readonly Column<PipeStatsView>[] = [
  { title: "PIPE", text: ({ pipe }) => pipe },
  { title: "STATE", text: ({ state }) => state },
  ...RATE_COLUMNS,
  { title: "CLIENTS", align: "right", text: ({ connections }) => whole(connections) },
];

const STAGE_COLUMNS: readonly Column<StageRow>[] = [
  { title: "STAGE", text: ({ place }) => place },
  { title: "KIND", text: ({ what }) => what },
  ...RATE_COLUMNS,
  { title: "QUEUE", align: "right", text: ({ queue }) => (queue === null ? "" : whole(queue)) },
];

const REACTOR_COLUMNS: readonly Column<ReactorView>[] = [
  { title: "REACTOR", text: ({ reactor }) => String(reactor) },
  { title: "LOAD", align: "right", text: ({ load }) => percent(load) },
  { title: "SPIN", align: "right", text: ({ spin }) => percent(spin) },
  { title: "QUEUE", align: "right", text: ({ queue }) => whole(queue) },
  { title: "TURNS/S", align: "right", text: ({ turnsPerSecond }) => whole(turnsPerSecond) },
  { title: "SLEEPS/S", align: "right", text: ({ sleepsPerSecond }) => whole(sleepsPerSecond) },
  { title: "CLIENTS", align: "right", text: ({ connections }) => whole(connections) },
  { title: "BUFFERS", align: "right", text: (row) => buffersOf(row).held },
  { title: "OF", align: "right", text: (row) => buffersOf(row).limit },
];

function buffersOf({ buffers }: ReactorView): { readonly held: string; readonly limit: string } {
  return { held: formatSize(buffers.heldBytes), limit: formatSize(buffers.limitBytes) };
}

function msText(latency: LatencyView | null, key: "p50" | "p99"): string {
  return latency === null ? "" : latency[key].toFixed(3);
}

function percent(share: number): string {
  return `${(share * PERCENT).toFixed(1)}%`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function uptimeText(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 1 ? `${minutes}m` : `${Math.floor(hours / 24)}d ${hours % 24}h ${minutes % 60}m`;
}
