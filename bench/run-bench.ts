/**
 * Runs the scenarios: all servers of a source are up at once, and each scenario goes round them,
 * so that a noisy minute of the machine hits all alike. Every other round goes the other way.
 *
 *   per source:    files filled --> servers started --> memory disks filled
 *     per scenario:  warm-up of each server --> round 1: A B C --> round 2: C B A --> ...
 */

import { BackingFiles } from "./backing-files.ts";
import { type CellFigures, type Cores, measureCell } from "./cell.ts";
import { runFio } from "./fio.ts";
import type { Scenario, SourceName } from "./scenarios.ts";
import { type Backing, launchServer, type RunningServer } from "./servers/server.ts";
import type { ServerAdapter } from "./servers/server.ts";
import { chooseProcessorClock, type ProcessorClock } from "./usage.ts";

const FILL_OPERATION = { rw: "write", blockBytes: 2 ** 20, depth: 4 } as const;

/** What fio takes to start and to end, about. */
const CLIENT_START_MS = 400;

export interface BenchPlan {
  readonly scenarios: readonly Scenario[];
  readonly servers: readonly ServerAdapter[];
  readonly rounds: number;
  readonly cellMs: number;
  readonly warmUpMs: number;
  /** Of each device; a multiple of 1 MiB. */
  readonly sizeBytes: number;
  readonly diskFolder: string;
  readonly cores: Cores;
}

export interface Cell extends CellFigures {
  readonly scenario: string;
  readonly server: string;
  /** From 1. */
  readonly round: number;
}

export interface BenchRun {
  readonly cells: readonly Cell[];
  readonly clock: string;
  /** Command line of each server for each source. */
  readonly commands: readonly {
    readonly source: SourceName;
    readonly server: string;
    readonly command: string;
  }[];
}

interface Stand {
  readonly server: RunningServer;
  readonly backing: Backing;
}

type Progress = (line: string) => void;

/** Measures everything in `plan`; leaves neither process nor file behind. */
export async function runBench(plan: BenchPlan, progress: Progress): Promise<BenchRun> {
  const clock = await chooseProcessorClock();
  progress(`about ${Math.ceil(expectedMs(plan) / 60_000)} minutes`);
  const files = new BackingFiles(plan.diskFolder);
  const cells: Cell[] = [];
  const commands: BenchRun["commands"][number][] = [];
  try {
    for (const source of new Set(plan.scenarios.map((scenario) => scenario.source))) {
      const stands: Stand[] = [];
      try {
        for (const adapter of plan.servers) {
          stands.push(await setUp(plan, source, adapter, files));
        }
        for (const { server } of stands) {
          commands.push({ source, server: server.adapter.name, command: server.commandLine });
        }
        for (const scenario of plan.scenarios.filter((each) => each.source === source)) {
          cells.push(...(await runScenario({ plan, scenario, stands, files, clock, progress })));
        }
      } finally {
        for (const { server, backing } of stands) {
          await server.stop();
          files.remove(backing);
        }
      }
    }
  } finally {
    files.close();
  }
  return { cells, clock: clock.name, commands };
}

/** Without filling and start-up, which take seconds. */
function expectedMs(plan: BenchPlan): number {
  const { warmUpMs, rounds, cellMs, scenarios, servers } = plan;
  const perServerMs = warmUpMs + CLIENT_START_MS + rounds * (cellMs + CLIENT_START_MS);
  return scenarios.length * servers.length * perServerMs;
}

async function setUp(
  plan: BenchPlan,
  source: SourceName,
  adapter: ServerAdapter,
  files: BackingFiles,
): Promise<Stand> {
  const { sizeBytes, cores } = plan;
  const backing = await files.make(source, adapter, sizeBytes);
  const server = await launchServer(adapter, backing, cores.server);
  if (backing.kind === "memory") {
    const { uri } = server;
    const core = cores.client;
    await runFio({ uri, core, operation: FILL_OPERATION, sizeBytes, durationMs: null });
  }
  return { server, backing };
}

interface ScenarioRun {
  readonly plan: BenchPlan;
  readonly scenario: Scenario;
  readonly stands: readonly Stand[];
  readonly files: BackingFiles;
  readonly clock: ProcessorClock;
  readonly progress: Progress;
}

async function runScenario(run: ScenarioRun): Promise<Cell[]> {
  const { plan, scenario, stands } = run;
  const cells: Cell[] = [];
  for (const stand of stands) await measure(run, stand, plan.warmUpMs);
  for (let round = 1; round <= plan.rounds; round += 1) {
    const order = round % 2 === 1 ? stands : stands.toReversed();
    for (const stand of order) {
      const figures = await measure(run, stand, plan.cellMs);
      const server = stand.server.adapter.name;
      cells.push({ scenario: scenario.id, server, round, ...figures });
      run.progress(
        `${scenario.id} round ${round}/${plan.rounds} ${server}: ` +
          `${Math.round(figures.iops)} IOPS, p50 ${figures.p50Us.toFixed(0)} us, ` +
          `${figures.cpuUsPerOperation.toFixed(2)} us CPU per operation`,
      );
    }
  }
  return cells;
}

async function measure(run: ScenarioRun, stand: Stand, durationMs: number): Promise<CellFigures> {
  const { plan, scenario, files, clock } = run;
  const { sizeBytes, cores } = plan;
  const { operation } = scenario;
  const { server, backing } = stand;
  const request = { server, operation, sizeBytes, durationMs, cores, clock };
  const figures = await measureCell(request);
  if (operation.rw.endsWith("write")) await files.settle(backing);
  return figures;
}
