/**
 * The options of `npm start`, with their help.
 */

import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { LEVEL_CHOICES, type LevelChoice } from "../reactor/open-io.ts";

export const PORT_DEFAULT = 10809;
const DATA_DIR_DEFAULT = ".penstock";
const PORT_MAX = 65_535;

export interface StartOptions {
  readonly dataDir: string;
  /** Undefined: the default, or any other when that is busy. */
  readonly port: number | undefined;
  readonly io: LevelChoice;
  /** Stop after the check. */
  readonly check: boolean;
}

/** @throws CommanderError, with exit code 0 when help was asked for (and printed) */
export function readStartOptions(args: readonly string[]): StartOptions {
  const command = new Command("npm start --")
    .description(
      "Starts an engine that shares a file over NBD, verifies it from a second process, " +
        "and shows what it does until Ctrl-C.",
    )
    .helpOption("-h, --help", "print help")
    .option("--data-dir <dir>", "where the disk's file lies", DATA_DIR_DEFAULT)
    .option(
      "--port <port>",
      `TCP port on 127.0.0.1 (${PORT_DEFAULT}, or another when that is busy)`,
      parsePort,
    )
    .addOption(
      new Option("--io <level>", "how to reach the kernel")
        .choices(LEVEL_CHOICES)
        .default("auto")
        .env("PENSTOCK_IO"),
    )
    .option("--check", "verify, print a summary, stop; nothing stays in the data directory", false)
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .parse(args, { from: "user" });
  const options = command.opts<{
    dataDir: string;
    port?: number;
    io: LevelChoice;
    check: boolean;
  }>();
  const { io, check, port } = options;
  return { dataDir: resolve(options.dataDir), port, io, check };
}

function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > PORT_MAX) {
    throw new InvalidArgumentError(`Expected a port from 0 to ${PORT_MAX}.`);
  }
  return Number(text);
}
