/**
 * The client of every cell: fio's nbd engine, one connection, on its own core. Stateless.
 */

import { runCommand } from "../src/testing/run-command.ts";
import type { Operation } from "./scenarios.ts";
import { pinned } from "./servers/server.ts";

/** fio needs some time to start and to end, and loaded machines more of it. */
const OVERHEAD_MS_MAX = 60_000;

export interface ClientRun {
  readonly uri: string;
  readonly core: number | null;
  readonly operation: Pick<Operation, "rw" | "blockBytes" | "depth">;
  readonly sizeBytes: number;
  /** Null: once over the whole size. */
  readonly durationMs: number | null;
}

export interface ClientFigures {
  /** All that were sent and answered. */
  readonly operations: number;
  readonly iops: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of one core. */
  readonly cpuShare: number;
}

interface FioDirection {
  readonly total_ios: number;
  readonly iops: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly usr_cpu: number;
    readonly sys_cpu: number;
    readonly read: FioDirection;
    readonly write: FioDirection;
  }[];
}

export async function runFio(run: ClientRun): Promise<ClientFigures> {
  const { operation, durationMs } = run;
  const line = pinned(run.core, [
    "fio",
    "--name=cell",
    "--ioengine=nbd",
    `--uri=${run.uri}`,
    "--thread=1",
    `--rw=${operation.rw}`,
    `--bs=${operation.blockBytes}`,
    `--iodepth=${operation.depth}`,
    `--size=${run.sizeBytes}`,
    "--norandommap=1",
    ...(durationMs === null ? [] : ["--time_based=1", `--runtime=${Math.round(durationMs)}ms`]),
    "--output-format=json",
  ]);
  const { stdout } = await runCommand(line[0], line.slice(1), {
    timeoutMs: (durationMs ?? 0) + OVERHEAD_MS_MAX,
  });
  // The engine prints a line for each connection first.
  const report = JSON.parse(stdout.slice(stdout.indexOf("{"))) as FioReport;
  const job = report.jobs[0];
  if (job === undefined || job.error !== 0) throw new Error(`fio failed: ${stdout.slice(0, 2000)}`);
  const figures = operation.rw.endsWith("read") ? job.read : job.write;
  return {
    operations: figures.total_ios,
    iops: figures.iops,
    p50Us: (figures.clat_ns.percentile?.["50.000000"] ?? 0) / 1e3,
    p99Us: (figures.clat_ns.percentile?.["99.000000"] ?? 0) / 1e3,
    cpuShare: (job.usr_cpu + job.sys_cpu) / 100,
  };
}
