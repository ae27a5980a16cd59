/**
 * A worker thread of the explorer: runs the seeds that it is given, one batch after the other, and
 * answers with what they add up to.
 */

import { parentPort, workerData } from "node:worker_threads";
import { join } from "node:path";
import { BlockCoverage } from "./coverage.ts";
import type { WorkerAnswer, WorkerOptions, WorkerTask } from "./explore.ts";
import { runSchedule } from "./run.ts";
import { scenarioNamed } from "./scenarios.ts";
import { addTallies, EMPTY_TALLY, tallyOf } from "./tally.ts";

const { withCoverage } = workerData as WorkerOptions;
const coverage = withCoverage ? new BlockCoverage() : null;

async function run({ scenario: name, seeds }: WorkerTask): Promise<WorkerAnswer> {
  const scenario = scenarioNamed(name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  let tally = EMPTY_TALLY;
  for (const seed of seeds) {
    const report = await runSchedule(scenario, scenario.draw(seed));
    tally = addTallies(tally, tallyOf(name, seed, report));
  }
  return { tally, blocks: null };
}

parentPort?.on("message", (task: WorkerTask | null) => {
  if (task === null) {
    const root = join(import.meta.dirname, "..", "..");
    const answer: WorkerAnswer = { tally: EMPTY_TALLY, blocks: coverage?.take(root) ?? [] };
    parentPort?.postMessage(answer);
    parentPort?.close();
    return;
  }
  run(task).then(
    (answer) => parentPort?.postMessage(answer),
    (error: unknown) => {
      // An error event of the worker: the explorer stops.
      queueMicrotask(() => {
        throw error;
      });
    },
  );
});
