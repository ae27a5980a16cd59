/**
 * `device list`, `share list`: what there is to type, with its help. What they print comes from the
 * trees of the engine's pipes, and from its machine.
 */

import type { Command } from "commander";
import { forClients, outputOption } from "./engine-commands.ts";
import type { ListOptions } from "./pipe-client.ts";

export function addListings(program: Command): void {
  const device = program
    .command("device")
    .description("every stage of the engine's pipes, and the disks of its machine");
  forClients(device.command("list"))
    .description("every source, leg and filter: size, what is on its way, state; or the disks")
    .option("--disks", "disks of the machine instead: what is on each, used or free", false)
    .addOption(outputOption())
    .addHelpText("after", DEVICE_HELP)
    .action(async ({ disks, ...options }: ListOptions & { disks: boolean }) => {
      if (disks) {
        const { listDisks } = await import("./pool-client.ts");
        await listDisks(options);
        return;
      }
      const { listDevices } = await import("./listings.ts");
      await listDevices(options);
    });
  const share = program.command("share").description("what clients of the engine connect to");
  forClients(share.command("list"))
    .description("every share that is ready: where it is, its size")
    .addOption(outputOption())
    .addHelpText("after", SHARE_HELP)
    .action(async (options: ListOptions) => {
      const { listShares } = await import("./listings.ts");
      await listShares(options);
    });
}

const DEVICE_HELP = `
A mirror's legs say whether they are in-sync or faulted, and why. Disks are opened for reading
only; a pool can be made of those that are free.

Examples:
  penstock device list
  penstock device list -o json
  penstock device list --disks`;

const SHARE_HELP = `
Examples:
  penstock share list
  penstock share list -o json`;
