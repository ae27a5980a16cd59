/**
 * LiveView: one block of lines that is written over and over on a terminal, and block after block,
 * less often, elsewhere.
 */

import type { GetStatsResponse } from "../api/penstock/engine/v1/engine_pb.ts";
import { type EngineRates, formatBlock, ratesBetween } from "./live-block.ts";
import { type Cluster, legsOf, type LegView } from "./start-cluster.ts";

const STEP_MS = 1000;
/** Where lines stay, one block in so many steps is shown. */
const STEPS_PER_BLOCK = 10;
const COLUMNS_DEFAULT = 80;

export class LiveView {
  readonly #cluster: Cluster;
  #before: readonly (GetStatsResponse | null)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #steps = 0;
  /** Lines of the block that the cursor stands below. */
  #height = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  start(): void {
    if (this.#timer !== null) return;
    this.#steps = 0;
    this.#timer = setInterval(() => void this.#step(), STEP_MS);
    void this.#step();
  }

  /** Nothing is shown afterwards. The last block stays. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#height = 0;
  }

  async #step(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const after = await this.#cluster.stats();
      const before = this.#before;
      this.#before = after;
      if (before.length > 0 && this.#timer !== null) await this.#show(before, after);
    } finally {
      this.#isBusy = false;
    }
  }

  async #show(
    before: readonly (GetStatsResponse | null)[],
    after: readonly (GetStatsResponse | null)[],
  ): Promise<void> {
    const { isTTY, columns = COLUMNS_DEFAULT } = process.stdout;
    if (!isTTY && this.#steps++ % STEPS_PER_BLOCK !== 0) return;
    const engines = this.#cluster.engines.map(({ name, child }, index): EngineRates => {
      const rates = ratesBetween(before[index] ?? null, after[index] ?? null);
      const running = after[index] === null ? "silent" : "serving";
      return { name, processId: child.pid, state: child.end === null ? running : "ended", rates };
    });
    const legs = await this.#legs(after.at(-1) ?? null);
    // stop() may have come meanwhile.
    if (this.#timer === null) return;
    const lines = formatBlock(engines, legs).trimEnd().split("\n");
    // A line that the terminal breaks would be two: the cursor would go up too little.
    const shown = isTTY ? lines.map((line) => `\u001b[2K${line.slice(0, columns - 1)}`) : lines;
    const up = isTTY && this.#height > 0 ? `\u001b[${this.#height}A` : "";
    process.stdout.write(`${up}${shown.join("\n")}\n${isTTY ? "\u001b[J" : ""}`);
    this.#height = shown.length;
  }

  /** With reasons where there is something to say. */
  async #legs(stats: GetStatsResponse | null): Promise<readonly LegView[]> {
    const legs = legsOf(stats);
    if (legs.every(({ state }) => state === "in-sync")) return legs;
    return await this.#cluster.legStates().catch(() => legs);
  }
}
