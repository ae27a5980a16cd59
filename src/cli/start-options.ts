/**
 * The options of `npm start`, with their help.
 */

import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { LEVEL_CHOICES, type LevelChoice } from "../reactor/open-io.ts";

export const NBD_PORT_DEFAULT = 10809;
export const NVME_PORT_DEFAULT = 4420;
const DATA_DIR_DEFAULT = ".penstock";
const PORT_MAX = 65_535;

export interface StartOptions {
  readonly dataDir: string;
  /** Undefined: the default, or any other when that is busy. */
  readonly port: number | undefined;
  readonly nvmePort: number | undefined;
  readonly io: LevelChoice;
  /** Kill an engine under load, then go on. */
  readonly demo: boolean;
  /** The same without time to look, then stop. */
  readonly check: boolean;
}

/** @throws CommanderError, with exit code 0 when help was asked for (and printed) */
export function readStartOptions(args: readonly string[]): StartOptions {
  const command = new Command("npm start --")
    .description(
      "Starts three engines that share a file each over NVMe/TCP and a fourth with a mirror of " +
        "them, shared over NVMe/TCP and NBD, verifies it from a client process, and shows what " +
        "they do until Ctrl-C.",
    )
    .helpOption("-h, --help", "print help")
    .option("--data-dir <dir>", "where the disks' files lie", DATA_DIR_DEFAULT)
    .option(
      "--port <port>",
      `the mirror's NBD port on 127.0.0.1 (${NBD_PORT_DEFAULT}, or another when that is busy)`,
      parsePort,
    )
    .option(
      "--nvme-port <port>",
      `... and its NVMe/TCP port (${NVME_PORT_DEFAULT}, or another when that is busy)`,
      parsePort,
    )
    .addOption(
      new Option("--io <level>", "how to reach the kernel")
        .choices(LEVEL_CHOICES)
        .default("auto")
        .env("PENSTOCK_IO"),
    )
    .option("--demo", "kill -9 an engine under verified load, show that nothing is lost", false)
    .option(
      "--check",
      "the same without time to look: print a summary, stop; nothing stays in the data directory",
      false,
    )
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .parse(args, { from: "user" });
  const options = command.opts<{
    dataDir: string;
    port?: number;
    nvmePort?: number;
    io: LevelChoice;
    demo: boolean;
    check: boolean;
  }>();
  const { io, demo, check, port, nvmePort } = options;
  return { dataDir: resolve(options.dataDir), port, nvmePort, io, demo, check };
}

function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > PORT_MAX) {
    throw new InvalidArgumentError(`Expected a port from 0 to ${PORT_MAX}.`);
  }
  return Number(text);
}
