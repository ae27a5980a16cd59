/**
 * The commands of the daemon and of its clients: what there is to type, with its help.
 */

import { type Command, Option } from "commander";
import type { EngineRunOptions } from "./engine-run.ts";
import { DATA_DIR_HELP, ENGINE_HELP } from "./engine-place.ts";
import { EXIT_CODE_HELP, type ExitCode } from "./exit-code.ts";
import type { ClientOptions, ListOptions, ReplumbOptions } from "./pipe-client.ts";
import { addDaemonOptions } from "./engine-options.ts";
import { addRunOptions, durationArgument, sizeArgument } from "./run-options.ts";

const OUTPUT_CHOICES = ["table", "json", "yaml"] as const;
const GRAPH_CHOICES = ["text", "svg"] as const;
const TIMEOUT_MS_MIN = 1;
const TIMEOUT_MS_MAX = 60_000;

type SetExitCode = (code: ExitCode) => void;

export function addEngine(program: Command, setExitCode: SetExitCode): void {
  const engine = program
    .command("engine")
    .description("the daemon: keeps many pipes, serves its RPC until SIGINT or SIGTERM")
    .option("--data-dir <dir>", DATA_DIR_HELP)
    .option("--listen <address...>", "serve RPC at unix:PATH or HOST:PORT (DIR/engine.sock)");
  addDaemonOptions(addRunOptions(engine))
    .addHelpText("after", () => `${ENGINE_RUN_HELP}\n\n${EXIT_CODE_HELP}`)
    .action(async (_options: EngineRunOptions, command: Command) => {
      const { runDaemon } = await import("./engine-daemon.ts");
      setExitCode(await runDaemon(command));
    });
  forClients(engine.command("show"))
    .description("what a running engine is: version, level, process, how many pipes")
    .addOption(outputOption())
    .addHelpText("after", "\nExamples:\n  penstock engine show\n  penstock engine show -o json")
    .action(async (options: ListOptions) => {
      const { showEngine } = await import("./pipe-client.ts");
      await showEngine(options);
    });
}

export function addEvents(program: Command): void {
  forClients(program.command("events"))
    .description("what has happened to the engine and its pipes lately")
    .option("-f, --follow", "go on with what happens from now on", false)
    .addOption(outputOption())
    .addHelpText("after", EVENTS_HELP)
    .action(async (options: ListOptions & { follow: boolean }) => {
      const { printEvents } = await import("./pipe-client.ts");
      await printEvents(options);
    });
}

/** The verbs of `penstock pipe` that an engine answers. */
export function addPipeClients(pipe: Command): void {
  forClients(pipe.command("create"))
    .description("open a pipe on the engine, which keeps it over restarts")
    .argument("<name>", "a-z, 0-9 and, not in the first place, - _ and .")
    .argument("<pipe>", "SOURCE | FILTER | SHARE, as one (quoted) argument")
    .addHelpText("after", CREATE_HELP)
    .action(async (name: string, text: string, options: ClientOptions) => {
      const { createPipe } = await import("./pipe-client.ts");
      await createPipe(name, text, options);
    });
  forClients(pipe.command("list"))
    .description("all pipes of the engine")
    .addOption(outputOption())
    .addHelpText("after", LIST_HELP)
    .action(async (options: ListOptions) => {
      const { listPipes } = await import("./pipe-client.ts");
      await listPipes(options);
    });
  forClients(pipe.command("show"))
    .description("one pipe, with its stages")
    .argument("<name>")
    .addOption(outputOption())
    .addHelpText(
      "after",
      "\nExamples:\n  penstock pipe show vol1\n  penstock pipe show vol1 -o yaml",
    )
    .action(async (name: string, options: ListOptions) => {
      const { showPipe } = await import("./pipe-client.ts");
      await showPipe(name, options);
    });
  forClients(pipe.command("graph"))
    .description("draw a pipe: its stages, its mirror's legs and their state")
    .argument("<name>")
    .addOption(
      new Option("-o, --output <format>", "text, or a picture")
        .choices(GRAPH_CHOICES)
        .default("text"),
    )
    .addHelpText("after", "\nExample:\n  penstock pipe graph vol1 -o svg >vol1.svg")
    .action(async (name: string, options: ClientOptions & { output: "text" | "svg" }) => {
      const { drawPipe } = await import("./pipe-client.ts");
      await drawPipe(name, options);
    });
  forClients(pipe.command("delete"))
    .description("close a pipe and forget it; data stays where it is")
    .argument("<name>")
    .addHelpText("after", "\nExample:\n  penstock pipe delete vol1")
    .action(async (name: string, options: ClientOptions) => {
      const { deletePipe } = await import("./pipe-client.ts");
      await deletePipe(name, options);
    });
  addReplumbing(pipe);
}

/** Changes of a pipe while it carries I/O. */
function addReplumbing(pipe: Command): void {
  forClients(pipe.command("insert"))
    .description("put a filter into a pipe while it carries I/O")
    .argument("<name>")
    .argument("<filter>", "with its options and perhaps a label: limit#gold?iops=500")
    .option("--above <stage>", "the stage that it is put on (the topmost)")
    .addOption(timeoutOption())
    .addHelpText("after", REPLUMB_HELP)
    .action(async (name: string, filter: string, options: ReplumbOptions) => {
      const { insertStage } = await import("./pipe-client.ts");
      await insertStage(name, filter, options);
    });
  forClients(pipe.command("remove"))
    .description("take a filter out of a pipe while it carries I/O")
    .argument("<name>")
    .argument("<stage>", "its label, or its place as `pipe show` names it")
    .addOption(timeoutOption())
    .addHelpText("after", REPLUMB_HELP)
    .action(async (name: string, stage: string, options: ReplumbOptions) => {
      const { removeStage } = await import("./pipe-client.ts");
      await removeStage(name, stage, options);
    });
  forClients(pipe.command("set"))
    .description("give a filter of a pipe other settings while it carries I/O")
    .argument("<name>")
    .argument("<stage>", "its label, or its place as `pipe show` names it")
    .argument("<filter>", "the same filter with its new options; others go back to their default")
    .addHelpText("after", REPLUMB_HELP)
    .action(async (name: string, stage: string, filter: string, options: ClientOptions) => {
      const { changeStage } = await import("./pipe-client.ts");
      await changeStage(name, stage, filter, options);
    });
  forClients(pipe.command("resize"))
    .description("make the source of a pipe larger while it carries I/O")
    .argument("<name>")
    .argument("<size>", "the whole size with its unit: 20GiB", sizeArgument)
    .addHelpText("after", RESIZE_HELP)
    .action(async (name: string, sizeBytes: number, options: ClientOptions) => {
      const { resizePipe } = await import("./pipe-client.ts");
      await resizePipe(name, sizeBytes, options);
    });
}

export function forClients(command: Command): Command {
  return command.addOption(new Option("--engine <address>", ENGINE_HELP).env("PENSTOCK_ENGINE"));
}

export function outputOption(): Option {
  return new Option("-o, --output <format>", "how to print it")
    .choices(OUTPUT_CHOICES)
    .default("table");
}

function timeoutOption(): Option {
  const bounds = { minMs: TIMEOUT_MS_MIN, maxMs: TIMEOUT_MS_MAX };
  return new Option(
    "--timeout <time>",
    "how long requests under way may hold the change up (2s)",
  ).argParser(durationArgument(bounds));
}

const ENGINE_RUN_HELP = `
Prints one line \`ready ADDRESS\` on standard output for each RPC address as soon as it answers;
the pipes it had before are opened meanwhile. RPC over TCP has no password: whoever can connect can
open any file of this machine.

A supervisor starts the engine again when it dies. Every option can be in the environment, too
(--log-level is PENSTOCK_LOG_LEVEL), or in the file that --config names: what is typed goes first.

Examples:
  penstock engine
  penstock engine --no-supervisor --config /etc/penstock/engine.yaml
  penstock engine --data-dir /srv/penstock --listen unix:/run/p.sock 127.0.0.1:9440`;

const EVENTS_HELP = `
Each has a code: \`penstock explain CODE\` says what it means. JSON is one event a line.

Examples:
  penstock events
  penstock events --follow -o json`;

const LIST_HELP = `
A pipe that could not be opened is listed as failed, with the reason, and is tried again.

Examples:
  penstock pipe list
  penstock pipe list --engine unix:/run/p.sock -o json`;

const CREATE_HELP = `
Prints one line \`ready URI\` when clients can connect.
\`penstock pipe run --help\` tells all stages.

Example:
  penstock pipe create vol1 '/var/tmp/disk.img?size=1GiB | nbd://127.0.0.1:10809/vol1'`;

const RESIZE_HELP = `
A file grows, sparsely; of a block device, or of a server's NVMe namespace, that has grown, the new
size is taken. NVMe hosts see it at once, NBD clients when they connect anew. Nothing shrinks.

Example:
  penstock pipe resize vol1 20GiB`;

const REPLUMB_HELP = `
Prints the pipe as it is then. Clients notice nothing but a short wait; when requests under way do
not end in time, nothing changes.

Examples:
  penstock pipe insert vol1 'limit#gold?iops=500'
  penstock pipe set vol1 gold 'limit?iops=2000'
  penstock pipe remove vol1 gold`;
