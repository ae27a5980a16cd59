/** The commands of pools: what there is to type, with its help. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { PenstockError } from "../util/errors.ts";
import { parseSize } from "../util/size.ts";
import { ExitCode } from "./exit-code.ts";
import { addPoolInspect } from "./pool-inspect-command.ts";
import { forClients, outputOption } from "./engine-commands.ts";
import type { ClientOptions, ListOptions } from "./pipe-client.ts";
import type { CreatePoolOptions, ForceOptions, ScrubOptions } from "./pool-client.ts";

/** Those of CHECKSUM_KINDS that pools are made with; help need not load it, a test compares. */
export const CHECKSUM_CHOICES = ["crc32c", "crc32", "xxh64"] as const;
const PERCENT_MAX = 65_535;
const RATE_MAX = 1_000_000;
const DEVICES = "a path, or the source of a pipe: /dev/sdb, nvmf://host/NQN";

export function addPools(program: Command, setExitCode: (code: ExitCode) => void): void {
  const pool = program.command("pool").description("pools: disks that replicas are made on");
  addMaking(pool);
  addGrowing(pool);
  addScrub(pool, setExitCode);
  forClients(pool.command("list"))
    .description("all pools of the engine")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  penstock pool list\n  penstock pool list -o json")
    .action(async (options: ListOptions) => {
      const { listPools } = await import("./pool-client.ts");
      await listPools(options);
    });
  forClients(pool.command("show"))
    .description("one pool: space, disks, state")
    .argument("<pool>", "its name")
    .addOption(outputOption())
    .addHelpText("after", "\nExample:\n  penstock pool show fast")
    .action(async (name: string, options: ListOptions) => {
      const { showPool } = await import("./pool-client.ts");
      await showPool(name, options);
    });
  forClients(pool.command("export"))
    .description("close a pool and forget it; what it holds stays on its disks")
    .argument("<pool>", "its name")
    .addHelpText("after", EXPORT_HELP)
    .action(async (name: string, options: ClientOptions) => {
      const { exportPool } = await import("./pool-client.ts");
      await exportPool(name, options);
    });
  forClients(pool.command("destroy"))
    .description("end a pool for good: its disks are empty afterwards")
    .argument("<pool>", "its name")
    .option("--force", "its replicas, too, with all that they hold", false)
    .addHelpText("after", "\nExample:\n  penstock pool destroy fast")
    .action(async (name: string, options: ForceOptions) => {
      const { destroyPool } = await import("./pool-client.ts");
      await destroyPool(name, options);
    });
  addPoolInspect(pool, setExitCode);
}

function addMaking(pool: Command): void {
  forClients(pool.command("create"))
    .description("make a pool of disks, which the engine keeps over restarts")
    .argument("<name>", "a-z, 0-9 and, not in the first place, - _ and .")
    .argument("<device...>", DEVICES)
    .addOption(new Option("--checksum <kind>", "of all data (xxh64)").choices(CHECKSUM_CHOICES))
    .option(
      "--over-commit <percent>",
      "what all replicas may add up to, of the pool's capacity (any)",
      parsePercent,
    )
    .option("--chunk <size>", "unit of allocation: 64KiB to 4MiB, a power of two (1MiB)", chunkSize)
    .option("--warn-at <percent>", "event pool-space-warning when so much is used (80)", parseShare)
    .option("--critical-at <percent>", "event pool-space-critical (95)", parseShare)
    .option("--force", "take disks that hold something, which is lost", false)
    .addHelpText("after", CREATE_HELP)
    .action(async (name: string, devices: string[], options: CreatePoolOptions) => {
      const { createPool } = await import("./pool-client.ts");
      await createPool(name, devices, options);
    });
  addImport(pool);
}

function addImport(pool: Command): void {
  forClients(pool.command("import"))
    .description("take in a pool that is on disks, and print its name")
    .argument("<device...>", `all of its disks, in any order; ${DEVICES}`)
    .option("--force", "go on without what of its log is damaged: writes may be lost", false)
    .addHelpText("after", IMPORT_HELP)
    .action(async (devices: string[], options: ForceOptions) => {
      const { importPool } = await import("./pool-client.ts");
      await importPool(devices, options);
    });
}

/** Of a pool that is there. */
function addGrowing(pool: Command): void {
  forClients(pool.command("add-disk"))
    .description("make a pool larger by one more disk, which stays in it for good")
    .argument("<pool>", "its name")
    .argument("<device>", DEVICES)
    .option("--force", "take a disk that holds something, which is lost", false)
    .addHelpText("after", "\nExample:\n  penstock pool add-disk fast /dev/nvme2n1")
    .action(async (name: string, device: string, options: ForceOptions) => {
      const { addPoolDisk } = await import("./pool-client.ts");
      await addPoolDisk(name, device, options);
    });
  forClients(pool.command("grow"))
    .description("take disks that have become larger into use, and print which have")
    .argument("<pool>", "its name")
    .argument("[device]", "only this one of its disks, as `pool show` names it")
    .addHelpText("after", GROW_HELP)
    .action(async (name: string, device: string | undefined, options: ClientOptions) => {
      const { growPool } = await import("./pool-client.ts");
      await growPool(name, device, options);
    });
}

function addScrub(pool: Command, setExitCode: (code: ExitCode) => void): void {
  forClients(pool.command("scrub"))
    .description("read all that a pool holds and check it, while it is used")
    .argument("<pool>", "its name")
    .option("--rate <mib>", "MiB per second (as fast as the disks)", parseRate)
    .option(
      "--trim",
      "first discard all free space, so that it is free below the disks, too",
      false,
    )
    .option("--restart", "from the beginning, instead of where the last one was stopped", false)
    .addHelpText("after", SCRUB_HELP)
    .action(async (name: string, options: ScrubOptions) => {
      const { scrubPool } = await import("./pool-client.ts");
      if (!(await scrubPool(name, options))) setExitCode(ExitCode.failure);
    });
}

function parseRate(text: string): number {
  if (/^\d{1,7}$/.test(text) && Number(text) >= 1 && Number(text) <= RATE_MAX) {
    return Number(text);
  }
  throw new InvalidArgumentError(`Expected a number from 1 to ${RATE_MAX}.`);
}

function parseShare(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 100) return Number(text);
  throw new InvalidArgumentError("Expected a number from 1 to 100.");
}

function chunkSize(text: string): number {
  try {
    return parseSize(text, { bareNumber: "mebibytes", minBytes: 1 });
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
}

function parsePercent(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= PERCENT_MAX) {
    return Number(text);
  }
  throw new InvalidArgumentError(`Expected a number from 1 to ${PERCENT_MAX}.`);
}

const CREATE_HELP = `
Disks must be empty: \`penstock device list --disks\` tells which are. A file is one for trials.

Examples:
  penstock pool create fast /dev/nvme0n1 /dev/nvme1n1
  penstock pool create trial '/var/tmp/pool.img?size=10GiB'`;

const GROW_HELP = `
What makes the disk larger is not this: a larger partition or volume of the machine, or for files
\`truncate\`. Disks do not become smaller again.

Examples:
  truncate -s 20G /var/tmp/pool.img && penstock pool grow trial
  penstock pool grow fast /dev/nvme0n1`;

const SCRUB_HELP = `
Metadata of which one copy is damaged are mended. Blocks of replicas that are damaged are listed:
reads of them end with errors until they are written anew. SIGINT stops it; the next one goes on
there.

Exits 1 when something of a replica is damaged, or not all was read.

Examples:
  penstock pool scrub fast
  penstock pool scrub fast --rate 100
  penstock pool scrub fast --trim`;

const IMPORT_HELP = `
The engine brings its own pools back by itself: this is for disks of another machine, and for pools
that were exported.

Example:
  penstock pool import /dev/nvme0n1 /dev/nvme1n1`;

const EXPORT_HELP = `
Shares of its replicas end. \`penstock pool import\` takes it in again, on any machine. A pool that
could not be opened is forgotten.

Example:
  penstock pool export fast`;
