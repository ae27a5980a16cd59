/**
 * `penstock simulate`: what there is to type. The simulator is a program of its own, above all
 * layers: it is started with the same arguments, and this process ends as it does.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { extname, join } from "node:path";
import type { Command } from "commander";
import { ExitCode } from "./exit-code.ts";

/** As commander gives them. */
interface SimulateArguments {
  readonly seeds?: string;
  readonly seed?: string;
  readonly trace?: boolean;
  readonly schedule?: string;
  readonly jobs?: string;
  readonly coverage?: boolean;
  readonly shrink: boolean;
  readonly save?: string;
}

export function addSimulate(program: Command, setExitCode: (code: ExitCode) => void): void {
  program
    .command("simulate")
    .description("try what keeps data safe in simulated worlds where everything goes wrong")
    .argument("[scenario...]", "which worlds: file, nbd, ...; default all")
    .option("--seeds <n>", "how many seeds to try; default 100")
    .option("--seed <s>", "the first seed; alone, just this one")
    .option("--trace", "print every step, operation and fault")
    .option("--schedule <file>", "run the schedule in a file instead of drawn ones")
    .option("--jobs <n>", "threads; default one per core")
    .option("--coverage", "count the blocks of code gone through; slower")
    .option("--no-shrink", "do not shrink a failing schedule")
    .option("--save <file>", "write the shrunk schedule to a file")
    .addHelpText("after", SIMULATE_HELP)
    .action(async (scenarios: string[], options: SimulateArguments) => {
      setExitCode(await simulate(scenarios, options));
    });
}

const SIMULATE_HELP = `
Runs the real code of devices, protocols and mirrors on simulated hosts, disks, networks and
clocks, lets processes die, disks fail and links break, and checks all that clients saw. Every run
follows from its seed alone; a failing one is shrunk to a few steps.

Exits 0, or 1 when a safety rule was broken.

Examples:
  penstock simulate                             100 seeds over all scenarios
  penstock simulate nbd --seeds 10000           many, on all cores
  penstock simulate file --seed 7 --trace       one, with all that happens in it
  penstock simulate --schedule found.json       what --save has kept`;

async function simulate(
  scenarios: readonly string[],
  options: SimulateArguments,
): Promise<ExitCode> {
  const { dirname, filename } = import.meta;
  const program = join(dirname, "..", "sim", `main${extname(filename)}`);
  const args = [...process.execArgv, program, ...scenarios, ...flagsOf(options)];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code === ExitCode.ok || code === ExitCode.usage) return code;
  return ExitCode.failure;
}

function flagsOf(options: SimulateArguments): string[] {
  const flags: string[] = [];
  for (const name of ["seeds", "seed", "schedule", "jobs", "save"] as const) {
    const value = options[name];
    if (value !== undefined) flags.push(`--${name}`, value);
  }
  if (options.trace === true) flags.push("--trace");
  if (options.coverage === true) flags.push("--coverage");
  if (!options.shrink) flags.push("--no-shrink");
  return flags;
}
