/**
 * What people read: the summary of an exploration, a failure, a shrunk schedule.
 */

import type { Violation } from "./history.ts";
import { formatSchedule, type Schedule } from "./schedule.ts";
import type { Exploration } from "./explore.ts";
import type { TallyData } from "./tally.ts";

const FAILURES_SHOWN = 10;

export function formatSummary(
  { tally, byScenario, coverage }: Exploration,
  tookMs: number,
): string {
  const lines = [
    `${tally.seeds} seeds in ${(tookMs / 1000).toFixed(1)} s, ${tally.failed} failed`,
    `${tally.operations} client operations, ${tally.answered} answered`,
    `${sum(tally.faults)} faults of ${Object.keys(tally.faults).length} kinds: ${faults(tally)}`,
    `${(tally.virtualMs / 1000).toFixed(0)} virtual seconds, ${tally.events} events`,
    `slowest recovery ${tally.recoveryMs.toFixed(1)} ms (seed ${tally.recoverySeed}), ` +
      `slowest operation ${tally.slowestOperationMs.toFixed(1)} ms ` +
      `(seed ${tally.slowestOperationSeed})`,
  ];
  if (tally.undecided > 0) lines.push(`${tally.undecided} sectors were too entangled to be judged`);
  if (byScenario.size > 1) {
    for (const [name, each] of byScenario) {
      const counts = `${each.operations} operations, ${sum(each.faults)} faults`;
      lines.push(`  ${name}: ${each.seeds} seeds, ${each.failed} failed, ${counts}`);
    }
  }
  if (coverage.length > 0) {
    const blocks = coverage.reduce((total, file) => total + file.blocks, 0);
    const covered = coverage.reduce((total, file) => total + file.covered, 0);
    lines.push(`${covered} of ${blocks} blocks of code covered (${percent(covered, blocks)})`);
    for (const file of coverage) {
      const share = percent(file.covered, file.blocks).padStart(6);
      lines.push(`  ${share} ${file.path} ${file.covered}/${file.blocks}`);
    }
  }
  for (const { scenario, seed, violations } of tally.failures.slice(0, FAILURES_SHOWN)) {
    const [first] = violations;
    lines.push(`FAILED ${scenario} --seed ${seed}: ${first?.kind}: ${first?.message}`);
  }
  return `${lines.join("\n")}\n`;
}

export function formatViolation({ kind, message, lines }: Violation): string {
  return [`${kind}: ${message}`, ...(lines ?? []).map((line) => `    ${line}`), ""].join("\n");
}

export function formatShrunk(schedule: Schedule, runs: number): string {
  const { steps } = schedule;
  return `shrunk to ${steps.length} steps in ${runs} runs:\n${formatSchedule(schedule)}`;
}

function faults(tally: TallyData): string {
  const kinds = Object.entries(tally.faults).sort(([, one], [, other]) => other - one);
  return kinds.map(([kind, count]) => `${kind} ${count}`).join(", ");
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "-" : `${((100 * part) / whole).toFixed(1)}%`;
}
