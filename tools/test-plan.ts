/**
 * Decides which test files a run has, in which order and under which limits. Pure apart from
 * reading folder listings.
 *
 * Unit tests lie beside the code in src/ and tools/ and run two files at a time; so do those with
 * foreign programs, guests and whole processes, each with ports and folders of its own. Those with
 * hostile peers run four at a time: most of their time they watch a server that waits. The bench
 * runs alone.
 */

import { existsSync, globSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";

export interface TestGroup {
  readonly name: string;
  readonly files: readonly string[];
  readonly concurrency: number;
  /** Per file: a file that hangs is killed and counts as failed. */
  readonly timeoutMs: number;
}

export interface TestRunOptions {
  /** Format, lint, types, tidy, dead code and unit tests: what `npm run ok` promises. */
  readonly ok: boolean;
  /** Unit tests only, no static checks. */
  readonly unit: boolean;
  /** Everything, soak and mutants included, with PENSTOCK_LONG=1. */
  readonly long: boolean;
  /** Files, folders or patterns; when there are any, static checks are left out. */
  readonly filters: readonly string[];
  /** Regular expression on test names, as in `node --test`. */
  readonly namePattern: string | undefined;
}

const MINUTE_MS = 60_000;

const UNIT_PATTERNS = ["src/**/*.test.ts", "tools/**/*.test.ts"];

/** The long ones first, so that both lanes end at about the same time. */
const PAIRED_FOLDERS = ["test/guest", "test/crash", "test/interop", "test/e2e"];
const WAITING_FOLDER = "test/hostile";
const SERIAL_FOLDERS = ["bench"];
const LONG_ONLY_FOLDERS = ["test/soak", "test/mutants"];

const USAGE =
  "usage: npm test -- [--unit | --ok | --long] [--name REGEXP] [FILE | FOLDER | GLOB ...]";

/** Throws an Error with a usage text when an argument makes no sense. */
export function parseArguments(args: readonly string[]): TestRunOptions {
  const flags = new Set<string>();
  const filters: string[] = [];
  let namePattern: string | undefined;
  const rest = [...args];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === "--name") {
      namePattern = rest.shift();
      if (namePattern === undefined) {
        throw new Error(`--name needs a regular expression\n${USAGE}`);
      }
    } else if (["--unit", "--ok", "--long"].includes(argument)) {
      flags.add(argument);
    } else if (argument.startsWith("-")) {
      throw new Error(`unknown option ${argument}\n${USAGE}`);
    } else {
      filters.push(argument);
    }
  }
  return {
    ok: flags.has("--ok"),
    unit: flags.has("--unit"),
    long: flags.has("--long"),
    filters,
    namePattern,
  };
}

/** The groups of one run, without empty ones. Paths are absolute. */
export function planTests(root: string, options: TestRunOptions): TestGroup[] {
  const long = options.long || process.env.PENSTOCK_LONG === "1";
  const unitFiles = expand(root, UNIT_PATTERNS);
  const groups: TestGroup[] = [
    { name: "unit", files: unitFiles, concurrency: 2, timeoutMs: (long ? 30 : 4) * MINUTE_MS },
  ];
  if (!options.unit && !options.ok) {
    const timeoutMs = (long ? 240 : 6) * MINUTE_MS;
    const filesIn = (folder: string): string[] => expand(root, [`${folder}/**/*.test.ts`]);
    const paired = PAIRED_FOLDERS.flatMap(filesIn);
    groups.push({ name: PAIRED_FOLDERS.join(", "), files: paired, concurrency: 2, timeoutMs });
    groups.push({
      name: WAITING_FOLDER,
      files: filesIn(WAITING_FOLDER),
      concurrency: 4,
      timeoutMs,
    });
    const folders = [...SERIAL_FOLDERS];
    if (long || options.filters.length > 0) {
      folders.push(...LONG_ONLY_FOLDERS);
    }
    for (const folder of folders) {
      groups.push({ name: folder, files: filesIn(folder), concurrency: 1, timeoutMs });
    }
  }
  return groups
    .map((group) => ({ ...group, files: applyFilters(root, group.files, options.filters) }))
    .filter((group) => group.files.length > 0);
}

/** Filters that choose no file at all: most likely a typing error, so the run must fail. */
export function unmatchedFilters(
  root: string,
  groups: readonly TestGroup[],
  filters: readonly string[],
): string[] {
  const files = groups.flatMap((group) => group.files);
  return filters.filter((filter) => applyFilters(root, files, [filter]).length === 0);
}

function expand(root: string, patterns: readonly string[]): string[] {
  return globSync([...patterns], { cwd: root, exclude: ["**/node_modules/**"] })
    .map((path) => join(root, path))
    .sort();
}

function applyFilters(
  root: string,
  files: readonly string[],
  filters: readonly string[],
): readonly string[] {
  if (filters.length === 0) {
    return files;
  }
  const predicates = filters.map((filter) => predicateOf(root, filter));
  return files.filter((file) => predicates.some((accepts) => accepts(file)));
}

/** An existing path stands for itself, its test or all below it; the rest are glob patterns. */
function predicateOf(root: string, filter: string): (file: string) => boolean {
  const path = resolve(root, filter);
  if (existsSync(path)) {
    const itsTest = path.replace(/(?<!\.test)\.(?:ts|mjs)$/, ".test.ts");
    return (file) => file === path || file === itsTest || file.startsWith(path + sep);
  }
  const chosen = new Set(globSync(filter, { cwd: root }).map((match) => resolve(root, match)));
  return (file) => chosen.has(file) || relative(root, file).startsWith(filter);
}
