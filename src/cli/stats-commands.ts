/**
 * `stats`, `top`, `reactor list`: what there is to type, with its help.
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import { forClients, outputOption } from "./engine-commands.ts";
import { durationArgument } from "./run-options.ts";
import type { StatsOptions, TopOptions } from "./stats-client.ts";

const INTERVAL_MS_DEFAULT = 1000;
const INTERVAL_MS_MIN = 10;
const INTERVAL_MS_MAX = 3_600_000;
const COUNT_MAX = 1_000_000;

export function addStats(program: Command): void {
  forClients(program.command("stats"))
    .description("what pipes do: rates, latencies, errors, over an interval")
    .argument("[pipe]", "one pipe, with its stages and its mirror's children (all pipes)")
    .addOption(intervalOption())
    .addOption(outputOption())
    .addHelpText("after", STATS_HELP)
    .action(async (pipe: string | undefined, options: StatsOptions) => {
      const { showStats } = await import("./stats-client.ts");
      await showStats(pipe, options);
    });
  forClients(program.command("top"))
    .description("a live table of what pipes do; q to quit")
    .addOption(intervalOption())
    .option("--count <n>", "show this many tables, one after the other, and end", countArgument)
    .option("--once", "show one table and end", false)
    .addHelpText("after", TOP_HELP)
    .action(async (options: TopOptions) => {
      const { runTop } = await import("./stats-client.ts");
      await runTop(options);
    });
  const reactor = program.command("reactor").description("the engine's data-plane threads");
  forClients(reactor.command("list"))
    .description("every reactor: load, queue, connections, buffers, over an interval")
    .addOption(intervalOption())
    .addOption(outputOption())
    .addHelpText("after", REACTOR_HELP)
    .action(async (options: StatsOptions) => {
      const { listReactors } = await import("./stats-client.ts");
      await listReactors(options);
    });
}

function intervalOption(): Option {
  return new Option("--interval <time>", "how long to look (1s)")
    .argParser(durationArgument({ minMs: INTERVAL_MS_MIN, maxMs: INTERVAL_MS_MAX }))
    .default(INTERVAL_MS_DEFAULT, "1s");
}

function countArgument(text: string): number {
  const count = Number(text);
  if (/^\d{1,7}$/.test(text) && count >= 1 && count <= COUNT_MAX) return count;
  throw new InvalidArgumentError(`Expected a number from 1 to ${COUNT_MAX}.`);
}

const STATS_HELP = `
Latencies of a pipe are those of all its commands, from header to reply; those of stages are of one
request in 64, in the stage and below it. ERRORS counts since the pipe was opened.

Examples:
  penstock stats
  penstock stats vol1 --interval 10s
  penstock stats -o json`;

const TOP_HELP = `
The busiest pipes come first. Where the output is no terminal, tables follow each other.

Examples:
  penstock top
  penstock top --interval 5s
  penstock top --once`;

const REACTOR_HELP = `
LOAD is the share of a core that it works, SPIN the share that it looks for work in vain.

Examples:
  penstock reactor list
  penstock reactor list --interval 10s -o json`;
