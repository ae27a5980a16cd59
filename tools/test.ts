/**
 * The test runner behind `npm test`, `npm run ok` and `npm run test:long`.
 *
 * Runs the static checks, then every group of test-plan.ts with node:test, one process per file,
 * and joins the groups into one report that ends with node's own closing lines. Counts skips and
 * prints each with its reason; under PENSTOCK_REQUIRE_ALL=1 a skip fails the run.
 */

import { once } from "node:events";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { runStaticChecks, type StaticCheckName } from "./static-checks.ts";
import {
  parseArguments,
  planTests,
  type TestGroup,
  type TestRunOptions,
  unmatchedFilters,
} from "./test-plan.ts";
import { closingLines, type TestEvent, TestTally } from "./test-tally.ts";

const ROOT = join(import.meta.dirname, "..");

/** Ctrl-C and SIGTERM end the running test files too, and the run says what it has. */
const stopping = new AbortController();

const EXEC_FLAGS = ["--disable-warning=ExperimentalWarning"];
/**
 * Each of their tests takes slabs of its own, and the engine would collect garbage whenever 64 MiB
 * of them are new: a third of their processor time. Nothing there measures memory.
 */
const SLAB_HEAVY_FOLDERS = ["src/devices/", "src/nexus/", "src/pool/"];
const SLAB_HEAVY_FLAGS = [...EXEC_FLAGS, "--external-memory-accounted-in-global-limit"];

const CHECKS_OF_TEST: readonly StaticCheckName[] = ["types", "lint", "tidy"];
const CHECKS_OF_OK: readonly StaticCheckName[] = ["types", "format", "lint", "tidy", "dead code"];

/** Node's own summary of one run() call; ours sums over all groups instead. */
const SUMMARY_LINE = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;

async function main(): Promise<number> {
  const options = parseArguments(process.argv.slice(2));
  const startedMs = performance.now();
  if (options.long) {
    process.env.PENSTOCK_LONG = "1";
  }
  const groups = planTests(ROOT, options);
  const unmatched = unmatchedFilters(ROOT, groups, options.filters);
  if (groups.length === 0 || unmatched.length > 0) {
    process.stderr.write(`no test file matches ${unmatched.join(", ") || "anything"}\n`);
    return 1;
  }
  const failedChecks = await runStaticChecks(checksOf(options));
  const tally = new TestTally();
  await runGroups(groups, options, tally);

  const requireAll = process.env.PENSTOCK_REQUIRE_ALL === "1";
  const durationMs = performance.now() - startedMs;
  process.stdout.write(closingLines(tally, { durationMs, failedChecks, requireAll }));
  const skipsFail = requireAll && tally.skips.length > 0;
  return stopping.signal.aborted || failedChecks.length > 0 || skipsFail || !tally.succeeded
    ? 1
    : 0;
}

function checksOf(options: TestRunOptions): readonly StaticCheckName[] {
  if (options.ok) {
    return CHECKS_OF_OK;
  }
  const testsOnly = options.unit || options.filters.length > 0 || options.namePattern !== undefined;
  return testsOnly ? [] : CHECKS_OF_TEST;
}

/** Runs the groups one after the other and reports all of them as one run. */
async function runGroups(
  groups: readonly TestGroup[],
  options: TestRunOptions,
  tally: TestTally,
): Promise<void> {
  const reporter = new spec();
  let lastSummary: TestEvent | undefined;
  reporter.pipe(process.stdout, { end: false });
  for (const group of groups) {
    if (stopping.signal.aborted) {
      break;
    }
    const count = group.files.length + group.idleFiles.length;
    process.stdout.write(`\n── ${group.name}: ${count} files ──\n`);
    const lane = async (waiting: string[]): Promise<void> => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const events = await runFile(file, group.timeoutMs, options);
        for (const event of events) {
          tally.add(event);
          if (event.type === "test:summary") {
            lastSummary = event;
          } else if (event.type.startsWith("test:")) {
            reporter.write(event);
          }
        }
      }
    };
    const files = [...group.files];
    const lanes = Array.from({ length: group.concurrency }, () => lane(files));
    await Promise.all([...lanes, lane([...group.idleFiles])]);
  }
  // A summary makes the reporter list the failures of all files: once, at the end.
  if (lastSummary !== undefined) {
    reporter.write(lastSummary);
  }
  const ended = once(reporter, "end");
  reporter.end();
  await ended;
}

/**
 * Runs one file in its own process and resolves to its events for the report: whole files are
 * reported one after the other, whatever runs beside them. A run() per file, because its own
 * time-out does not end a file that hangs after its last test; aborting it does.
 */
async function runFile(
  file: string,
  timeoutMs: number,
  options: TestRunOptions,
): Promise<TestEvent[]> {
  const name = relative(ROOT, file);
  const hung = AbortSignal.timeout(timeoutMs);
  const stream = run({
    files: [file],
    cwd: ROOT,
    isolation: "process",
    execArgv: SLAB_HEAVY_FOLDERS.some((folder) => name.startsWith(folder))
      ? SLAB_HEAVY_FLAGS
      : EXEC_FLAGS,
    signal: AbortSignal.any([stopping.signal, hung]),
    ...(options.namePattern === undefined ? {} : { testNamePatterns: [options.namePattern] }),
  });
  const events: TestEvent[] = [];
  for await (const event of stream) {
    if (event.type === "test:summary" || isForReporter(event)) {
      events.push(event);
    }
  }
  if (hung.aborted) {
    const message = `${name} did not end within ${timeoutMs} ms and was killed`;
    process.stdout.write(`✖ ${message}\n`);
    events.push({ type: "penstock:hung", data: { message } });
  }
  return events;
}

function isForReporter(event: { readonly type: string; readonly data: unknown }): boolean {
  if (event.type !== "test:diagnostic") {
    return true;
  }
  const { message } = event.data as { readonly message: string };
  return !SUMMARY_LINE.test(message);
}

process.once("SIGINT", () => stopping.abort());
process.once("SIGTERM", () => stopping.abort());
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
