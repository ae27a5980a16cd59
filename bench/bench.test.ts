/**
 * The bench in its smallest form, so that it never rots: one cell of 0.2 s of two scenarios, with
 * Penstock and, when it is there, nbdkit. It asserts that figures are sane and knows no thresholds.
 */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { missingTools } from "../src/testing/require-tool.ts";
import { runCommand } from "../src/testing/run-command.ts";
import { makeTempDir } from "../src/testing/temp-dir.ts";
import { parseArguments } from "./arguments.ts";
import { makeReport, toMarkdown } from "./report.ts";
import { runBench } from "./run-bench.ts";
import { PENSTOCK_SERVER } from "./servers/penstock.ts";
import { SERVERS } from "./servers/registry.ts";

const CELL_MS = 200;
const PEERS =
  missingTools("nbdkit") === false ? SERVERS.filter(({ name }) => name === "nbdkit") : [];

test("a tiny run has sane figures", { skip: missingTools("fio") }, async (t) => {
  const servers = [PENSTOCK_SERVER, ...PEERS];
  const options = parseArguments([
    "--scenario=ram/randread-4k-q32",
    "--scenario=file/write-128k",
    "--rounds=1",
    `--seconds=${CELL_MS / 1000}`,
    "--size=16",
    `--dir=${makeTempDir(t)}`,
  ]);
  const plan = { ...options, servers, warmUpMs: 50, cores: { server: null, client: null } };
  const progress: string[] = [];
  const run = await runBench(plan, (line) => progress.push(line));

  assert.equal(run.cells.length, 2 * servers.length);
  assert.equal(progress.length, 1 + run.cells.length);
  for (const cell of run.cells) {
    const shown = JSON.stringify(cell);
    assert.ok(cell.operations > 0 && cell.iops > 0, shown);
    assert.ok(cell.p50Us > 0 && cell.p99Us >= cell.p50Us, shown);
    // A server cannot use less than a tenth of a microsecond, nor more than all of the machine.
    assert.ok(cell.cpuUsPerOperation > 0.1 && cell.cpuUsPerOperation < 1e6, shown);
    assert.ok(cell.residentBytes > 2 ** 20, shown);
    assert.ok(cell.cpuShare > 0 && cell.otherCores >= 0, shown);
  }
  const report = makeReport({
    plan,
    run,
    machine: {
      processor: "test",
      processors: 1,
      memoryBytes: 1,
      kernel: "test",
      node: process.version,
      diskFileSystem: "test",
      loadAverage: 0,
    },
    commit: null,
    startedAt: new Date(0),
    client: "fio",
    servers: servers.map(({ name }) => ({ name, version: "test" })),
    skipped: [{ server: "other", reason: "missing: other" }],
  });
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
  assert.equal(report.comparisons.length, servers.length > 1 ? 2 : 0);
  assert.match(toMarkdown(report), /skipped: other[\s\S]*\| randread-4k-q32 \| [\d.]+ · \d+ · /);
  assert.deepEqual(leftOvers(plan.diskFolder), []);
});

/** Backing files that outlived the run. */
function leftOvers(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("penstock-bench-"));
}

test("arguments choose scenarios and servers, and mistakes name what is expected", () => {
  const quick = parseArguments(["--quick"]);
  assert.deepEqual([quick.rounds, quick.cellMs, quick.scenarios.length], [2, 1000, 24]);
  const chosen = parseArguments(["--scenario=q1$", "--servers=penstock,nbdkit", "--rounds=7"]);
  assert.deepEqual(
    [chosen.scenarios.length, chosen.servers.length, chosen.rounds, chosen.cellMs],
    [6, 2, 7, 3000],
  );
  for (const [argument, message] of [
    ["--scenario=disk/", /no scenario matches disk/],
    ["--servers=nbd", /no server "nbd", expected some of penstock, nbdkit/],
    ["--rounds=0", /--rounds is "0", expected a number from 1 to 100/],
    ["--rounds=1.5", /expected an integer/],
    ["--seconds=x", /--seconds is "x"/],
    ["--fast", /--fast/],
  ] as const) {
    assert.throws(() => parseArguments([argument]), message);
  }
});

test("npm run bench lists its scenarios", async () => {
  const bench = join(import.meta.dirname, "bench.ts");
  const { stdout } = await runCommand(process.execPath, [
    "--disable-warning=ExperimentalWarning",
    bench,
    "--list",
  ]);
  assert.match(stdout, /^ram\/randread-4k-q32$[\s\S]*^penstock$/m);
});
