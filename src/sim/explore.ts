/**
 * The explorer: tries many seeds of some scenarios in worker threads, one per core. Seeds are
 * handed out in small batches; the sum does not depend on who ran what.
 */

import { availableParallelism } from "node:os";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { CoverageSum, type CoverageTotals, type FileBlocks } from "./coverage.ts";
import { addTallies, EMPTY_TALLY, type TallyData } from "./tally.ts";

const BATCH_SEEDS = 8;

export interface WorkerOptions {
  readonly withCoverage: boolean;
}

export interface WorkerTask {
  readonly scenario: string;
  readonly seeds: readonly number[];
}

export interface WorkerAnswer {
  readonly tally: TallyData;
  /** The last answer of a worker has them. */
  readonly blocks: readonly FileBlocks[] | null;
}

export interface ExploreOptions {
  readonly scenarios: readonly string[];
  /** Of all scenarios together; they take turns. */
  readonly seeds: number;
  readonly firstSeed: number;
  /** Threads; default one per core. */
  readonly jobs?: number;
  readonly withCoverage?: boolean;
  /** Stops handing out seeds after so many failing ones. */
  readonly failuresMax?: number;
  readonly onProgress?: (tally: TallyData) => void;
}

export interface Exploration {
  readonly tally: TallyData;
  readonly byScenario: ReadonlyMap<string, TallyData>;
  readonly coverage: readonly CoverageTotals[];
}

export async function explore(options: ExploreOptions): Promise<Exploration> {
  const tasks = new Tasks(options);
  const jobs = options.jobs ?? availableParallelism();
  const coverage = new CoverageSum();
  const workers = Array.from({ length: jobs }, () => work(tasks, coverage, options));
  await Promise.all(workers);
  const { tally, byScenario } = tasks;
  return { tally, byScenario, coverage: coverage.totals };
}

/** What is left to run, and what came of the rest. */
class Tasks {
  tally: TallyData = EMPTY_TALLY;
  readonly byScenario = new Map<string, TallyData>();
  readonly #options: ExploreOptions;
  #begun = 0;

  constructor(options: ExploreOptions) {
    this.#options = options;
  }

  next(): WorkerTask | null {
    const { scenarios, seeds, firstSeed, failuresMax } = this.#options;
    if (this.tally.failed >= (failuresMax ?? Number.POSITIVE_INFINITY)) return null;
    // Scenario after scenario in turn, each with its own seeds from the first on.
    const batch = Math.floor(this.#begun / BATCH_SEEDS);
    const turn = Math.floor(batch / scenarios.length);
    const count = Math.min(BATCH_SEEDS, seeds - this.#begun);
    if (count <= 0) return null;
    this.#begun += count;
    const first = firstSeed + turn * BATCH_SEEDS;
    const scenario = scenarios[batch % scenarios.length] as string; // some scenario was named
    return { scenario, seeds: Array.from({ length: count }, (_, index) => first + index) };
  }

  done({ scenario }: WorkerTask, tally: TallyData): void {
    this.tally = addTallies(this.tally, tally);
    const before = this.byScenario.get(scenario) ?? EMPTY_TALLY;
    this.byScenario.set(scenario, addTallies(before, tally));
    this.#options.onProgress?.(this.tally);
  }
}

/** One worker's life: tasks until there are none, then what it covered. */
function work(tasks: Tasks, coverage: CoverageSum, options: ExploreOptions): Promise<void> {
  const file = `./explore-worker${extname(import.meta.filename)}`;
  const workerData: WorkerOptions = { withCoverage: options.withCoverage === true };
  const worker = new Worker(new URL(file, import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    let task = tasks.next();
    worker.on("message", ({ tally, blocks }: WorkerAnswer) => {
      if (blocks !== null) {
        coverage.add(blocks);
        return;
      }
      if (task !== null) tasks.done(task, tally);
      task = tasks.next();
      worker.postMessage(task);
    });
    worker.on("error", reject);
    worker.on("exit", () => resolve());
    worker.postMessage(task);
  });
}
