/**
 * EngineChild: a `penstock pipe run` process of our own, watched through its output.
 *
 *   starting --"ready URI" per pipe--> serving --stop()--> exited
 *
 * It leads its own process group, so that Ctrl-C in a terminal reaches us alone and we stop it
 * once; and it stops when its standard input ends, so that it never outlives us.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PenstockError } from "../util/errors.ts";
import { STATS_PREFIX, type StatsLine } from "./stats-lines.ts";

const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];
const READY_PREFIX = "ready ";
const READY_MS_MAX = 60_000;
/** Drained within two seconds, but the device's own flush takes what it takes. */
const STOP_MS_MAX = 60_000;
const STDERR_CHARACTERS_MAX = 64 * 1024;

export interface EngineOptions {
  /** The command line's entry, src/bin/penstock.ts. */
  readonly program: string;
  readonly pipes: readonly string[];
  /** Arguments of `pipe run`, before the pipes. */
  readonly args: readonly string[];
  onStats(line: StatsLine): void;
}

/** How it ended: its exit code, 128 + signal's number unknown as 1. */
export interface EngineEnd {
  readonly code: number;
  readonly stderr: string;
}

export class EngineChild {
  /** In the order of the pipes. */
  uris: readonly string[] = [];
  readonly pid: number;
  readonly ended: Promise<EngineEnd>;
  readonly #child: ChildProcess;
  #stderr = "";

  /** Settles when all shares are ready. @throws PenstockError with the engine's own words */
  static async start(options: EngineOptions): Promise<EngineChild> {
    const engine = new EngineChild(options);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), READY_MS_MAX);
    });
    const outcome = await Promise.race([engine.#ready(options), engine.ended, late]);
    clearTimeout(timer);
    if (outcome === "ready") return engine;
    if (outcome === "late") engine.kill();
    const end = await engine.ended;
    throw engineError(outcome === "late" ? `not ready after ${READY_MS_MAX} ms` : end.stderr);
  }

  private constructor(options: EngineOptions) {
    const args = [...NODE_FLAGS, options.program, "pipe", "run", "--stop-on-stdin-end"];
    this.#child = spawn(process.execPath, [...args, ...options.args, ...options.pipes], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString("utf8")).slice(-STDERR_CHARACTERS_MAX);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve({ code: 1, stderr: error.message }));
      this.#child.once("close", (code) => resolve({ code: code ?? 1, stderr: this.#stderr }));
    });
  }

  /** Drained, flushed, gone; killed when it takes for ever. Idempotent. */
  async stop(): Promise<EngineEnd> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), STOP_MS_MAX);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #ready(options: EngineOptions): Promise<"ready"> {
    const uris: string[] = [];
    this.uris = uris;
    return new Promise((resolve) => {
      const { stdout } = this.#child;
      if (stdout === null) return;
      createInterface({ input: stdout }).on("line", (line) => {
        if (line.startsWith(STATS_PREFIX)) {
          options.onStats(JSON.parse(line.slice(STATS_PREFIX.length)) as StatsLine);
        } else if (line.startsWith(READY_PREFIX)) {
          uris.push(line.slice(READY_PREFIX.length));
          if (uris.length === options.pipes.length) resolve("ready");
        }
      });
    });
  }
}

/** The engine's own error, code and all, as ours. */
function engineError(stderr: string): PenstockError {
  const text = stderr.trim();
  const match = /^penstock: ([a-z-]+): (.*)/s.exec(text);
  return new PenstockError({
    code: match?.[1] ?? "engine-failed",
    message: match?.[2] ?? (text === "" ? "the engine ended without a word" : text),
  });
}
