/**
 * `penstock engine`: the daemon in the foreground.
 *
 *   RPC served --> `ready ADDRESS` per address --> serving, stored pipes open meanwhile
 *     first signal (or end of stdin) --> drained, flushed, closed --> exit 0, or 1 when that failed
 *     second signal --> exit 130 at once
 */

import { randomUUID } from "node:crypto";
import { type EngineAddress, parseEngineAddress } from "../api/engine-address.ts";
import { Engine } from "../engine/engine.ts";
import type { EngineEvent } from "../engine/engine-event.ts";
import { chooseLevel } from "../reactor/open-io.ts";
import { dataDirFor, socketIn } from "./engine-place.ts";
import { ExitCode } from "./exit-code.ts";
import { manifest } from "./manifest.ts";
import { endByBug, exitAtOnceFor, StopSignals, watchStdin } from "./process-end.ts";
import { printError } from "./report-error.ts";
import type { RunOptions } from "./run-options.ts";

export interface EngineRunOptions extends RunOptions {
  readonly dataDir?: string;
  readonly listen?: readonly string[];
}

/** @returns the exit code; errors are on standard error already */
export async function runEngine(options: EngineRunOptions): Promise<ExitCode> {
  const dataDir = dataDirFor(options.dataDir);
  const listen = options.listen?.map(parseEngineAddress) ?? [socketIn(dataDir)];
  const signals = new StopSignals();
  // Whoever reads our lines may go away; serving goes on.
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  try {
    const engine = await start(signals, dataDir, listen, options);
    for (const address of engine.listen) process.stdout.write(`ready ${address}\n`);
    if (options.stopOnStdinEnd) watchStdin(signals);
    const told = engine.onEvent(print);
    await signals.stopped;
    let exitCode: ExitCode = ExitCode.ok;
    for (const failure of await engine.close()) exitCode = printError(failure);
    await told;
    return exitCode;
  } finally {
    if (options.stopOnStdinEnd) process.stdin.pause();
    signals.close();
  }
}

async function start(
  signals: StopSignals,
  dataDir: string,
  listen: readonly EngineAddress[],
  options: EngineRunOptions,
): Promise<Engine> {
  const level = await chooseLevel(options.io);
  const exitAtOnce = await exitAtOnceFor(level);
  signals.exitAtOnce = exitAtOnce;
  const onFatal = (stack: string): void => endByBug(stack, exitAtOnce);
  process.on("uncaughtException", (error) => onFatal(error.stack ?? error.message));
  return await Engine.start({
    version: manifest.version,
    dataDir,
    listen,
    level,
    reactors: options.reactors,
    placement: options.placement,
    makeUuid: randomUUID,
    onFatal,
    onBug: (stack) => process.stderr.write(`penstock: internal: ${stack}\n`),
    ...(options.bufferLimit === undefined ? {} : { bufferLimitBytes: options.bufferLimit }),
    ...(options.spin === undefined ? {} : { spinMsMax: options.spin }),
  });
}

/** What people should know of; the rest is for `penstock events`. */
function print({ level, code, pipe, stage, message }: EngineEvent): void {
  if (level === "info") return;
  const where = [pipe, stage].filter((word) => word !== "").map((word) => `${word}: `);
  process.stderr.write(`penstock: ${level}: ${code}: ${where.join("")}${message}\n`);
}
