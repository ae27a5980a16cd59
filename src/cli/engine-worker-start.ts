/**
 * What a supervisor tells the engine process that it starts, and what that one answers.
 *
 * By a variable of the environment: it is there at the first line, and options that were read once,
 * from a file too, are the same in every life. The answer goes over the channel (IPC).
 */

import type { EngineRunOptions } from "./engine-run.ts";

export const WORKER_VARIABLE = "PENSTOCK_WORKER";

export interface WorkerStart {
  readonly options: EngineRunOptions;
  /** How often an engine has been started again. */
  readonly restarts: number;
  /** Why, in words; null the first time. */
  readonly lastEnd: string | null;
}

export interface WorkerReady {
  /** Where RPC is served, with real ports. */
  readonly listen: readonly string[];
}

/** Null unless this process is a supervisor's worker. Taken once: our children are not. */
export function takeWorkerStart(): WorkerStart | null {
  const text = process.env[WORKER_VARIABLE];
  delete process.env[WORKER_VARIABLE];
  if (text === undefined || process.send === undefined) return null;
  return JSON.parse(text) as WorkerStart;
}

/** The worker's end of the channel. */
export class SupervisorLink {
  readonly lastEnd: string | null;
  readonly restarts: number;

  /** @param onGone the supervisor is no more */
  constructor(start: WorkerStart, onGone: () => void) {
    this.lastEnd = start.lastEnd;
    this.restarts = start.restarts;
    process.on("disconnect", onGone);
    process.on("error", () => undefined);
    // The channel is watched, but keeps nobody alive.
    process.channel?.unref();
    if (!process.connected) onGone();
  }

  ready(listen: readonly string[]): void {
    if (process.connected) process.send?.({ listen } satisfies WorkerReady);
  }

  close(): void {
    process.removeAllListeners("disconnect");
    if (process.connected) process.disconnect?.();
  }
}
