/**
 * `penstock engine`: the daemon in the foreground; without a supervisor, or as its worker.
 *
 *   RPC served --> `ready ADDRESS` per address --> serving, stored pipes open meanwhile
 *     first signal (or the end of stdin, or of the supervisor)
 *       --> drained, flushed, closed --> exit 0, or 1 when that failed
 *     second signal --> exit 130 at once
 */

import { randomUUID } from "node:crypto";
import { type EngineAddress, parseEngineAddress } from "../api/engine-address.ts";
import { Engine } from "../engine/engine.ts";
import { chooseLevel } from "../reactor/open-io.ts";
import { EngineLog } from "../telemetry/engine-log.ts";
import type { LogFormat, LogLevel } from "../telemetry/log-choices.ts";
import { dataDirFor, socketIn } from "./engine-place.ts";
import { SupervisorLink, type WorkerStart } from "./engine-worker-start.ts";
import { ExitCode } from "./exit-code.ts";
import { manifest } from "./manifest.ts";
import { endByBug, exitAtOnceFor, StopSignals, watchStdin } from "./process-end.ts";
import { printError } from "./report-error.ts";
import { lowerThreadPriority } from "./rpc-priority.ts";
import type { RunOptions } from "./run-options.ts";

export interface EngineRunOptions extends RunOptions {
  readonly dataDir?: string;
  readonly listen?: readonly string[];
  readonly metrics?: readonly string[];
  /** Absent: what suits standard error. */
  readonly logFormat?: LogFormat;
  readonly logLevel: LogLevel;
  /** Bytes. */
  readonly poolCache?: number;
  readonly rpcNice: number;
}

/**
 * @param worker what the supervisor says; null: there is none
 * @returns the exit code; errors are on standard error already
 */
export async function runEngine(
  options: EngineRunOptions,
  worker: WorkerStart | null,
): Promise<ExitCode> {
  const dataDir = dataDirFor(options.dataDir);
  const listen = options.listen?.map(parseEngineAddress) ?? [socketIn(dataDir)];
  const signals = new StopSignals();
  // Whoever reads our lines may go away; serving goes on.
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  const log = openLog(options);
  const link = worker === null ? null : new SupervisorLink(worker, () => signals.stop());
  try {
    const engine = await start({ signals, dataDir, listen, options, log, worker });
    for (const address of engine.listen) process.stdout.write(`ready ${address}\n`);
    for (const address of engine.metrics) process.stdout.write(`metrics ${metricsUrl(address)}\n`);
    link?.ready(engine.listen);
    if (options.stopOnStdinEnd) watchStdin(signals);
    const told = engine.onEvent((event) => log.write(event));
    await signals.stopped;
    const failures = await engine.close();
    await told;
    log.flush();
    await log.settled();
    let exitCode: ExitCode = ExitCode.ok;
    for (const failure of failures) exitCode = printError(failure);
    return exitCode;
  } finally {
    log.flush();
    if (options.stopOnStdinEnd) process.stdin.pause();
    link?.close();
    signals.close();
  }
}

interface StartParts {
  readonly signals: StopSignals;
  readonly dataDir: string;
  readonly listen: readonly EngineAddress[];
  readonly options: EngineRunOptions;
  readonly log: EngineLog;
  readonly worker: WorkerStart | null;
}

async function start(parts: StartParts): Promise<Engine> {
  const { signals, dataDir, listen, options, log, worker } = parts;
  const level = await chooseLevel(options.io);
  const exitAtOnce = await exitAtOnceFor(level);
  signals.exitAtOnce = exitAtOnce;
  const onFatal = (stack: string): void => {
    log.flush();
    endByBug(stack, exitAtOnce);
  };
  process.on("uncaughtException", (error) => onFatal(error.stack ?? error.message));
  const engine = await Engine.start({
    version: manifest.version,
    dataDir,
    listen,
    metrics: options.metrics?.map(parseEngineAddress) ?? [],
    level,
    reactors: options.reactors,
    placement: options.placement,
    makeUuid: randomUUID,
    onFatal,
    onBug: (stack) => log.write({ level: "error", code: "internal", message: stack }),
    ...(worker === null || worker.lastEnd === null ? {} : { restarted: restartOf(worker) }),
    ...(options.bufferLimit === undefined ? {} : { bufferLimitBytes: options.bufferLimit }),
    ...(options.spin === undefined ? {} : { spinMsMax: options.spin }),
    ...(options.poolCache === undefined ? {} : { poolCacheBytes: options.poolCache }),
  });
  // After the reactors have been started, whose threads would be as nice.
  lowerThreadPriority(options.rpcNice);
  const message = `version ${manifest.version}, level ${level}, at ${engine.listen.join(", ")}`;
  log.write({ level: "info", code: "engine-ready", message });
  return engine;
}

function restartOf({ restarts, lastEnd }: WorkerStart): string {
  return `restart ${restarts}: ${lastEnd}`;
}

function metricsUrl(address: string): string {
  return address.startsWith("unix:") ? `${address} /metrics` : `http://${address}/metrics`;
}

function openLog({ logLevel, logFormat }: EngineRunOptions): EngineLog {
  const format = logFormat ?? (process.stderr.isTTY ? "pretty" : "json");
  return new EngineLog({ level: logLevel, format, nowMs: () => Date.now() });
}
