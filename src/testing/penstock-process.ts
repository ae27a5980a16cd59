/**
 * Runs `bin/penstock pipe run` or `penstock engine` for a test: waits until every share, or the
 * engine's RPC, is ready, and stops it after.
 *
 *   start --"ready URI" per share or address--> serving --stop(signal)--> exited
 *
 * The process is ours alone and is signalled by its pid: bin/penstock becomes Node by exec.
 */

import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { spawnTracked } from "./child-processes.ts";
import { cleanUp, type TestScope } from "./cleanup.ts";
import type { Level } from "./levels.ts";
import { tail } from "./run-command.ts";

export const REPOSITORY_ROOT = join(import.meta.dirname, "../..");
export const PENSTOCK = join(REPOSITORY_ROOT, "bin", "penstock");

/** One or two seconds, but much longer on a machine that does ten things at once. */
const READY_TIMEOUT_MS = 60_000;
/** A stop takes as long as the device's own flush; this bounds it for tests that do not measure. */
const STOP_TIMEOUT_MS = 60_000;
const STDERR_CHARACTERS_MAX = 1_000_000;

export interface PenstockOptions {
  /** A program and its first arguments that becomes what the further arguments say, by exec. */
  readonly launcher?: readonly string[];
  /** How it reaches the kernel and its reactors; default: what Penstock chooses itself. */
  readonly level?: Level;
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly readyTimeoutMs?: number;
}

export interface ExitStatus {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class PenstockProcess {
  readonly pid: number;
  /** What each `ready` line named, in the order of the lines. */
  readonly uris: readonly string[];
  /** Settles when the process is gone and its output has been read. */
  readonly exited: Promise<ExitStatus>;
  readonly #stderr: StderrText;

  constructor(
    child: ChildProcess,
    parts: {
      readonly uris: readonly string[];
      readonly exited: Promise<ExitStatus>;
      readonly stderr: StderrText;
    },
  ) {
    this.pid = child.pid ?? 0;
    this.uris = parts.uris;
    this.exited = parts.exited;
    this.#stderr = parts.stderr;
  }

  /** The only share, or the first one. */
  get uri(): string {
    return this.uris[0] ?? "";
  }

  /** What it has written to standard error so far. */
  get stderr(): string {
    return this.#stderr.text;
  }

  /** Stops reading its standard error: from now on a write there fails. */
  closeStderr(): void {
    this.#stderr.close();
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Sends `signal` and waits for the end; rejects with standard error when it does not end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<ExitStatus> {
    this.signal(signal);
    return await withTimeout(
      this.exited,
      STOP_TIMEOUT_MS,
      () => `penstock still runs ${STOP_TIMEOUT_MS} ms after ${signal}:\n${tail(this.stderr)}`,
    );
  }
}

/** Starts one process that serves `pipes`; resolves when all of them are ready. */
export async function startPenstock(
  t: TestScope,
  pipes: string | readonly string[],
  options: PenstockOptions = {},
): Promise<PenstockProcess> {
  const list = typeof pipes === "string" ? [pipes] : pipes;
  const levelArgs = options.level?.args ?? [];
  const args = ["pipe", "run", ...levelArgs, ...(options.args ?? []), ...list];
  return await startProcess(t, args, { readyLines: list.length, options });
}

/** Starts an engine on `dataDir`; resolves when its RPC answers at its `uri`. */
export async function startEngine(
  t: TestScope,
  dataDir: string,
  options: PenstockOptions = {},
): Promise<PenstockProcess> {
  const levelArgs = options.level?.args ?? [];
  const args = ["engine", "--data-dir", dataDir, ...levelArgs, ...(options.args ?? [])];
  return await startProcess(t, args, { readyLines: 1, options });
}

async function startProcess(
  t: TestScope,
  args: readonly string[],
  { readyLines, options }: { readonly readyLines: number; readonly options: PenstockOptions },
): Promise<PenstockProcess> {
  const [program = PENSTOCK, ...more] = [...(options.launcher ?? []), PENSTOCK, ...args];
  const child = spawnTracked(program, more, {
    cwd: REPOSITORY_ROOT,
    env: { ...process.env, ...options.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  cleanUp(t, async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const stderr = new StderrText(child);
  const uris = await withTimeout(
    readyUris(child, readyLines, exited),
    options.readyTimeoutMs ?? READY_TIMEOUT_MS,
    () => `penstock ${args.join(" ")}: not ready in time`,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\n--- stderr of penstock\n${tail(stderr.text)}`);
  });
  return new PenstockProcess(child, { uris, exited, stderr });
}

class StderrText {
  text = "";
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.text = (this.text + chunk.toString("utf8")).slice(-STDERR_CHARACTERS_MAX);
    });
  }

  close(): void {
    this.#child.stderr?.destroy();
  }
}

async function readyUris(
  child: ChildProcess,
  count: number,
  exited: Promise<ExitStatus>,
): Promise<string[]> {
  const uris: string[] = [];
  const { stdout } = child;
  const allReady = new Promise<string[]>((resolve, reject) => {
    child.once("error", reject);
    if (stdout === null) {
      return;
    }
    createInterface({ input: stdout }).on("line", (line) => {
      if (line.startsWith("ready ")) {
        uris.push(line.slice("ready ".length).trim());
      }
      if (uris.length === count) {
        resolve(uris);
      }
    });
  });
  const endedEarly = exited.then((status): never => {
    throw new Error(`penstock ended before it was ready: ${JSON.stringify(status)}`);
  });
  return await Promise.race([allReady, endedEarly]);
}

/** Rejects with `message()` unless `promise` settles within `timeoutMs`. */
export async function withTimeout<T>(
  promise: Promise<T>,
  timeoutMs: number,
  message: () => string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(message())), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
