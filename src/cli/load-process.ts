/**
 * LoadProcess: the verified load of `npm start` in a process of its own, watched by its lines.
 *
 *   running --finish()--> verifying --> ended;  kill() at any time
 *
 * It ends by itself when its standard input does, so that it never outlives us.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PenstockError } from "../util/errors.ts";

/** What the process prints, every so often and at its end. */
export interface LoadLine {
  readonly acknowledgedWrites: number;
  readonly comparedReads: number;
  /** Null until all of it has been read back at the end. */
  readonly comparedBytes: number | null;
}

export interface LoadOptions {
  /** src/bin/verify-client.ts. */
  readonly program: string;
  readonly lengthBytes: number;
  readonly seed: number;
  /** The export that is loaded, then others that must hold the same at the end. */
  readonly uris: readonly string[];
}

export class LoadProcess {
  last: LoadLine = { acknowledgedWrites: 0, comparedReads: 0, comparedBytes: null };
  /** Rejects with what went wrong. */
  readonly ended: Promise<LoadLine>;
  readonly #child: ChildProcess;
  #wake: (() => void) | null = null;

  constructor({ program, lengthBytes, seed, uris }: LoadOptions) {
    const args = [program, "load", String(lengthBytes), String(seed), ...uris];
    this.#child = spawn(process.execPath, [...process.execArgv, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.#child.stdin?.on("error", () => undefined);
    let stderr = "";
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString("utf8");
    });
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        this.last = JSON.parse(line) as LoadLine;
        this.#wake?.();
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code) => {
        if (code === 0 && this.last.comparedBytes !== null) resolve(this.last);
        else reject(loadError(seed, stderr));
      });
    });
    // Whoever waits for progress hears of it, too.
    this.ended.catch(() => this.#wake?.());
  }

  /** Waits for that many further acknowledged writes. @throws PenstockError when it has failed */
  async progress(count: number): Promise<void> {
    const wanted = this.last.acknowledgedWrites + count;
    while (this.last.acknowledgedWrites < wanted) {
      const line = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([line, this.ended]);
    }
  }

  /** No further requests; all that was acknowledged is read back. @throws PenstockError */
  async finish(): Promise<LoadLine> {
    this.#child.stdin?.end();
    return await this.ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

function loadError(seed: number, stderr: string): PenstockError {
  const words = stderr.trim();
  return new PenstockError({
    code: "check-failed",
    message: `the verified load with seed ${seed} failed: ${words === "" ? "killed" : words}`,
  });
}
