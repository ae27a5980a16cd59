/**
 * Adds up the events of several node:test runs and writes the lines that close the whole run.
 *
 * Pure: events in, counts and text out. The closing lines have the form of node's own summary, so
 * that whoever reads logs by machine needs to know one form only.
 */

import { relative } from "node:path";

/** The counts of node's `test:summary` event, by its names. */
interface TestCounts {
  tests: number;
  suites: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  todo: number;
}

interface SkippedTest {
  readonly name: string;
  readonly file: string;
  readonly reason: string;
}

export interface TestEvent {
  readonly type: string;
  readonly data: unknown;
}

interface TestPointData {
  readonly name: string;
  readonly file?: string;
  readonly skip?: string | boolean;
}

interface SummaryData {
  readonly success: boolean;
  readonly file?: string;
  readonly counts: Readonly<Record<string, number>>;
}

export class TestTally {
  readonly counts: TestCounts = {
    tests: 0,
    suites: 0,
    passed: 0,
    failed: 0,
    cancelled: 0,
    skipped: 0,
    todo: 0,
  };
  readonly skips: SkippedTest[] = [];
  #allSucceeded = true;

  add(event: TestEvent): void {
    if (event.type === "test:pass" || event.type === "test:fail") {
      this.#addPoint(event.data as TestPointData);
    } else if (event.type === "test:summary") {
      this.#addSummary(event.data as SummaryData);
    } else if (event.type === "penstock:hung") {
      this.#allSucceeded = false;
    }
  }

  /** A run without a single test succeeded at nothing: that is a failure. */
  get succeeded(): boolean {
    return this.#allSucceeded && this.counts.tests > 0;
  }

  #addPoint(data: TestPointData): void {
    // A skipped test has its reason here, or true or "" when none was given.
    if (data.skip !== undefined && data.skip !== false) {
      const reason = typeof data.skip === "string" && data.skip !== "" ? data.skip : "no reason";
      this.skips.push({ name: data.name, file: data.file ?? "", reason });
    }
  }

  #addSummary(data: SummaryData): void {
    // Each file has its own summary; the one without a file covers the whole run() call.
    if (data.file !== undefined) {
      return;
    }
    this.#allSucceeded &&= data.success;
    for (const name of Object.keys(this.counts) as (keyof TestCounts)[]) {
      this.counts[name] += data.counts[name] ?? 0;
    }
  }
}

export interface ClosingFacts {
  readonly durationMs: number;
  readonly failedChecks: readonly string[];
  readonly requireAll: boolean;
}

/** Every skip by name and reason, failed checks, then node's closing lines, and nothing after. */
export function closingLines(tally: TestTally, facts: ClosingFacts): string {
  const lines: string[] = [""];
  const { counts, skips } = tally;
  if (skips.length > 0) {
    lines.push(
      facts.requireAll
        ? `✖ PENSTOCK_REQUIRE_ALL=1: ${skips.length} skipped, each counts as a failure of the run:`
        : `ℹ ${skips.length} skipped:`,
    );
    for (const skip of skips) {
      lines.push(`  ﹣ ${skip.name} (${relative(process.cwd(), skip.file)}): ${skip.reason}`);
    }
  }
  if (facts.failedChecks.length > 0) {
    lines.push(`✖ failed checks: ${facts.failedChecks.join(", ")}`);
  }
  if (counts.tests === 0) {
    lines.push("✖ not a single test ran");
  }
  lines.push(
    `ℹ tests ${counts.tests}`,
    `ℹ suites ${counts.suites}`,
    `ℹ pass ${counts.passed}`,
    `ℹ fail ${counts.failed}`,
    `ℹ cancelled ${counts.cancelled}`,
    `ℹ skipped ${counts.skipped}`,
    `ℹ todo ${counts.todo}`,
    `ℹ duration_ms ${facts.durationMs.toFixed(3)}`,
  );
  return `${lines.join("\n")}\n`;
}
