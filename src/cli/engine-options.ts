/**
 * Options of `penstock engine` beyond those of every command that runs reactors, and the names of
 * all of them in the environment.
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import { CACHE_BYTES_MAX, CACHE_BYTES_MIN } from "../pool/pool-info.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../telemetry/log-choices.ts";
import { parseSize } from "../util/size.ts";
import { NICE_MAX } from "./rpc-priority.ts";
import { readArgument } from "./run-options.ts";

const VARIABLE_PREFIX = "PENSTOCK_";
/** A third of a reactor's share of a processor that both want. */
const RPC_NICE_DEFAULT = 5;

export function addDaemonOptions(command: Command): Command {
  command
    .option(
      "--metrics <address...>",
      "serve Prometheus metrics at HOST:PORT or unix:PATH, too (/metrics of the RPC's socket)",
    )
    .option("--config <file>", "read options from a YAML file, too (see docs/operations/engine.md)")
    .addOption(
      new Option("--log-level <level>", "what standard error is told of")
        .choices(LOG_LEVELS)
        .default("info"),
    )
    .addOption(
      new Option("--log-format <format>", "its lines (pretty on a terminal, else json)").choices(
        LOG_FORMATS,
      ),
    )
    .option("--pool-cache <size>", "memory for the pages of each pool (64MiB)", parsePoolCache)
    .option(
      "--rpc-nice <n>",
      `how much lower the RPC's priority is than the reactors', 0 to ${NICE_MAX} (Linux)`,
      parseNice,
      RPC_NICE_DEFAULT,
    )
    .option("--no-supervisor", "one process alone: whoever starts it also restarts it");
  return command;
}

function parseNice(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) > NICE_MAX) {
    throw new InvalidArgumentError(`Expected a number from 0 to ${NICE_MAX}.`);
  }
  return Number(text);
}

function parsePoolCache(text: string): number {
  return readArgument(() =>
    parseSize(text, {
      bareNumber: "mebibytes",
      minBytes: CACHE_BYTES_MIN,
      maxBytes: CACHE_BYTES_MAX,
    }),
  );
}

/** "--data-dir" is PENSTOCK_DATA_DIR, "--no-supervisor" PENSTOCK_SUPERVISOR. */
export function variableOf(option: Option): string {
  return VARIABLE_PREFIX + settingOf(option).replaceAll("-", "_").toUpperCase();
}

/** "--data-dir" is data-dir, "--no-supervisor" supervisor. */
export function settingOf(option: Option): string {
  return (option.long ?? "").replace(/^--(no-)?/, "");
}
