/** The commands of snapshots, of sending and of receiving: what there is to type, with its help. */

import { type Command, InvalidArgumentError } from "commander";
import { PenstockError } from "../util/errors.ts";
import { parseSize } from "../util/size.ts";
import { forClients, outputOption } from "./engine-commands.ts";
import type { ClientOptions } from "./pipe-client.ts";
import type { ReceiveOptions, SendOptions } from "./send-client.ts";
import type { DiffOptions, ListSnapshotsOptions, UuidOptions } from "./snapshot-client.ts";

const POOL = "the pool's name";
const SNAPSHOT = "VOLUME@SNAPSHOT";
const BLOCK_BYTES = 4096;

export function addSnapshots(program: Command): void {
  const snapshot = program
    .command("snapshot")
    .description("snapshots of replicas: instant copies that stay as they are");
  addTaking(snapshot);
  addLooking(snapshot);
  addSend(program);
  addReceive(program);
}

function addTaking(snapshot: Command): void {
  forClients(snapshot.command("create"))
    .description("take a snapshot of a replica, also while it is used")
    .argument("<pool>", POOL)
    .argument("<snapshot>", `${SNAPSHOT}: its replica, and a name of its own`)
    .option("--uuid <uuid>", "its identity (a random one)")
    .addHelpText("after", CREATE_HELP)
    .action(async (pool: string, name: string, options: UuidOptions) => {
      const { createSnapshot } = await import("./snapshot-client.ts");
      await createSnapshot(pool, name, options);
    });
  forClients(snapshot.command("delete"))
    .description("delete a snapshot; its space comes back in the background")
    .argument("<pool>", POOL)
    .argument("<snapshot>", SNAPSHOT)
    .addHelpText("after", DELETE_HELP)
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { deleteSnapshot } = await import("./snapshot-client.ts");
      await deleteSnapshot(pool, name, options);
    });
  forClients(snapshot.command("rollback"))
    .description("make a replica what it was: what was written since is lost")
    .argument("<pool>", POOL)
    .argument("<snapshot>", SNAPSHOT)
    .addHelpText("after", ROLLBACK_HELP)
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { rollbackSnapshot } = await import("./snapshot-client.ts");
      await rollbackSnapshot(pool, name, options);
    });
}

function addLooking(snapshot: Command): void {
  forClients(snapshot.command("list"))
    .description("all snapshots of the engine's pools")
    .option("--pool <pool>", "of this one only")
    .option("--replica <replica>", "of this one only")
    .option("--space", "find out what each holds alone, shares, and would free", false)
    .addOption(outputOption())
    .addHelpText("after", LIST_HELP)
    .action(async (options: ListSnapshotsOptions) => {
      const { listSnapshots } = await import("./snapshot-client.ts");
      await listSnapshots(options);
    });
  forClients(snapshot.command("diff"))
    .description("where two snapshots differ, or a replica from its snapshot")
    .argument("<pool>", POOL)
    .argument("<from>", SNAPSHOT)
    .argument("<to>", `${SNAPSHOT}, or a replica`)
    .option("--offset <size>", "leave out what lies before it", offsetArgument, 0)
    .addOption(outputOption())
    .addHelpText("after", DIFF_HELP)
    .action(async (pool: string, from: string, to: string, options: DiffOptions) => {
      const { diffSnapshots } = await import("./snapshot-client.ts");
      await diffSnapshots(pool, from, to, options);
    });
}

function addSend(program: Command): void {
  forClients(program.command("send"))
    .description("write a snapshot to standard output, or send it to another engine")
    .argument("<pool>", POOL)
    .argument("[snapshot]", `${SNAPSHOT}; may be left out with --resume`)
    .option("--base <snapshot>", "only what differs from this one, which the receiver has")
    .option("--zstd", "compress what is sent", false)
    .option("--resume <token>", "go on where a receiver has come to")
    .option("--to <address>", "the engine that receives: unix:PATH or HOST:PORT")
    .option("--into <pool/replica>", "there (the same names as here)")
    .option("--thin", "there: a replica that is made takes space as it is written", false)
    .option("--rollback", "there: what was written since the base is lost", false)
    .addHelpText("after", SEND_HELP)
    .action(async (pool: string, snapshot: string | undefined, options: SendOptions) => {
      const { send } = await import("./send-client.ts");
      await send(pool, snapshot, options);
    });
}

function addReceive(program: Command): void {
  forClients(program.command("receive"))
    .description("take a snapshot from standard input, as `send` has written it")
    .argument("<pool>", POOL)
    .argument("<replica>", "its name; made if it is not there")
    .option("--snapshot <name>", "what follows its @ (as it was called where it was sent)")
    .option("--thin", "a replica that is made takes space as it is written", false)
    .option("--rollback", "what was written since the base is lost", false)
    .option("--resume-token", "print where a receiving that was cut can be gone on with", false)
    .option("--abort", "give up what has come so far", false)
    .addHelpText("after", RECEIVE_HELP)
    .action(async (pool: string, replica: string, options: ReceiveOptions) => {
      const { receive } = await import("./send-client.ts");
      await receive(pool, replica, options);
    });
}

/** The verbs of `penstock replica` that have to do with snapshots. */
export function addCloning(replica: Command): void {
  forClients(replica.command("clone"))
    .description("make a replica that begins as a snapshot and shares its blocks")
    .argument("<pool>", POOL)
    .argument("<snapshot>", SNAPSHOT)
    .argument("<clone>", "its name")
    .option("--uuid <uuid>", "its identity (a random one)")
    .addHelpText("after", CLONE_HELP)
    .action(async (pool: string, snapshot: string, name: string, options: UuidOptions) => {
      const { cloneSnapshot } = await import("./snapshot-client.ts");
      await cloneSnapshot({ pool, snapshot, name }, options);
    });
  forClients(replica.command("promote"))
    .description("let a clone take over the snapshots that it stands on")
    .argument("<pool>", POOL)
    .argument("<replica>", "the clone")
    .addHelpText("after", PROMOTE_HELP)
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { promoteReplica } = await import("./snapshot-client.ts");
      await promoteReplica(pool, name, options);
    });
  forClients(replica.command("flatten"))
    .description("copy what a clone shares, until it stands on nothing any more")
    .argument("<pool>", POOL)
    .argument("<replica>", "the clone")
    .addHelpText("after", FLATTEN_HELP)
    .action(async (pool: string, name: string, options: ClientOptions) => {
      const { flattenReplica } = await import("./snapshot-client.ts");
      await flattenReplica(pool, name, options);
    });
}

function offsetArgument(text: string): number {
  try {
    const offset = text === "0" ? 0 : parseSize(text, { bareNumber: "bytes", minBytes: 0 });
    if (offset % BLOCK_BYTES === 0) return offset;
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
  throw new InvalidArgumentError(`Expected a multiple of ${BLOCK_BYTES} bytes.`);
}

const CREATE_HELP = `
It takes as long for 16 TiB as for one MiB. In a pipe it is lvol:///POOL/VOLUME@SNAPSHOT, for
reading. What a file system in the replica has not written yet is not in it.

Example:
  penstock snapshot create fast vol1@monday`;

const DELETE_HELP = `
While clones stand on it, what it shares with them stays.

Example:
  penstock snapshot delete fast vol1@monday`;

const ROLLBACK_HELP = `
No pipe may use the replica. Snapshots that were taken later stay.

Example:
  penstock snapshot rollback fast vol1@monday`;

const LIST_HELP = `
FREES is what comes back when it is deleted. --space walks through what differs, which takes a
while for many large ones.

Examples:
  penstock snapshot list
  penstock snapshot list --pool fast --replica vol1 --space -o json`;

const DIFF_HELP = `
Offsets and lengths are bytes, multiples of 4096; the last extent may reach beyond the replica's
end. "data" may be the same as before, if it was written again; "zero" reads as zeroes now.

Examples:
  penstock snapshot diff fast vol1@monday vol1@tuesday -o json
  penstock snapshot diff fast vol1@monday vol1`;

const SEND_HELP = `
With --base only what differs is sent; the receiver needs that snapshot, however it got it. --to
goes on by itself when the connection breaks. Nothing is sent that the snapshot does not show.

Examples:
  penstock send fast vol1@monday --zstd > vol1.monday
  penstock send fast vol1@tuesday --base vol1@monday --to 10.0.0.2:9000 --into safe/vol1
  penstock send fast vol1@monday | ssh host penstock receive safe vol1
  penstock send fast --resume "$(ssh host penstock receive safe vol1 --resume-token)" | ...`;

const RECEIVE_HELP = `
The snapshot is there when all of it has come and is what was sent; until then nobody else can use
the replica. What came of a stream that was cut is kept: send the rest by its token.

Examples:
  penstock receive safe vol1 < vol1.monday
  penstock receive safe vol1 --resume-token
  penstock receive safe vol1 --abort`;

const CLONE_HELP = `
Example:
  penstock replica clone fast vol1@monday trial1`;

const PROMOTE_HELP = `
Afterwards the replica that was cloned stands on the clone's snapshots, and can be destroyed. The
snapshots are named after the clone from then on.

Example:
  penstock replica promote fast trial1`;

const FLATTEN_HELP = `
It goes on where it was when it is stopped and begun again.

Example:
  penstock replica flatten fast trial1`;
