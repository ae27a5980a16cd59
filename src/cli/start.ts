/**
 * `npm start`: an engine process that shares a file over NBD, a second process that verifies it,
 * and a live line until Ctrl-C; with `--check` only until it is verified.
 *
 *   folder made --> engine serving --> verified --> live --Ctrl-C--> engine stopped --> gone
 *
 * Whatever happens, both processes are gone when this ends. The disk is the user's and is never
 * written to from here: what is verified is a second, scratch export of the same engine.
 */

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { makeDataFolder } from "../engine/data-directory.ts";
import { percentEncode } from "../pipe/characters.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { attachHelp } from "./attach-help.ts";
import { EngineChild } from "./engine-child.ts";
import { ExitCode } from "./exit-code.ts";
import { formatRates, ratesBetween } from "./live-line.ts";
import { StopSignals } from "./process-end.ts";
import { PORT_DEFAULT, type StartOptions } from "./start-options.ts";
import type { StatsLine } from "./stats-lines.ts";
import type { VerifySummary } from "./verify-export.ts";

const DISK_SIZE = "1GiB";
const SCRATCH_SIZE = "256MiB";
const VERIFY_BYTES = 64 * 2 ** 20;
const SEED_RANGE = 2 ** 31;
const MB = 1e6;

/** The programs of the two processes. */
export interface StartPrograms {
  readonly engine: string;
  readonly verifier: string;
}

/** @returns the exit code. @throws PenstockError when it did not work */
export async function start(options: StartOptions, programs: StartPrograms): Promise<ExitCode> {
  const signals = new StopSignals();
  const folder = options.check ? join(options.dataDir, `check-${process.pid}`) : options.dataDir;
  await makeDataFolder(folder);
  const live = new LiveLine();
  let engine: EngineChild | null = null;
  try {
    engine = await startEngine(folder, options, programs.engine, (line) => live.show(line));
    // From here a second signal ends the engine the hard way, and us with it.
    const started = engine;
    signals.exitAtOnce = (code) => {
      started.kill();
      process.exit(code);
    };
    const verifyOnce = (uri: string): Promise<VerifySummary> =>
      verify(programs.verifier, uri, signals);
    return await run(started, { options, folder, signals, live, verifyOnce });
  } finally {
    await engine?.stop();
    if (options.check) await rm(folder, { recursive: true, force: true });
    signals.close();
  }
}

async function run(
  engine: EngineChild,
  parts: {
    readonly options: StartOptions;
    readonly folder: string;
    readonly signals: StopSignals;
    readonly live: LiveLine;
    verifyOnce(uri: string): Promise<VerifySummary>;
  },
): Promise<ExitCode> {
  const { options, folder, signals, live } = parts;
  const [diskUri = "", scratchUri = ""] = engine.uris;
  print(`Engine ${engine.pid} serves ${join(folder, "disk.img")}, ${DISK_SIZE}: ${diskUri}`);
  const summary = await Promise.race([
    parts.verifyOnce(scratchUri),
    signals.stopped,
    engine.ended.then((end) => Promise.reject(endedError(end.stderr))),
  ]);
  if (summary === undefined) return await stop(engine);
  print(`Verified ${describe(summary)}`);
  if (options.check) {
    const code = await stop(engine);
    print(code === ExitCode.ok ? "check passed" : "check failed");
    return code;
  }
  print(attachHelp(diskUri, scratchUri));
  live.isOn = true;
  const died = await Promise.race([signals.stopped, engine.ended]);
  live.end();
  if (died !== undefined) throw endedError(died.stderr);
  return await stop(engine);
}

/** On the default port, or on any when that is busy and nobody insists on it. */
async function startEngine(
  folder: string,
  options: StartOptions,
  program: string,
  onStats: (line: StatsLine) => void,
): Promise<EngineChild> {
  const startOn = (port: number): Promise<EngineChild> =>
    EngineChild.start({
      program,
      args: ["--io", options.io, "--stats", "1s"],
      pipes: pipesFor(folder, port),
      onStats,
    });
  try {
    return await startOn(options.port ?? PORT_DEFAULT);
  } catch (thrown) {
    const error = toPenstockError(thrown);
    if (error.code !== "address-in-use" || options.port !== undefined) throw error;
    print(`Port ${PORT_DEFAULT} is busy: taking another one.`);
    return await startOn(0);
  }
}

/** With port 0 each share gets a port of its own. */
function pipesFor(folder: string, port: number): string[] {
  const share = `nbd://127.0.0.1:${port}`;
  return [
    `${percentEncode(join(folder, "disk.img"))}?size=${DISK_SIZE} | ${share}/disk`,
    `${percentEncode(join(folder, "scratch.img"))}?size=${SCRATCH_SIZE} | ${share}/scratch`,
  ];
}

/** The second process; killed when we are to stop. */
async function verify(program: string, uri: string, signals: StopSignals): Promise<VerifySummary> {
  const seed = Math.floor(Math.random() * SEED_RANGE);
  const args = [...process.execArgv, program, uri, String(VERIFY_BYTES), String(seed)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  void signals.stopped.then(() => child.kill("SIGKILL"));
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code === 0) return JSON.parse(stdout) as VerifySummary;
  throw new PenstockError({
    code: "check-failed",
    message: `verifying ${uri} with seed ${seed} failed: ${stderr.trim()}`,
  });
}

async function stop(engine: EngineChild): Promise<ExitCode> {
  const end = await engine.stop();
  if (end.code === 0) {
    print("Engine stopped: everything is flushed.");
    return ExitCode.ok;
  }
  process.stderr.write(end.stderr);
  return ExitCode.failure;
}

function describe(summary: VerifySummary): string {
  const { bytes, requests, writeMs, readMs } = summary;
  const rate = (ms: number): string => `${(bytes / MB / (ms / 1000)).toFixed(0)} MB/s`;
  return (
    `${formatSize(bytes)} from a second process in ${requests} requests: ` +
    `written at ${rate(writeMs)}, flushed, read back at ${rate(readMs)}, every byte right.`
  );
}

function endedError(stderr: string): PenstockError {
  const words = stderr.trim();
  return new PenstockError({
    code: "engine-failed",
    message: `the engine has ended by itself${words === "" ? "" : `: ${words}`}`,
  });
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One line that is written over and over on a terminal, line after line elsewhere. */
class LiveLine {
  isOn = false;
  #before: StatsLine | null = null;
  #isOpen = false;

  show(line: StatsLine): void {
    const before = this.#before;
    this.#before = line;
    if (!this.isOn || before === null) return;
    const text = formatRates(ratesBetween(before, line));
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\u001b[2K${text}`);
      this.#isOpen = true;
    } else {
      print(text);
    }
  }

  /** Nothing is shown afterwards. */
  end(): void {
    this.isOn = false;
    if (this.#isOpen) print("");
  }
}
