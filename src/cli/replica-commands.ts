/** The commands of replicas: what there is to type, with its help. */

import { type Command, InvalidArgumentError } from "commander";
import { PenstockError } from "../util/errors.ts";
import { parseSize } from "../util/size.ts";
import { forClients, outputOption } from "./engine-commands.ts";
import type { ClientOptions, ListOptions } from "./pipe-client.ts";
import { addCloning } from "./snapshot-commands.ts";
import type { CreateReplicaOptions, ListReplicasOptions } from "./pool-client.ts";

const SIZE_BYTES_MIN = 512;
const SIZE_HELP = "with its unit: 10GiB; a bare number is MiB";

export function addReplicas(program: Command): void {
  const replica = program.command("replica").description("replicas: volumes of pools");
  addMaking(replica);
  addSharing(replica);
  addCloning(replica);
}

function addMaking(replica: Command): void {
  withName(replica.command("create"), "a-z, 0-9 and, not in the first place, - _ and .")
    .description("make a replica in a pool")
    .requiredOption("--size <size>", SIZE_HELP, replicaSize)
    .option("--thin", "take space as it is written, instead of reserving all of it", false)
    .option("--uuid <uuid>", "its identity (a random one)")
    .addHelpText("after", CREATE_HELP)
    .action(async (pool: string, name: string, options: CreateReplicaOptions) => {
      const { createReplica } = await import("./pool-client.ts");
      await createReplica({ pool, name }, options);
    });
  forClients(replica.command("list"))
    .description("all replicas of the engine's pools")
    .option("--pool <pool>", "of this one only")
    .addOption(outputOption())
    .addHelpText("after", LIST_HELP)
    .action(async (options: ListReplicasOptions) => {
      const { listReplicas } = await import("./pool-client.ts");
      await listReplicas(options);
    });
  withName(replica.command("show"))
    .description("one replica: size, space, where it is shared, which pipes use it")
    .addOption(outputOption())
    .addHelpText("after", "\nExample:\n  penstock replica show fast vol1 -o json")
    .action(async (pool: string, name: string, options: ListOptions) => {
      const { showReplica } = await import("./pool-client.ts");
      await showReplica({ pool, name }, options);
    });
  withName(replica.command("resize"))
    .description("give a replica another size; while a pipe uses it, it only grows")
    .requiredOption("--size <size>", SIZE_HELP, replicaSize)
    .addHelpText("after", RESIZE_HELP)
    .action(async (pool: string, name: string, options: ClientOptions & { size: number }) => {
      const { resizeReplica } = await import("./pool-client.ts");
      await resizeReplica({ pool, name }, options);
    });
  withName(replica.command("destroy"))
    .description("end a replica and its share: what it holds is lost")
    .addHelpText("after", "\nExample:\n  penstock replica destroy fast vol1")
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { destroyReplica } = await import("./pool-client.ts");
      await destroyReplica({ pool, name }, options);
    });
}

function addSharing(replica: Command): void {
  withName(replica.command("share"))
    .description("serve a replica, and print where")
    .argument("[share]", "nvmf, nbd, or the last stage of a pipe", "nvmf")
    .addHelpText("after", SHARE_HELP)
    .action(async (pool: string, name: string, share: string, options: ClientOptions) => {
      const { shareReplica } = await import("./pool-client.ts");
      await shareReplica({ pool, name }, share, options);
    });
  withName(replica.command("unshare"))
    .description("end what `replica share` has begun")
    .addHelpText("after", "\nExample:\n  penstock replica unshare fast vol1")
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { unshareReplica } = await import("./pool-client.ts");
      await unshareReplica({ pool, name }, options);
    });
}

function withName(command: Command, name = "its name, or its UUID"): Command {
  return forClients(command).argument("<pool>", "the pool's name").argument("<replica>", name);
}

function replicaSize(text: string): number {
  try {
    return parseSize(text, { bareNumber: "mebibytes", minBytes: SIZE_BYTES_MIN });
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
}

const CREATE_HELP = `
In a pipe it is lvol:///POOL/REPLICA.

Examples:
  penstock replica create fast vol1 --size 10GiB
  penstock replica create fast vol2 --size 1TiB --thin
  penstock pipe create enc 'lvol:///fast/vol1 | crypt?key=file:/etc/k | nbd://127.0.0.1/enc'`;

const LIST_HELP = `
Examples:
  penstock replica list
  penstock replica list --pool fast -o json`;

const RESIZE_HELP = `
What lies beyond a smaller size is gone.

Example:
  penstock replica resize fast vol1 --size 20GiB`;

const SHARE_HELP = `
The share is a pipe of the engine, and is back after a restart. nbd and nvmf are on this machine's
own address, under a name made from the pool's and the replica's.

Examples:
  penstock replica share fast vol1
  penstock replica share fast vol1 nbd://0.0.0.0:10809/vol1`;
