/** A run as Markdown for people and as JSON for programs. Pure. */

import type { BenchPlan, BenchRun, Cell } from "./run-bench.ts";
import { type Comparison, compare, type Summary, summarize } from "./compare.ts";
import type { CommitDescription, MachineDescription } from "./machine.ts";
import { SOURCE_TITLES, type SourceName } from "./scenarios.ts";

/** Grows when a reader of the JSON would misunderstand it. */
const FORMAT = 1;
const MIB = 2 ** 20;
/** Cells with more than this on the machine beside them are named. */
const OTHER_CORES_QUIET = 0.1;

export interface Skip {
  readonly server: string;
  readonly reason: string;
}

export interface BenchReport {
  readonly format: number;
  readonly startedAt: string;
  readonly commit: CommitDescription | null;
  readonly machine: MachineDescription;
  readonly client: string;
  readonly clock: string;
  readonly settings: Pick<BenchPlan, "rounds" | "cellMs" | "warmUpMs" | "sizeBytes" | "cores">;
  readonly servers: readonly { readonly name: string; readonly version: string }[];
  readonly skipped: readonly Skip[];
  readonly commands: BenchRun["commands"];
  readonly comparisons: readonly Comparison[];
  readonly summaries: readonly Summary[];
  readonly cells: readonly Cell[];
}

export function makeReport(parts: {
  readonly plan: BenchPlan;
  readonly run: BenchRun;
  readonly machine: MachineDescription;
  readonly commit: CommitDescription | null;
  readonly startedAt: Date;
  readonly client: string;
  readonly servers: BenchReport["servers"];
  readonly skipped: readonly Skip[];
}): BenchReport {
  const { plan, run } = parts;
  const { rounds, cellMs, warmUpMs, sizeBytes, cores } = plan;
  const penstock = plan.servers.find(({ isPenstock }) => isPenstock)?.name ?? "";
  return {
    format: FORMAT,
    startedAt: parts.startedAt.toISOString(),
    commit: parts.commit,
    machine: parts.machine,
    client: parts.client,
    clock: run.clock,
    settings: { rounds, cellMs, warmUpMs, sizeBytes, cores },
    servers: parts.servers,
    skipped: parts.skipped,
    commands: run.commands,
    comparisons: compare(plan.scenarios, run.cells, penstock),
    summaries: summarize(run.cells),
    cells: run.cells,
  };
}

export function toMarkdown(report: BenchReport): string {
  const sources = (Object.keys(SOURCE_TITLES) as SourceName[]).filter((source) =>
    report.summaries.some(({ scenario }) => scenario.startsWith(`${source}/`)),
  );
  return [
    "# NBD: Penstock and its peers",
    "",
    ...introduction(report),
    ...sources.flatMap((source) => ["", ...figuresTable(report, source)]),
    "",
    ...limitsTable(report),
    "",
    ...memoryTable(report, sources),
    "",
    ...noise(report),
    "",
  ].join("\n");
}

function introduction(report: BenchReport): string[] {
  const { machine, commit, settings } = report;
  const { cores } = settings;
  const place =
    cores.server === null || cores.client === null
      ? "nothing pinned"
      : `server on core ${cores.server}, client on core ${cores.client}`;
  return [
    `- ${report.startedAt}, commit ${describeCommit(commit)}`,
    `- ${machine.processors} x ${machine.processor}, kernel ${machine.kernel}, ` +
      `Node ${machine.node}, disk ${machine.diskFileSystem}, ` +
      `load average before ${machine.loadAverage.toFixed(2)}`,
    `- ${report.servers.map(({ name, version }) => `${name}: ${version}`).join("; ")}`,
    `- client ${report.client}, TCP on loopback, one connection; ${place}; ` +
      `${settings.rounds} rounds of ${settings.cellMs} ms; devices of ` +
      `${settings.sizeBytes / MIB} MiB; processor time by ${report.clock}`,
    ...report.skipped.map(({ server, reason }) => `- skipped: ${server}, ${reason}`),
  ];
}

function describeCommit(commit: CommitDescription | null): string {
  if (commit === null) return "unknown";
  return commit.id.slice(0, 12) + (commit.isModified ? " with changes" : "");
}

function figuresTable(report: BenchReport, source: SourceName): string[] {
  const own = report.summaries.filter(({ scenario }) => scenario.startsWith(`${source}/`));
  const scenarios = [...new Set(own.map(({ scenario }) => scenario))];
  const servers = report.servers.map(({ name }) => name);
  return [
    `## From ${SOURCE_TITLES[source]}`,
    "",
    "Thousand operations/s · median latency, us · server CPU, us per operation, ± half its spread.",
    "",
    ...table(
      ["operation", ...servers],
      scenarios.map((scenario) => [
        scenario.slice(source.length + 1),
        ...servers.map((server) =>
          figuresOf(own.find((each) => each.scenario === scenario && each.server === server)),
        ),
      ]),
    ),
  ];
}

function figuresOf(summary: Summary | undefined): string {
  if (summary === undefined) return "–";
  const { iops, p50Us, cpuUsPerOperation, cpuSpread } = summary;
  const half = `±${Math.round(cpuSpread * 50)} %`;
  const figures = [(iops / 1e3).toFixed(1), p50Us.toFixed(0), cpuUsPerOperation.toFixed(1)];
  return `${figures.join(" · ")} ${half}`;
}

function limitsTable(report: BenchReport): string[] {
  if (report.comparisons.length === 0) return ["No peer to compare with."];
  return [
    "## Against the best peer",
    "",
    "Median of the rounds' ratios, with the lowest and the highest round.",
    "",
    ...table(
      ["scenario", "figure", "best peer", "ratio", "rounds", "limit", "met"],
      report.comparisons.map((each) => [
        each.scenario,
        each.figure === "cpu" ? "CPU per operation" : "median latency",
        each.bestPeer,
        each.ratio.toFixed(2),
        `${each.ratioMin.toFixed(2)}–${each.ratioMax.toFixed(2)}`,
        each.limit.toFixed(2),
        each.verdict,
      ]),
    ),
  ];
}

function memoryTable(report: BenchReport, sources: readonly SourceName[]): string[] {
  const servers = report.servers.map(({ name }) => name);
  return [
    "## Resident memory at the end, MiB",
    "",
    ...table(
      ["source", ...servers],
      sources.map((source) => [
        SOURCE_TITLES[source],
        ...servers.map((server) => {
          const last = report.summaries.findLast(
            (each) => each.server === server && each.scenario.startsWith(`${source}/`),
          );
          return last === undefined ? "–" : (last.residentBytes / MIB).toFixed(0);
        }),
      ]),
    ),
  ];
}

/** What may have blurred the figures. */
function noise(report: BenchReport): string[] {
  const { cells } = report;
  const disturbed = cells.filter(({ otherCores }) => otherCores > OTHER_CORES_QUIET);
  const strays = Map.groupBy(
    cells.filter(({ threadsOffCore }) => threadsOffCore.length > 0),
    ({ server }) => server,
  );
  const worst = Math.max(0, ...cells.map(({ otherCores }) => otherCores));
  return [
    "## Noise",
    "",
    `- ${disturbed.length} of ${cells.length} cells had more than ${OTHER_CORES_QUIET} cores of ` +
      `other work beside them (write-back included), ${worst.toFixed(2)} at worst.`,
    ...[...strays.entries()].map(([server, group]) => {
      const names = new Set(group.flatMap(({ threadsOffCore }) => threadsOffCore));
      const list = [...names].join(", ");
      return `- ${server} had threads off its core in ${group.length} cells: ${list}.`;
    }),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
