/** `pool inspect`: what there is to type, with its help. */

import type { Command } from "commander";
import { outputOption } from "./engine-commands.ts";
import type { ExitCode } from "./exit-code.ts";
import type { OutputFormat } from "./output.ts";

/** As commander gives them. */
export interface InspectArguments {
  readonly check?: boolean;
  readonly force?: boolean;
  readonly volume?: string;
  readonly export?: string;
  readonly output: OutputFormat;
}

export function addPoolInspect(pool: Command, setExitCode: (code: ExitCode) => void): void {
  pool
    .command("inspect")
    .description("look into a pool that no engine has open, by reading only")
    .argument("<file...>", "all its disks: files or block devices")
    .option("--check", "walk all of its trees and compare them with its maps and counters")
    .option("--volume <name>", "the volume to copy out")
    .option("--export <file>", "where to: a file that does not exist yet")
    .option(
      "--force",
      "go on where the log or volumes are damaged, or another engine seems to have it",
    )
    .addOption(outputOption())
    .addHelpText("after", INSPECT_HELP)
    .action(async (files: string[], options: InspectArguments) => {
      const { inspectFiles } = await import("./pool-inspect.ts");
      setExitCode(await inspectFiles(files, options));
    });
}

const INSPECT_HELP = `
Needs no engine, and changes nothing: what the log still holds is applied in memory only, which
takes up to 600 MiB. A volume that is damaged is copied as far as it can be read; what cannot is
zeroes in the copy, and listed.

Exits 0; 1 when the check found something, or parts of the volume are lost.

Examples:
  penstock pool inspect /dev/sdb /dev/sdc
  penstock pool inspect disk.img --check
  penstock pool inspect disk.img --volume v1 --export v1.img`;
