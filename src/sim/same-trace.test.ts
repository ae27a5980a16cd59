// The same seed gives the same trace, byte for byte: in two fresh processes that have nothing in
// common but the source, and in a process that ran other seeds before.

import { notStrictEqual, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { forLongRun, LONG_RUN } from "../testing/long-run.ts";
import { runCommand } from "../testing/run-command.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { runSchedule } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const SEEDS = Array.from({ length: forLongRun(1, 20) }, (_, index) => 101 + index);
const QUIET = "--disable-warning=ExperimentalWarning";

interface Surroundings {
  readonly flags: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Every day two: a chain of processes over a network, and trees on disks. */
const TRIED = SCENARIOS.filter(({ name }) => LONG_RUN || ["mirror", "snapshot"].includes(name));

for (const scenario of TRIED) {
  const { name } = scenario;
  test(`scenario ${name} gives the same trace for the same seed`, async (t) => {
    const here: Surroundings = { flags: [], cwd: import.meta.dirname, environment: {} };
    const elsewhere: Surroundings = {
      flags: [
        "--stack-size=4000",
        "--max-old-space-size=400",
        "--max-semi-space-size=1",
        "--no-opt",
      ],
      cwd: makeTempDir(t),
      environment: {
        TZ: "Asia/Kathmandu",
        LANG: "tr_TR.UTF-8",
        HOME: "/",
        UV_THREADPOOL_SIZE: "1",
      },
    };
    for (const seed of SEEDS) {
      const [trace, other] = await Promise.all([
        traceOf(name, seed, here),
        traceOf(name, seed, elsewhere),
      ]);
      strictEqual(firstDifference(trace, other), null, `seed ${seed}`);
      const hash = / trace ([0-9a-f]{16})$/m.exec(trace)?.[1];
      // Of runs in this process, which have others before them.
      const before = await runSchedule(scenario, scenario.draw(seed + 1000));
      notStrictEqual(before.traceHash, hash, "another seed gives another trace");
      const { traceHash } = await runSchedule(scenario, scenario.draw(seed));
      strictEqual(traceHash, hash, `seed ${seed} after another one`);
    }
  });
}

/** What `penstock simulate` prints for one seed. */
async function traceOf(name: string, seed: number, around: Surroundings): Promise<string> {
  const { flags, cwd, environment } = around;
  const command = [name, "--seed", String(seed), "--trace", "--no-shrink"];
  const args = [QUIET, ...flags, MAIN, ...command];
  const { stdout } = await runCommand(process.execPath, args, {
    exitCode: "any",
    cwd,
    environment,
  });
  strictEqual(stdout.split("\n").length > 100, true, "a trace tells what happened");
  return stdout;
}

/** The first lines that differ; null when there are none. */
function firstDifference(one: string, other: string): string | null {
  if (one === other) return null;
  const lines = one.split("\n");
  const others = other.split("\n");
  const index = lines.findIndex((line, at) => line !== others[at]);
  return `line ${index + 1}: ${lines[index]}\n  but: ${others[index]}`;
}
