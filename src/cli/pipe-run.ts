/**
 * `penstock pipe run`: serves pipes in the foreground.
 *
 *   texts checked --> reactors started --> pipes opened, one `ready URI` each --> serving
 *     first signal (or end of stdin) --> drained, flushed, closed --> exit 0, or 1 when that failed
 *     second signal --> exit 130 at once
 */

import { randomUUID } from "node:crypto";
import { PipeHost } from "../pipe/pipe-host.ts";
import { planPipes } from "../pipe/pipe-plan.ts";
import { chooseLevel } from "../reactor/open-io.ts";
import { ExitCode } from "./exit-code.ts";
import { inOneLine } from "./in-one-line.ts";
import { endByBug, exitAtOnceFor, StopSignals, watchStdin } from "./process-end.ts";
import { printError } from "./report-error.ts";
import type { RunOptions } from "./run-options.ts";
import { StatsLines } from "./stats-lines.ts";

export interface PipeRunOptions extends RunOptions {
  /** Milliseconds. */
  readonly stats?: number;
}

/** @returns the exit code; errors are on standard error already */
export async function runPipes(
  texts: readonly string[],
  options: PipeRunOptions,
): Promise<ExitCode> {
  planPipes(texts);
  const signals = new StopSignals();
  // Whoever reads our lines may go away; serving goes on.
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  try {
    const host = await startHost(signals, options);
    return await serve(host, signals, texts, options);
  } finally {
    signals.close();
  }
}

async function startHost(signals: StopSignals, options: PipeRunOptions): Promise<PipeHost> {
  const level = await chooseLevel(options.io);
  const exitAtOnce = await exitAtOnceFor(level);
  signals.exitAtOnce = exitAtOnce;
  const onFatal = (stack: string): void => endByBug(stack, exitAtOnce);
  process.on("uncaughtException", (error) => onFatal(error.stack ?? error.message));
  return await PipeHost.start({
    level,
    reactors: options.reactors,
    placement: options.placement,
    makeUuid: randomUUID,
    onFatal,
    onEvent: (_pipeId, { level, code, stage, message }) => {
      process.stderr.write(`penstock: ${level}: ${code}: ${inOneLine(`${stage}: ${message}`)}\n`);
    },
    ...(options.bufferLimit === undefined ? {} : { bufferLimitBytes: options.bufferLimit }),
    ...(options.spin === undefined ? {} : { spinMsMax: options.spin }),
  });
}

async function serve(
  host: PipeHost,
  signals: StopSignals,
  texts: readonly string[],
  options: PipeRunOptions,
): Promise<ExitCode> {
  if (options.stopOnStdinEnd) watchStdin(signals);
  const stats = options.stats === undefined ? null : new StatsLines(host, options.stats);
  let exitCode: ExitCode = ExitCode.ok;
  try {
    for (const text of texts) {
      if (signals.isStopped) break;
      const pipe = await host.open(text);
      process.stdout.write(`ready ${pipe.uri}\n`);
    }
    stats?.start();
    await signals.stopped;
  } catch (thrown) {
    exitCode = printError(thrown);
  }
  await stats?.stop();
  for (const failure of await host.close()) exitCode = printError(failure);
  if (options.stopOnStdinEnd) process.stdin.pause();
  return exitCode;
}
