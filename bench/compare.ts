/**
 * Medians, spread, and Penstock against the best peer of the same run. Pure.
 *
 * A ratio is taken within each round, between neighbours in time, and the median of the rounds
 * counts; the range of the rounds tells how far noise reaches.
 */

import type { Limit, Scenario } from "./scenarios.ts";
import type { Cell } from "./run-bench.ts";

export interface Summary {
  readonly scenario: string;
  readonly server: string;
  /** Medians over the rounds. */
  readonly iops: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUsPerOperation: number;
  readonly clientCpuShare: number;
  readonly residentBytes: number;
  readonly otherCores: number;
  /** (largest - smallest) / median. */
  readonly iopsSpread: number;
  readonly cpuSpread: number;
}

/** "noise": the median is on one side of the limit and at least one round on the other. */
export type Verdict = "yes" | "no" | "yes, within noise" | "no, within noise";

export interface Comparison {
  readonly scenario: string;
  readonly figure: Limit["figure"];
  readonly bestPeer: string;
  readonly ratio: number;
  readonly ratioMin: number;
  readonly ratioMax: number;
  readonly limit: number;
  readonly verdict: Verdict;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** One summary per scenario and server, in the order of the cells. */
export function summarize(cells: readonly Cell[]): Summary[] {
  const groups = Map.groupBy(cells, ({ scenario, server }) => `${scenario} ${server}`);
  return [...groups.values()].flatMap((group) => {
    const first = group[0];
    return first === undefined ? [] : [summaryOf(first.scenario, first.server, group)];
  });
}

function summaryOf(scenario: string, server: string, group: readonly Cell[]): Summary {
  const medianOf = (read: (cell: Cell) => number): number => median(group.map(read));
  return {
    scenario,
    server,
    iops: medianOf((cell) => cell.iops),
    p50Us: medianOf((cell) => cell.p50Us),
    p99Us: medianOf((cell) => cell.p99Us),
    cpuUsPerOperation: medianOf((cell) => cell.cpuUsPerOperation),
    clientCpuShare: medianOf((cell) => cell.cpuShare),
    residentBytes: medianOf((cell) => cell.residentBytes),
    otherCores: medianOf((cell) => cell.otherCores),
    iopsSpread: spread(group.map((cell) => cell.iops)),
    cpuSpread: spread(group.map((cell) => cell.cpuUsPerOperation)),
  };
}

function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/**
 * Penstock's figures against each limit of the scenarios; none where a scenario has no peer.
 * @param penstock the name of its server
 */
export function compare(
  scenarios: readonly Scenario[],
  cells: readonly Cell[],
  penstock: string,
): Comparison[] {
  return scenarios.flatMap((scenario) => {
    const own = cells.filter((cell) => cell.scenario === scenario.id);
    return scenario.operation.limits.flatMap((limit) => {
      const comparison = compareWithBest(own, limit, penstock);
      return comparison === null ? [] : [{ scenario: scenario.id, ...comparison }];
    });
  });
}

function compareWithBest(
  cells: readonly Cell[],
  limit: Limit,
  penstock: string,
): Omit<Comparison, "scenario"> | null {
  const read = (cell: Cell): number =>
    limit.figure === "cpu" ? cell.cpuUsPerOperation : cell.p50Us;
  const ours = cells.filter(({ server }) => server === penstock);
  const peers = Map.groupBy(
    cells.filter(({ server }) => server !== penstock),
    ({ server }) => server,
  );
  const best = [...peers.entries()]
    .map(([server, group]) => ({ server, group, figure: median(group.map(read)) }))
    .toSorted((a, b) => a.figure - b.figure)[0];
  if (best === undefined || ours.length === 0) return null;
  const ratios = ours.flatMap((cell) => {
    const other = best.group.find(({ round }) => round === cell.round);
    return other === undefined ? [] : [read(cell) / read(other)];
  });
  const ratio = median(ratios);
  const ratioMin = Math.min(...ratios);
  const ratioMax = Math.max(...ratios);
  const met = ratio <= limit.ratioMax;
  const isClear = met ? ratioMax <= limit.ratioMax : ratioMin > limit.ratioMax;
  return {
    figure: limit.figure,
    bestPeer: best.server,
    ratio,
    ratioMin,
    ratioMax,
    limit: limit.ratioMax,
    verdict: `${met ? "yes" : "no"}${isClear ? "" : ", within noise"}`,
  };
}
