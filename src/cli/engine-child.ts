/**
 * EngineChild: a `penstock engine` process of our own.
 *
 *   starting --"ready ADDRESS"--> serving --stop(), kill()--> exited
 *
 * It leads its own process group, so that Ctrl-C in a terminal reaches us alone and we stop it
 * once; and it stops when its standard input ends, so that it never outlives us.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseEngineAddress } from "../api/engine-address.ts";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { PenstockError } from "../util/errors.ts";

const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];
const READY_PREFIX = "ready ";
const READY_MS_MAX = 60_000;
/** Drained within two seconds, but the device's own flush takes what it takes. */
const STOP_MS_MAX = 60_000;
const STDERR_CHARACTERS_MAX = 64 * 1024;

export interface EngineChildOptions {
  /** The command line's entry, src/bin/penstock.ts. */
  readonly program: string;
  readonly dataDir: string;
  /** Of its RPC: "unix:PATH". */
  readonly address: string;
  /** More arguments of `penstock engine`. */
  readonly args: readonly string[];
}

/** How it ended: its exit code, or 1 when a signal ended it. */
export interface EngineEnd {
  readonly code: number;
  readonly stderr: string;
}

export class EngineChild {
  readonly pid: number;
  readonly address: string;
  readonly ended: Promise<EngineEnd>;
  /** Null while it runs. */
  end: EngineEnd | null = null;
  readonly #child: ChildProcess;
  #stderr = "";

  /** Settles when its RPC answers. @throws PenstockError with the engine's own words */
  static async start(options: EngineChildOptions): Promise<EngineChild> {
    const engine = new EngineChild(options);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), READY_MS_MAX);
    });
    const outcome = await Promise.race([engine.#ready(), engine.ended, late]);
    clearTimeout(timer);
    if (outcome === "ready") return engine;
    if (outcome === "late") engine.kill();
    const end = await engine.ended;
    throw engineError(outcome === "late" ? `not ready after ${READY_MS_MAX} ms` : end.stderr);
  }

  private constructor({ program, dataDir, address, args }: EngineChildOptions) {
    this.address = address;
    const command = ["engine", "--data-dir", dataDir, "--listen", address, "--stop-on-stdin-end"];
    this.#child = spawn(process.execPath, [...NODE_FLAGS, program, ...command, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString("utf8")).slice(-STDERR_CHARACTERS_MAX);
    });
    this.ended = new Promise((resolve) => {
      const end = (code: number, stderr: string): void => {
        this.end = { code, stderr };
        resolve(this.end);
      };
      this.#child.once("error", (error) => end(1, error.message));
      this.#child.once("close", (code) => end(code ?? 1, this.#stderr));
    });
  }

  /** @throws PenstockError: what the engine answers, or `engine-unreachable` */
  ask<T>(call: (client: EngineClient) => Promise<T>): Promise<T> {
    return askEngine(parseEngineAddress(this.address), call);
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

  #ready(): Promise<"ready"> {
    return new Promise((resolve) => {
      const { stdout } = this.#child;
      if (stdout === null) return;
      createInterface({ input: stdout }).on("line", (line) => {
        if (line.startsWith(READY_PREFIX)) resolve("ready");
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
