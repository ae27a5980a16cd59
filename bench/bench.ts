/**
 * `npm run bench`: Penstock's NBD speed beside its peers', on this machine, with one command.
 * Prints progress on standard error, the report on standard output, and keeps both forms of it.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { missingTools } from "../src/testing/require-tool.ts";
import { type BenchOptions, parseArguments, USAGE } from "./arguments.ts";
import type { Cores } from "./cell.ts";
import { describeCommit, describeMachine, versionOf } from "./machine.ts";
import { makeReport, type Skip, toMarkdown } from "./report.ts";
import { runBench } from "./run-bench.ts";
import { SCENARIOS } from "./scenarios.ts";
import { SERVERS } from "./servers/registry.ts";
import { allowedCores } from "./usage.ts";

const RESULTS = join(import.meta.dirname, "results");

async function main(args: readonly string[]): Promise<void> {
  const options = parseArguments(args);
  if (options.help) {
    process.stdout.write(USAGE);
  } else if (options.list) {
    const names = [...SCENARIOS.map(({ id }) => id), ...SERVERS.map(({ name }) => name)];
    process.stdout.write(`${names.join("\n")}\n`);
  } else {
    await measure(options);
  }
}

async function measure(options: BenchOptions): Promise<void> {
  const clientMissing = missingTools("fio");
  if (clientMissing !== false) throw new Error(clientMissing);
  const skipped: Skip[] = [];
  const servers = options.servers.filter((adapter) => {
    const reason = missingTools(...adapter.tools);
    if (reason !== false) skipped.push({ server: adapter.name, reason });
    return reason === false;
  });
  const plan = { ...options, servers, cores: chooseCores() };
  const startedAt = new Date();
  const machine = await describeMachine(options.diskFolder);
  const run = await runBench(plan, (line) => process.stderr.write(`${line}\n`));
  const report = makeReport({
    plan,
    run,
    machine,
    commit: describeCommit(),
    startedAt,
    client: versionOf({ versionCommand: ["fio", "--version"] }),
    servers: servers.map((adapter) => ({ name: adapter.name, version: versionOf(adapter) })),
    skipped,
  });
  const stamp = report.startedAt.replaceAll(/[:.]/g, "-");
  const folder = options.outFolder ?? join(RESULTS, stamp);
  mkdirSync(folder, { recursive: true });
  const markdown = toMarkdown(report);
  writeFileSync(join(folder, "report.md"), markdown);
  writeFileSync(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(markdown);
  process.stderr.write(`kept in ${folder}\n`);
}

/** The first two cores for server and client; on a machine with one, or no taskset, no pinning. */
function chooseCores(): Cores {
  const [server, client] = allowedCores();
  return server === undefined || client === undefined || missingTools("taskset") !== false
    ? { server: null, client: null }
    : { server, client };
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = 1;
}
