/**
 * `penstock bench`: runs one job on one pipe in this process and prints what came of it.
 *
 *   options and text checked --> opened --> run --> report --> exit 0, or 1: errors, wrong sectors
 *     first signal --> ends now, reports what there is, exit 1    second --> exit 130 at once
 */

import { randomInt, randomUUID } from "node:crypto";
import { Bench, type BenchResult } from "../bench/bench.ts";
import { checkOptions, type JobOptions, writes } from "../bench/job.ts";
import { planTarget, type Target } from "../bench/target.ts";
import { chooseLevel } from "../reactor/open-io.ts";
import { PenstockError } from "../util/errors.ts";
import type { BenchArguments } from "./bench-commands.ts";
import { formatReport, problemsOf, reportOf } from "./bench-view.ts";
import { ExitCode } from "./exit-code.ts";
import { manifest } from "./manifest.ts";
import { formatValue } from "./output.ts";
import { endByBug, exitAtOnceFor, StopSignals } from "./process-end.ts";
import { ProgressLine } from "./progress-line.ts";
import { printError } from "./report-error.ts";

const SEED_MAX = 2 ** 31;
const TIME_MS_DEFAULT = 5000;
/** Connections fill, and code is compiled. */
const WARM_UP_MS_DEFAULT = 500;

/** @returns the exit code; errors are on standard error already */
export async function runBench(text: string, options: BenchArguments): Promise<ExitCode> {
  const job = jobOf(options);
  checkOptions(job);
  const target = planTarget(text, options.connections);
  if (!options.yes) refuseOverwriting(target, job);
  const signals = new StopSignals();
  try {
    return await runJob(target, job, options, signals);
  } finally {
    signals.close();
  }
}

async function runJob(
  target: Target,
  job: JobOptions,
  options: Pick<BenchArguments, "io" | "output" | "spin">,
  signals: StopSignals,
): Promise<ExitCode> {
  const level = await chooseLevel(options.io);
  const exitAtOnce = await exitAtOnceFor(level);
  signals.exitAtOnce = exitAtOnce;
  process.on("uncaughtException", (error) => endByBug(error.stack ?? error.message, exitAtOnce));
  const line = new ProgressLine(process.stderr);
  const bench = new Bench({
    target,
    job,
    level,
    ...(options.spin === undefined ? {} : { spinMsMax: options.spin }),
    makeUuid: randomUUID,
    cpuTime: () => process.cpuUsage(),
    onProgress: (progress) => line.show(progress),
    onEvent: ({ level: severity, code, stage, message }) => {
      line.clear();
      process.stderr.write(`penstock: ${severity}: ${code}: ${stage}: ${message}\n`);
    },
  });
  void signals.stopped.then(() => bench.stop());
  let result: BenchResult;
  try {
    result = await bench.run();
  } finally {
    line.clear();
  }
  const report = reportOf(result, { penstock: manifest.version, pipe: target.text, level });
  const { output } = options;
  const shown = output === "table" ? formatReport(report) : formatValue(report, output);
  process.stdout.write(shown);
  const problems = problemsOf(report).map((problem) => new PenstockError(problem));
  if (result.lastFlush !== null) problems.push(result.lastFlush);
  for (const problem of problems) printError(problem);
  return problems.length > 0 ? ExitCode.failure : ExitCode.ok;
}

function jobOf(options: BenchArguments): JobOptions {
  const { rw, bs, depth, verify, readPercent, size, range, time, warmUp } = options;
  if (size !== undefined && range !== undefined) {
    const message = "found both --size and --range, expected one of them";
    throw new PenstockError({ code: "invalid-argument", message });
  }
  const part = range ?? (size === undefined ? undefined : { offset: 0, end: size });
  const isOnce = time === undefined && verify && (rw === "read" || rw === "write");
  return {
    rw,
    blockBytes: bs,
    depth,
    verify,
    readPercent,
    // Not the same each time: data that an earlier run has left would pass for this one's.
    seed: options.seed ?? randomInt(SEED_MAX),
    durationMs: isOnce ? null : (time ?? TIME_MS_DEFAULT),
    warmUpMs: warmUp ?? (isOnce ? 0 : WARM_UP_MS_DEFAULT),
    ...(part === undefined ? {} : { range: part }),
  };
}

function refuseOverwriting(target: Target, { rw, range }: JobOptions): void {
  if (!writes(rw) || target.isScratch) return;
  const what = range === undefined ? "all" : `bytes ${range.offset} to ${range.end}`;
  throw new PenstockError({
    code: "needs-yes",
    message:
      `found --rw ${rw}, which overwrites ${what} of ${target.text}: ` +
      "say --yes if nothing there is needed, or use --rw randread or read",
  });
}
