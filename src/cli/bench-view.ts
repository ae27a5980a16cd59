/**
 * What `penstock bench` tells: a report for programs, whose JSON is a contract
 * (docs/guide/bench.md), and tables for people. Pure.
 */

import type { BenchResult, EarlyEnd } from "../bench/bench.ts";
import {
  type BadSector,
  describeBadSector,
  describeFailure,
  type FailedRequest,
} from "../bench/findings.ts";
import type { Histogram } from "../util/histogram.ts";
import { formatSize } from "../util/size.ts";
import { type Column, formatTable } from "./output.ts";

/** Microseconds. */
export interface LatencyReport {
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface DirectionReport {
  readonly operations: number;
  readonly bytes: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  /** Null when there was no operation. */
  readonly latencyUs: LatencyReport | null;
}

export interface BenchReport {
  readonly penstock: string;
  /** Canonical. */
  readonly pipe: string;
  readonly level: string;
  readonly job: {
    readonly rw: string;
    readonly blockBytes: number;
    readonly depth: number;
    /** In use; null: the source has none. */
    readonly connections: number | null;
    readonly seed: number;
    readonly verify: boolean;
    readonly readPercent: number;
    readonly rangeOffsetBytes: number;
    readonly rangeBytes: number;
    /** Null: once over the range. */
    readonly timeUs: number | null;
    readonly warmUpUs: number;
  };
  /** Of the part that was measured. */
  readonly elapsedUs: number;
  readonly read: DirectionReport;
  readonly write: DirectionReport;
  readonly cpu: {
    readonly userUs: number;
    readonly systemUs: number;
    /** Null when there was no operation. */
    readonly perOperationUs: number | null;
    /** Of one processor. */
    readonly share: number;
  };
  readonly errors: { readonly count: number; readonly first: readonly FailedRequest[] };
  /** Null without --verify. */
  readonly verification: {
    readonly sectors: number;
    readonly badSectors: number;
    /** Null: the run did not write, or it ended early. */
    readonly blocksReadBack: number | null;
    readonly first: readonly BadSector[];
  } | null;
  readonly endedEarly: EarlyEnd | null;
}

const US_PER_MS = 1e3;
const US_PER_SECOND = 1e6;
const NS_PER_US = 1e3;

export function reportOf(
  result: BenchResult,
  about: { readonly penstock: string; readonly pipe: string; readonly level: string },
): BenchReport {
  const { job, findings, cpu } = result;
  const elapsedUs = round(result.elapsedMs * US_PER_MS);
  const read = directionOf(result.read, job.blockBytes, elapsedUs);
  const write = directionOf(result.write, job.blockBytes, elapsedUs);
  const operations = read.operations + write.operations;
  const cpuUs = cpu.user + cpu.system;
  return {
    ...about,
    job: {
      rw: job.rw,
      blockBytes: job.blockBytes,
      depth: job.depth,
      connections: result.connections,
      seed: job.seed,
      verify: job.verify,
      readPercent: job.readPercent,
      rangeOffsetBytes: job.offset,
      rangeBytes: job.blockCount * job.blockBytes,
      timeUs: job.durationMs === null ? null : round(job.durationMs * US_PER_MS),
      warmUpUs: round(job.warmUpMs * US_PER_MS),
    },
    elapsedUs,
    read,
    write,
    cpu: {
      userUs: cpu.user,
      systemUs: cpu.system,
      perOperationUs: operations === 0 ? null : round(cpuUs / operations),
      share: elapsedUs === 0 ? 0 : round(cpuUs / elapsedUs),
    },
    errors: { count: findings.failures, first: findings.firstFailures },
    verification: job.verify
      ? {
          sectors: findings.sectors,
          badSectors: findings.badSectors,
          blocksReadBack: result.blocksReadBack,
          first: findings.firstBad,
        }
      : null,
    endedEarly: result.endedEarly,
  };
}

/** Lines, each with its end. */
export function formatReport(report: BenchReport): string {
  const { job, cpu, verification } = report;
  const end = job.rangeOffsetBytes + job.rangeBytes;
  const connections = job.connections === null ? "" : `, ${job.connections} connections`;
  const lines = [
    report.pipe,
    `${job.rw}, ${formatSize(job.blockBytes)} blocks, depth ${job.depth}${connections}, ` +
      `bytes ${job.rangeOffsetBytes} to ${end} (${formatSize(job.rangeBytes)}), ` +
      `seed ${job.seed}, level ${report.level}`,
    "",
    formatDirections(report),
    `${(report.elapsedUs / US_PER_SECOND).toFixed(2)} s, client CPU ` +
      `${cpu.perOperationUs === null ? "-" : cpu.perOperationUs.toFixed(2)} us per operation, ` +
      `${(cpu.share * 100).toFixed(0)} % of a processor ` +
      `(user ${inSeconds(cpu.userUs)}, system ${inSeconds(cpu.systemUs)})`,
  ];
  if (verification !== null) {
    const { sectors, badSectors, blocksReadBack } = verification;
    const back = blocksReadBack === null ? "" : `, ${blocksReadBack} blocks read back`;
    const bad = badSectors === 0 ? "all as they should be" : `${badSectors} of them are wrong`;
    lines.push(`verified ${sectors} sectors${back}: ${bad}`);
  }
  return `${lines.join("\n")}\n`;
}

/** What makes the command fail, one message each; none when all went well. */
export function problemsOf(report: BenchReport): { code: string; message: string }[] {
  const { errors, verification, endedEarly } = report;
  const problems: { code: string; message: string }[] = [];
  if (errors.count > 0) {
    const first = errors.first.map(describeFailure);
    const head = `${errors.count} requests failed, the first of them:`;
    problems.push({ code: "io-error", message: [head, ...first].join("\n  ") });
  }
  if (verification !== null && verification.badSectors > 0) {
    const first = verification.first.map(describeBadSector);
    const { badSectors, sectors } = verification;
    const head = `${badSectors} of ${sectors} sectors are wrong, the first of them:`;
    problems.push({ code: "verification-failed", message: [head, ...first].join("\n  ") });
  }
  if (endedEarly === "stopped") {
    problems.push({ code: "stopped", message: "ended by a signal before its time" });
  }
  return problems;
}

function directionOf(latency: Histogram, blockBytes: number, elapsedUs: number): DirectionReport {
  const operations = latency.count;
  const perSecond = elapsedUs === 0 ? 0 : US_PER_SECOND / elapsedUs;
  const bytes = operations * blockBytes;
  const at = (quantile: number): number => round(latency.quantile(quantile) / NS_PER_US);
  return {
    operations,
    bytes,
    iops: round(operations * perSecond),
    bytesPerSecond: round(bytes * perSecond),
    latencyUs:
      operations === 0
        ? null
        : {
            min: round(latency.min / NS_PER_US),
            mean: round(latency.mean / NS_PER_US),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: round(latency.max / NS_PER_US),
          },
  };
}

interface Row extends DirectionReport {
  readonly name: string;
  readonly latencyUs: LatencyReport;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "operation", text: ({ name }) => name },
  { title: "count", align: "right", text: ({ operations }) => String(operations) },
  { title: "IOPS", align: "right", text: ({ iops }) => iops.toFixed(0) },
  {
    title: "per second",
    align: "right",
    text: ({ bytesPerSecond }) => formatSize(Math.round(bytesPerSecond)),
  },
  { title: "mean us", align: "right", text: ({ latencyUs }) => latencyUs.mean.toFixed(1) },
  { title: "p50", align: "right", text: ({ latencyUs }) => latencyUs.p50.toFixed(1) },
  { title: "p99", align: "right", text: ({ latencyUs }) => latencyUs.p99.toFixed(1) },
  { title: "p99.9", align: "right", text: ({ latencyUs }) => latencyUs.p999.toFixed(1) },
  { title: "max", align: "right", text: ({ latencyUs }) => latencyUs.max.toFixed(1) },
];

function formatDirections({ read, write }: BenchReport): string {
  const rows = Object.entries({ read, write }).flatMap(([name, direction]) => {
    const { latencyUs } = direction;
    return latencyUs === null ? [] : [{ ...direction, name, latencyUs }];
  });
  return formatTable(rows, COLUMNS);
}

function inSeconds(us: number): string {
  return `${(us / US_PER_SECOND).toFixed(2)} s`;
}

/** Three decimals: more is noise. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
