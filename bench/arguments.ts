/** The bench's command line. Pure apart from naming the default folder. */

import { tmpdir } from "node:os";
import { parseArgs } from "node:util";

import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { DEFAULT_SERVERS, SERVERS } from "./servers/registry.ts";
import type { ServerAdapter } from "./servers/server.ts";

const MIB = 2 ** 20;

export const USAGE = `usage: npm run bench -- [OPTION ...]

  --quick              cells of 1 s, 2 rounds
  --scenario PATTERN   only scenarios that match, such as ram/ or 'randread.*q1$'; repeatable
  --servers LIST       comma-separated, or all; default ${DEFAULT_SERVERS.join(",")}
  --rounds N           1 to 100; default 5
  --seconds S          of one cell, 0.1 to 600; default 3
  --size MIB           of each device; default 256
  --dir DIR            a folder on a disk, for the source file; default ${tmpdir()}
  --out DIR            where report.md and report.json go; default bench/results/TIME
  --list               print scenarios and servers
`;

export interface BenchOptions {
  readonly scenarios: readonly Scenario[];
  readonly servers: readonly ServerAdapter[];
  readonly rounds: number;
  readonly cellMs: number;
  readonly warmUpMs: number;
  readonly sizeBytes: number;
  readonly diskFolder: string;
  readonly outFolder: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

/** @throws Error with a message for the user */
export function parseArguments(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      scenario: { type: "string", multiple: true, default: [] },
      servers: { type: "string", default: DEFAULT_SERVERS.join(",") },
      rounds: { type: "string" },
      seconds: { type: "string" },
      size: { type: "string", default: "256" },
      dir: { type: "string", default: tmpdir() },
      out: { type: "string" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const seconds = values.seconds ?? (values.quick ? "1" : "3");
  const rounds = values.rounds ?? (values.quick ? "2" : "5");
  const cellMs = numberIn(seconds, { name: "--seconds", min: 0.1, max: 600 }) * 1000;
  return {
    scenarios: chooseScenarios(values.scenario),
    servers: chooseServers(values.servers),
    rounds: integerIn(rounds, { name: "--rounds", min: 1, max: 100 }),
    cellMs,
    // Long enough for the compilers of those servers that have one.
    warmUpMs: Math.min(1000, cellMs),
    sizeBytes: integerIn(values.size, { name: "--size", min: 16, max: 65_536 }) * MIB,
    diskFolder: values.dir,
    outFolder: values.out,
    list: values.list,
    help: values.help,
  };
}

function chooseScenarios(patterns: readonly string[]): readonly Scenario[] {
  if (patterns.length === 0) return SCENARIOS;
  const expressions = patterns.map((pattern) => new RegExp(pattern, "i"));
  const chosen = SCENARIOS.filter(({ id }) => expressions.some((each) => each.test(id)));
  if (chosen.length === 0)
    throw new Error(`no scenario matches ${patterns.join(", ")}: see --list`);
  return chosen;
}

function chooseServers(list: string): readonly ServerAdapter[] {
  if (list === "all") return SERVERS;
  return list.split(",").map((name) => {
    const found = SERVERS.find((adapter) => adapter.name === name);
    if (found !== undefined) return found;
    const known = SERVERS.map((adapter) => adapter.name).join(", ");
    throw new Error(`there is no server "${name}", expected some of ${known}`);
  });
}

interface Range {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

function numberIn(text: string, { name, min, max }: Range): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= min && value <= max)) {
    throw new Error(`${name} is "${text}", expected a number from ${min} to ${max}`);
  }
  return value;
}

function integerIn(text: string, range: Range): number {
  const value = numberIn(text, range);
  if (!Number.isInteger(value)) throw new Error(`${range.name} is "${text}", expected an integer`);
  return value;
}
