/**
 * StatsLines: `stats JSON` on standard output, every so often, for programs that watch a pipe run.
 *
 * The form is a contract: `atMs` (monotonic), then `pipes` with counters since each was opened.
 */

import type { PipeHost } from "../pipe/pipe-host.ts";

/** One pipe in a line. Counts are totals since the pipe was opened. */
export interface PipeCounters {
  readonly uri: string;
  readonly state: string;
  readonly failure: string | null;
  readonly reads: number;
  readonly writes: number;
  readonly others: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Summed over all commands. */
  readonly latencyMsSum: number;
  readonly errors: number;
  /** Open now. */
  readonly connections: number;
}

export interface StatsLine {
  readonly atMs: number;
  readonly pipes: readonly PipeCounters[];
}

const STATS_PREFIX = "stats ";

export class StatsLines {
  readonly #host: PipeHost;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** The line that is being gathered; lines never overlap. */
  #writing: Promise<void> | null = null;

  constructor(host: PipeHost, intervalMs: number) {
    this.#host = host;
    this.#intervalMs = intervalMs;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#writing ??= this.#write().finally(() => {
        this.#writing = null;
      });
    }, this.#intervalMs);
  }

  /** No line is written afterwards. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
  }

  async #write(): Promise<void> {
    const reactors = await this.#host.reactorStats();
    const pipes = this.#host.pipeStats(reactors).map(({ uri, stats }): PipeCounters => {
      const { state, failure, share } = stats;
      return { uri, state, failure, ...(share ?? NO_COUNTS) };
    });
    const line: StatsLine = { atMs: performance.now(), pipes };
    process.stdout.write(`${STATS_PREFIX}${JSON.stringify(line)}\n`);
  }
}

const NO_COUNTS = {
  reads: 0,
  writes: 0,
  others: 0,
  readBytes: 0,
  writeBytes: 0,
  latencyMsSum: 0,
  errors: 0,
  connections: 0,
};
