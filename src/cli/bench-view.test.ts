// Tests of what bench tells: figures from histograms, the table, and what makes it fail.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import type { BenchResult } from "../bench/bench.ts";
import { Findings } from "../bench/findings.ts";
import { SectorStamp } from "../bench/sector-stamp.ts";
import { Operation } from "../block/operation.ts";
import { Status } from "../block/status.ts";
import { Histogram } from "../util/histogram.ts";
import { formatReport, problemsOf, reportOf } from "./bench-view.ts";

const ABOUT = { penstock: "1.2.3", pipe: "null:///x?size=1GiB", level: "uring" };

function result(parts: Partial<BenchResult> = {}): BenchResult {
  const read = new Histogram();
  for (let each = 1; each <= 1000; each++) read.record(each * 1000);
  return {
    job: {
      rw: "randread",
      blockBytes: 4096,
      depth: 32,
      seed: 42,
      verify: false,
      readPercent: 50,
      durationMs: 2000,
      warmUpMs: 0,
      offset: 4096,
      blockCount: 100,
    },
    connections: 4,
    elapsedMs: 2000,
    read,
    write: new Histogram(),
    cpu: { user: 3000, system: 5000 },
    findings: new Findings(),
    blocksReadBack: null,
    lastFlush: null,
    endedEarly: null,
    ...parts,
  };
}

test("the report has rates, latencies in microseconds and CPU per operation", () => {
  const report = reportOf(result(), ABOUT);
  const { latencyUs, ...rates } = report.read;
  deepStrictEqual(rates, {
    operations: 1000,
    bytes: 4_096_000,
    iops: 500,
    bytesPerSecond: 2_048_000,
  });
  deepStrictEqual([latencyUs?.min, latencyUs?.mean, latencyUs?.max], [1, 500.5, 1000]);
  for (const [found = 0, exact] of [
    [latencyUs?.p50, 500],
    [latencyUs?.p99, 990],
    [latencyUs?.p999, 999],
  ] as const) {
    strictEqual(found >= exact && found <= exact * (1 + 1 / 64), true, `${found} for ${exact}`);
  }
  strictEqual(report.write.latencyUs, null);
  deepStrictEqual(report.cpu, { userUs: 3000, systemUs: 5000, perOperationUs: 8, share: 0.004 });
  deepStrictEqual([report.elapsedUs, report.job.timeUs], [2_000_000, 2_000_000]);
  deepStrictEqual([report.job.rangeOffsetBytes, report.job.rangeBytes], [4096, 409_600]);
  deepStrictEqual([report.verification, report.errors.count], [null, 0]);
  deepStrictEqual(problemsOf(report), []);
});

test("the table has a line for each kind of operation that there was", () => {
  const lines = formatReport(reportOf(result(), ABOUT)).split("\n");
  strictEqual(lines[0], ABOUT.pipe);
  match(lines[1] ?? "", /^randread, 4KiB blocks, depth 32, 4 connections, bytes 4096 to 413696/);
  match(lines[3] ?? "", /^operation +count +IOPS +per second +mean us +p50 +p99 +p99\.9 +max$/);
  match(lines[4] ?? "", /^read +1000 +500 +1\.95MiB +500\.5 /);
  match(lines[6] ?? "", /^2\.00 s, client CPU 8\.00 us per operation, 0 % of a processor/);
  deepStrictEqual(lines.slice(7), [""]);
});

test("failed requests, wrong sectors and an early end each make it fail, and are told", () => {
  const findings = new Findings();
  const failed = { operation: Operation.write, offset: 8192, length: 4096 };
  findings.failed({ ...failed, status: Status.mediaError });
  findings.sectors = 16;
  const words = new Int32Array(256);
  new SectorStamp(42).write(words, 0, 512, { offset: 4096, generation: 2 });
  const place = { offset: 4096, generation: 2 };
  findings.differ(new SectorStamp(42), words, { at: 0, length: 1024 }, place);
  const { job } = result();
  const verified = { ...job, verify: true };
  const report = reportOf(result({ findings, endedEarly: "stopped", job: verified }), ABOUT);
  deepStrictEqual(problemsOf(report), [
    {
      code: "io-error",
      message:
        "1 requests failed, the first of them:\n  write of 4096 bytes at offset 8192: media-error",
    },
    {
      code: "verification-failed",
      message:
        "1 of 16 sectors are wrong, the first of them:\n" +
        "  offset 4608: expected seed 42, generation 2, found zeroes",
    },
    { code: "stopped", message: "ended by a signal before its time" },
  ]);
  match(formatReport(report), /^verified 16 sectors: 1 of them are wrong$/m);
});
