/**
 * Ways for this process to end, whatever its threads do: cleanly by a first signal, at once by a
 * second, and at once by a bug.
 */

import { writeSync } from "node:fs";
import { IoLevel } from "../reactor/io.ts";
import type { RealLevel } from "../reactor/level-capabilities.ts";
import { ExitCode } from "./exit-code.ts";

const STDERR = 2;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * A signal this soon after the first is the same one: timeout(1), npm and terminals tell a process
 * and its group.
 */
const ECHO_MS_MAX = 100;

/** Ends the process at once, whatever runs in its threads. */
export type ExitAtOnce = (code: number) => void;

/** With FFI by `_exit`: `process.exit` would end threads that hold FFI handles (FFI rule 3). */
export async function exitAtOnceFor(level: RealLevel): Promise<ExitAtOnce> {
  if (level === IoLevel.portable) return (code) => process.exit(code);
  const { exitNow } = await import("../sys/exit-now.ts");
  return exitNow;
}

/** A promise of the first signal; the second ends the process. */
export class StopSignals {
  /** Settles with the first SIGINT or SIGTERM, or when `stop` is called. */
  readonly stopped: Promise<void>;
  #isStopped = false;
  #stoppedAtMs = 0;
  #exitAtOnce: ExitAtOnce = (code) => process.exit(code);
  readonly #resolve: () => void;
  readonly #listener = (): void => this.#signalled();

  constructor() {
    // Not Promise.withResolvers: an installed package may run on a Node 20.
    let resolveStopped: () => void = () => undefined;
    this.stopped = new Promise((resolve) => {
      resolveStopped = resolve;
    });
    this.#resolve = resolveStopped;
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  set exitAtOnce(exit: ExitAtOnce) {
    this.#exitAtOnce = exit;
  }

  /** As a first signal would, without one. */
  stop(): void {
    this.#isStopped = true;
    this.#resolve();
  }

  /** Gives the signals back to the system. */
  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }

  #signalled(): void {
    const nowMs = performance.now();
    if (!this.#isStopped) {
      this.#stoppedAtMs = nowMs;
      this.stop();
    } else if (nowMs - this.#stoppedAtMs > ECHO_MS_MAX) {
      this.#exitAtOnce(ExitCode.interrupted);
    }
  }
}

/** Stops when standard input ends. Whoever calls it pauses that again. */
export function watchStdin(signals: StopSignals): void {
  process.stdin.on("end", () => signals.stop());
  process.stdin.on("error", () => signals.stop());
  process.stdin.resume();
}

/** Writes what happened and ends the process: a bug, after which nothing is to be trusted. */
export function endByBug(stack: string, exitAtOnce: ExitAtOnce): void {
  writeSync(STDERR, `penstock: internal: ${stack}\n`);
  exitAtOnce(ExitCode.internal);
}
