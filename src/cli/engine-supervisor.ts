/**
 * EngineSupervisor: `penstock engine` as two processes, so that an engine that dies is back.
 *
 *   worker started --ready--> serving --killed, or a bug--> (a wait, if it was short) --> started
 *      |                         |
 *      | ended before it was     | ended of its own accord, by a signal of ours or to itself
 *      v ever ready              v
 *   its exit code is ours      its exit code is ours
 *
 * The supervisor holds no data and does nothing while the worker lives: no timer, no polling. The
 * worker has our standard streams, and a channel (IPC) over which it says where it listens. When
 * we are killed the channel ends, and the worker stops by itself: cleanly, with a last flush.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { PenstockError } from "../util/errors.ts";
import type { EngineRunOptions } from "./engine-run.ts";
import { ExitCode } from "./exit-code.ts";
import { printError } from "./report-error.ts";
import { restartDelay } from "./restart-delay.ts";
import { WORKER_VARIABLE, type WorkerReady, type WorkerStart } from "./engine-worker-start.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** A worker that a second signal has not ended after this is killed. */
const KILL_MS = 5000;

/** How one life of the worker ended. */
interface WorkerEnd {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly isReady: boolean;
  readonly livedMs: number;
}

export class EngineSupervisor {
  readonly #args: readonly string[];
  #options: EngineRunOptions;
  #worker: ChildProcess | null = null;
  /** Signals that we got. */
  #signals = 0;
  #endWait: (() => void) | null = null;
  #killTimer: NodeJS.Timeout | undefined;
  readonly #listener = (signal: NodeJS.Signals): void => this.#signalled(signal);

  /** @param args of this very command: what `ps` shows of the worker */
  constructor(options: EngineRunOptions, args: readonly string[]) {
    this.#options = options;
    this.#args = args;
  }

  /** @returns the exit code, of the engine itself if it has stopped */
  async run(): Promise<ExitCode> {
    for (const signal of SIGNALS) process.on(signal, this.#listener);
    try {
      return await this.#superviseUntilStopped();
    } finally {
      for (const signal of SIGNALS) process.off(signal, this.#listener);
      clearTimeout(this.#killTimer);
    }
  }

  async #superviseUntilStopped(): Promise<ExitCode> {
    let wasReady = false;
    let shortLives = 0;
    let lastEnd: string | null = null;
    for (let restarts = 0; ; restarts += 1) {
      const end = await this.#live({ options: this.#options, restarts, lastEnd });
      wasReady ||= end.isReady;
      if (!wasReady || this.#signals > 0 || isStop(end)) return exitCodeOf(end);
      lastEnd = describeEnd(end);
      const next = restartDelay({ shortLives, livedMs: end.livedMs });
      shortLives = next.shortLives;
      await this.#wait(next.delayMs);
      if (this.#signals > 0) return stoppedWhileDown(lastEnd);
    }
  }

  #live(start: WorkerStart): Promise<WorkerEnd> {
    const startedMs = performance.now();
    const worker = spawn(process.execPath, [...process.execArgv, ...this.#args], {
      stdio: ["inherit", "inherit", "inherit", "ipc"],
      env: { ...process.env, [WORKER_VARIABLE]: JSON.stringify(start) },
    });
    this.#worker = worker;
    let isReady = false;
    worker.on("message", ({ listen }: WorkerReady) => {
      isReady = true;
      // Free ports that were found once are asked for again.
      this.#options = { ...this.#options, listen };
    });
    return new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#worker = null;
        resolve({ code, signal, isReady, livedMs: performance.now() - startedMs });
      };
      worker.once("exit", end);
      worker.once("error", (error) => {
        // Also of a signal that could not be sent; only one that never ran has no number.
        if (worker.pid !== undefined) return;
        printError(new PenstockError({ code: "engine-not-started", message: error.message }));
        end(ExitCode.failure, null);
      });
    });
  }

  #signalled(signal: NodeJS.Signals): void {
    this.#signals += 1;
    this.#endWait?.();
    this.#worker?.kill(signal);
    if (this.#signals !== 2) return;
    this.#killTimer = setTimeout(() => this.#worker?.kill("SIGKILL"), KILL_MS);
    this.#killTimer.unref();
  }

  async #wait(delayMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#endWait = resolve;
      timer = setTimeout(resolve, delayMs);
    });
    clearTimeout(timer);
    this.#endWait = null;
  }
}

/** It was told to end, by somebody else than us, and did; or its last flush has failed then. */
function isStop({ code, isReady }: WorkerEnd): boolean {
  const codes: readonly (number | null)[] = [ExitCode.ok, ExitCode.failure, ExitCode.interrupted];
  return isReady && codes.includes(code);
}

/** Of a worker that is not started again. */
function exitCodeOf(end: WorkerEnd): ExitCode {
  const known = Object.values(ExitCode).find((each) => each === end.code);
  if (known !== undefined) return known;
  if (end.code === null && !end.isReady) return ExitCode.interrupted;
  const message = `the engine could not be stopped: ${describeEnd(end)}`;
  return printError(new PenstockError({ code: "engine-failed", message }));
}

function describeEnd({ code, signal }: WorkerEnd): string {
  if (signal !== null) return `it was ended by ${signal}`;
  return code === ExitCode.internal ? "it found a bug and ended" : `it ended with code ${code}`;
}

function stoppedWhileDown(lastEnd: string): ExitCode {
  const message = `stopped while the engine was down: ${lastEnd}`;
  return printError(new PenstockError({ code: "engine-failed", message }));
}
