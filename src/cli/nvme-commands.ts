/**
 * `nvme discover`: what there is to type, with its help.
 */

import type { Command } from "commander";
import { outputOption } from "./engine-commands.ts";
import type { OutputFormat } from "./output.ts";

export function addNvme(program: Command): void {
  const nvme = program.command("nvme").description("NVMe over Fabrics");
  nvme
    .command("discover")
    .description("which subsystems an NVMe/TCP server has, and where")
    .argument("<uri>", "nvmf://HOST:PORT; port 4420 unless given, 8009 is usual elsewhere")
    .addOption(outputOption())
    .addHelpText("after", DISCOVER_HELP)
    .action(async (uri: string, options: { output: OutputFormat }) => {
      const { discoverSubsystems } = await import("./nvme-discover.ts");
      await discoverSubsystems(uri, options);
    });
}

const DISCOVER_HELP = `
Asks as the host that hostnqn= and hostid= of the URI say, else as a new one: a server may show
different hosts different subsystems. Needs neither root nor a kernel module.

Examples:
  penstock nvme discover nvmf://10.0.0.7
  penstock nvme discover 'nvmf://10.0.0.7:8009?hostnqn=nqn.2026-11.com.example:me' -o json`;
