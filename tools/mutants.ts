/**
 * The mutants: patches in test/mutants, each of which takes one safety rule out of the source. The
 * simulator must catch every one; one that survives shows where it is blind.
 *
 *   node tools/mutants.ts [NAME...] [--seeds N] [--jobs N] [--no-shrink] [--write]
 *
 * Copies src to a temporary folder, applies one patch there and runs its scenario until a rule is
 * seen broken. Prints a table; `--write` also puts it into docs/internals/simulation.md. Exits 1
 * when a mutant survived, or its patch does not apply any more. The tree itself is not touched.
 */

import { execFile, spawn } from "node:child_process";
import {
  cpSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs, promisify } from "node:util";
import type { MutantFinding } from "./mutant-run.ts";

export interface Mutant {
  /** The patch's file name, without its ending. */
  readonly name: string;
  readonly path: string;
  /** Number of the rule in safety.md. */
  readonly rule: string;
  /** What is gone, in words. */
  readonly removes: string;
  readonly scenario: string;
}

export interface MutantResult {
  readonly mutant: Mutant;
  /** Null: the patch does not apply, or the run itself failed; see `problem`. */
  readonly finding: MutantFinding | null;
  readonly problem: string;
  readonly tookMs: number;
}

export interface MutantOptions {
  readonly seedsMax: number;
  readonly shrink: boolean;
}

const ROOT = join(import.meta.dirname, "..");
const FOLDER = join(ROOT, "test/mutants");
const PAGE = join(ROOT, "docs/internals/simulation.md");
const TABLE_BEGIN = "<!-- mutants: made by tools/mutants.ts --write -->";
const TABLE_END = "<!-- end of mutants -->";
export const SEEDS_MAX = 2000;
/** A mutant that makes the code run in circles is ended by this, and counts as not caught. */
const SEARCH_MS_MAX = 30 * 60_000;
/** What was reached until then counts. */
const SHRINK_MS_MAX = 60_000;

const run = promisify(execFile);

/** All mutants, by their names' order. @throws Error for a patch without its header */
export function listMutants(): Mutant[] {
  return globSync("*.patch", { cwd: FOLDER })
    .sort()
    .map((file) => {
      const path = join(FOLDER, file);
      const text = readFileSync(path, "utf8");
      const header = text.slice(0, text.indexOf("\ndiff --git "));
      const field = (name: string): string => {
        const found = new RegExp(`^${name}: (.+)$`, "m").exec(header)?.[1];
        if (found === undefined) throw new Error(`${file} has no "${name}:" in its header`);
        return found;
      };
      return {
        name: basename(file, ".patch"),
        path,
        rule: field("Rule"),
        removes: field("Removes"),
        scenario: field("Scenario"),
      };
    });
}

/** A folder with what is needed to run the simulator; the caller removes it. */
export function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), "penstock-mutant-"));
  cpSync(join(ROOT, "src"), join(copy, "src"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(copy, "package.json"));
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/**
 * @param flags of git apply; "--check" changes nothing
 * @throws Error when it does not apply any more
 */
export async function applyPatch(
  copy: string,
  mutant: Mutant,
  flags: readonly string[] = [],
): Promise<void> {
  // Without the ceiling git would look for a repository around the temporary folder.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: join(copy, "..") };
  await run("git", ["apply", ...flags, mutant.path], { cwd: copy, env });
}

/** Applies the patch to a copy of the tree and looks for a seed that shows it. */
export async function tryMutant(mutant: Mutant, options: MutantOptions): Promise<MutantResult> {
  const beganMs = performance.now();
  const took = (): number => performance.now() - beganMs;
  const copy = copyTree();
  try {
    await applyPatch(copy, mutant);
    const finding = await runDriver(copy, mutant, options);
    const problem = finding.caught ? "" : `survived ${finding.seeds} seeds`;
    return { mutant, finding, problem, tookMs: took() };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { mutant, finding: null, problem, tookMs: took() };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** @throws Error when it does not even find nothing */
async function runDriver(
  copy: string,
  { scenario }: Mutant,
  { seedsMax, shrink }: MutantOptions,
): Promise<MutantFinding> {
  const driver = join(import.meta.dirname, "mutant-run.ts");
  const what = [copy, scenario, String(seedsMax), ...(shrink ? [] : ["--no-shrink"])];
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", driver, ...what],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let timer = setTimeout(() => child.kill("SIGKILL"), SEARCH_MS_MAX);
  const told: Partial<MutantFinding>[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (told.length === 0) {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill("SIGKILL"), SHRINK_MS_MAX);
    }
    told.push(JSON.parse(line) as Partial<MutantFinding>);
  }
  clearTimeout(timer);
  if (told.length === 0) throw new Error("it neither caught the mutant nor gave up");
  return Object.assign({}, ...told) as MutantFinding; // the first line has all fields
}

/** For the page of the simulator, and for people. */
export function formatTable(results: readonly MutantResult[]): string {
  const lines = [
    "| mutant | rule | what it removes | scenario | seeds | steps | seen as |",
    "|---|---|---|---|---|---|---|",
  ];
  for (const { mutant, finding, problem } of results) {
    const { name, rule, removes, scenario } = mutant;
    const isCaught = finding?.caught === true;
    const seeds = isCaught ? String(finding.seeds) : `**${problem.split("\n")[0]}**`;
    const steps = finding === null || finding.steps < 0 ? "" : String(finding.steps);
    const kind = finding?.kind ?? "";
    lines.push(`| ${name} | ${rule} | ${removes} | ${scenario} | ${seeds} | ${steps} | ${kind} |`);
  }
  return `${lines.join("\n")}\n`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seeds: { type: "string" },
      jobs: { type: "string" },
      "no-shrink": { type: "boolean" },
      write: { type: "boolean" },
      save: { type: "string" },
    },
  });
  const all = listMutants();
  const unknown = positionals.filter((name) => !all.some((mutant) => mutant.name === name));
  if (unknown.length > 0) throw new Error(`no mutant ${unknown.join(", ")}`);
  const chosen = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const options = {
    seedsMax: Number(values.seeds ?? SEEDS_MAX),
    shrink: values["no-shrink"] !== true,
  };
  const results = await tryAll(chosen, options, Number(values.jobs ?? availableParallelism()));
  const table = formatTable(results);
  process.stdout.write(`\n${table}`);
  if (values.write === true) writeTable(table);
  if (values.save !== undefined) saveSchedules(results, values.save);
  return results.every(({ finding }) => finding?.caught === true) ? 0 : 1;
}

/** In the order given, however long each takes. */
async function tryAll(
  mutants: readonly Mutant[],
  options: MutantOptions,
  jobs: number,
): Promise<MutantResult[]> {
  const results: MutantResult[] = [];
  const waiting = [...mutants.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, mutant] = next;
      const result = await tryMutant(mutant, options);
      results[index] = result;
      process.stdout.write(describe(result));
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

function describe({ mutant, finding, problem, tookMs }: MutantResult): string {
  const took = `${(tookMs / 1000).toFixed(1)} s`;
  const own = finding?.ownFailures ?? [];
  const apart = own.length > 0 ? ` (the tree itself fails seeds ${own.join(", ")})` : "";
  if (finding?.caught !== true) return `${mutant.name}: NOT CAUGHT, ${problem}, ${took}${apart}\n`;
  const { seeds, steps, kind, message } = finding;
  const short = steps < 0 ? "" : `, ${steps} steps`;
  return `${mutant.name}: seed ${seeds}${short}, ${took}${apart}: ${kind}: ${message}\n`;
}

/** The shrunk schedules, one file each. */
function saveSchedules(results: readonly MutantResult[], folder: string): void {
  for (const { mutant, finding } of results) {
    if (finding === null || finding.schedule === null) continue;
    const { steps, ...rest } = finding.schedule;
    const text = JSON.stringify({ ...rest, message: finding.message });
    const lines = steps.map((step) => JSON.stringify(step));
    writeFileSync(join(folder, `${mutant.name}.txt`), `${text}\n${lines.join("\n")}\n`);
  }
}

/** Rows of mutants that were not run stay as they are, unless the mutant is gone. */
function writeTable(table: string): void {
  const text = readFileSync(PAGE, "utf8");
  const begin = text.indexOf(TABLE_BEGIN);
  const end = text.indexOf(TABLE_END);
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has no place for the table`);
  const rows = new Map<string, string>();
  const lines = `${text.slice(begin + TABLE_BEGIN.length, end)}\n${table}`.split("\n");
  for (const line of lines) rows.set(line.split("|")[1]?.trim() ?? "", line);
  const names = ["mutant", "---", ...listMutants().map(({ name }) => name)];
  const kept = names.flatMap((name) => rows.get(name) ?? []);
  const made = `${TABLE_BEGIN}\n${kept.join("\n")}\n`;
  writeFileSync(PAGE, `${text.slice(0, begin)}${made}${text.slice(end)}`);
}

if (import.meta.main) process.exitCode = await main();
