/**
 * Decides which test files a run has, in which order and under which limits. Pure apart from
 * reading folder listings.
 *
 * Unit tests lie beside the code in src/ and tools/ and run two files at a time; so do those with
 * foreign programs, guests and whole processes, each with ports and folders of its own. Those with
 * hostile peers run four at a time: most of their time they watch a server that waits. Files that
 * do hardly anything else run one after the other beside the pairs. The bench runs alone.
 */

import { existsSync, globSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";

export interface TestGroup {
  readonly name: string;
  readonly files: readonly string[];
  /** Of `files` at a time. */
  readonly concurrency: number;
  /** Run beside `files`, one at a time: they wait, and leave the processors to those. */
  readonly idleFiles: readonly string[];
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

const PAIRED_FOLDERS = ["test/guest", "test/crash", "test/interop", "test/e2e"];
const WAITING_FOLDER = "test/hostile";
/** They take longest and come first, so that both lanes end at about the same time. */
const LONGEST = [
  "test/e2e/start.test.ts",
  "test/e2e/engine.test.ts",
  "test/e2e/bench-command.test.ts",
  "test/guest/nvme-outages.test.ts",
];
/** Measured: 5 to 30 s without a runnable thread, 2 to 7 s of processor time. */
const IDLE = [
  "test/e2e/nvme-associations.test.ts",
  "test/hostile/half-open.test.ts",
  "test/hostile/many-pipes.test.ts",
  "test/hostile/nvme-commands.test.ts",
  "test/hostile/nvme-many-connections.test.ts",
];
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
    {
      name: "unit",
      files: unitFiles,
      concurrency: 2,
      idleFiles: [],
      timeoutMs: (long ? 30 : 4) * MINUTE_MS,
    },
  ];
  if (!options.unit && !options.ok) {
    const timeoutMs = (long ? 240 : 6) * MINUTE_MS;
    const named = (paths: readonly string[]): string[] =>
      paths.flatMap((path) => expand(root, [path]));
    const [longest, idleFiles] = [named(LONGEST), named(IDLE)];
    const filesIn = (folder: string): string[] =>
      expand(root, [`${folder}/**/*.test.ts`]).filter(
        (file) => !longest.includes(file) && !idleFiles.includes(file),
      );
    groups.push({
      name: PAIRED_FOLDERS.join(", "),
      files: [...longest, ...PAIRED_FOLDERS.flatMap(filesIn)],
      concurrency: 2,
      idleFiles,
      timeoutMs,
    });
    groups.push({
      name: WAITING_FOLDER,
      files: filesIn(WAITING_FOLDER),
      concurrency: 4,
      idleFiles: [],
      timeoutMs,
    });
    const folders = [...SERIAL_FOLDERS];
    if (long || options.filters.length > 0) {
      folders.push(...LONG_ONLY_FOLDERS);
    }
    for (const folder of folders) {
      const files = filesIn(folder);
      groups.push({ name: folder, files, concurrency: 1, idleFiles: [], timeoutMs });
    }
  }
  return groups
    .map((group) => ({
      ...group,
      files: applyFilters(root, group.files, options.filters),
      idleFiles: applyFilters(root, group.idleFiles, options.filters),
    }))
    .filter(({ files, idleFiles }) => files.length + idleFiles.length > 0);
}

/** Filters that choose no file at all: most likely a typing error, so the run must fail. */
export function unmatchedFilters(
  root: string,
  groups: readonly TestGroup[],
  filters: readonly string[],
): string[] {
  const files = groups.flatMap((group) => [...group.files, ...group.idleFiles]);
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
