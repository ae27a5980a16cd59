/**
 * Tally: what many runs add up to: counts, the failing seeds, the slowest recovery.
 */

import type { Violation } from "./history.ts";
import type { RunReport } from "./run.ts";

export interface Failure {
  readonly scenario: string;
  readonly seed: number;
  readonly violations: readonly Violation[];
}

/** Failing seeds whose violations are kept; all are counted. */
const FAILURES_MAX = 20;

/** Plain data, so that workers can send it. */
export interface TallyData {
  readonly seeds: number;
  readonly failed: number;
  readonly operations: number;
  readonly answered: number;
  readonly undecided: number;
  readonly virtualMs: number;
  readonly events: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly recoveryMs: number;
  readonly recoverySeed: number;
  readonly slowestOperationMs: number;
  readonly slowestOperationSeed: number;
  readonly failures: readonly Failure[];
}

export const EMPTY_TALLY: TallyData = {
  seeds: 0,
  failed: 0,
  operations: 0,
  answered: 0,
  undecided: 0,
  virtualMs: 0,
  events: 0,
  faults: {},
  recoveryMs: 0,
  recoverySeed: 0,
  slowestOperationMs: 0,
  slowestOperationSeed: 0,
  failures: [],
};

export function tallyOf(scenario: string, seed: number, report: RunReport): TallyData {
  const { violations } = report;
  return {
    seeds: 1,
    failed: violations.length > 0 ? 1 : 0,
    operations: report.operations,
    answered: report.answered,
    undecided: report.undecided,
    virtualMs: report.virtualMs,
    events: report.events,
    faults: report.faults,
    recoveryMs: report.recoveryMs,
    recoverySeed: seed,
    slowestOperationMs: report.slowestOperationMs,
    slowestOperationSeed: seed,
    failures: violations.length > 0 ? [{ scenario, seed, violations }] : [],
  };
}

export function addTallies(one: TallyData, other: TallyData): TallyData {
  const faults: Record<string, number> = { ...one.faults };
  for (const [kind, count] of Object.entries(other.faults)) {
    faults[kind] = (faults[kind] ?? 0) + count;
  }
  const slower = other.recoveryMs > one.recoveryMs ? other : one;
  const later = other.slowestOperationMs > one.slowestOperationMs ? other : one;
  const failures = [...one.failures, ...other.failures].sort((a, b) => a.seed - b.seed);
  return {
    seeds: one.seeds + other.seeds,
    failed: one.failed + other.failed,
    operations: one.operations + other.operations,
    answered: one.answered + other.answered,
    undecided: one.undecided + other.undecided,
    virtualMs: one.virtualMs + other.virtualMs,
    events: one.events + other.events,
    faults,
    recoveryMs: slower.recoveryMs,
    recoverySeed: slower.recoverySeed,
    slowestOperationMs: later.slowestOperationMs,
    slowestOperationSeed: later.slowestOperationSeed,
    failures: failures.slice(0, FAILURES_MAX),
  };
}
