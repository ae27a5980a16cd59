/**
 * The command line: what there is to type, with its help. Each command's work is in a module of
 * its own, loaded when it is used.
 */

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { PLACEMENTS } from "../pipe/pipe-host.ts";
import { LEVEL_CHOICES } from "../reactor/open-io.ts";
import { parseDuration } from "../util/duration.ts";
import { PenstockError } from "../util/errors.ts";
import { parseSize } from "../util/size.ts";
import { EXIT_CODE_HELP, ExitCode } from "./exit-code.ts";
import type { PipeRunOptions } from "./pipe-run.ts";
import { reportError } from "./report-error.ts";
import { stageHelp } from "./stage-help.ts";

const MIB = 2 ** 20;
/** One MiB of it is the reserve of the NBD shares. */
const BUFFER_LIMIT_BYTES_MIN = 2 * MIB;
const BUFFER_LIMIT_BYTES_MAX = 16 * 2 ** 30;
const REACTORS_MAX = 64;
const SPIN_MS_MAX = 10;
const STATS_MS_MIN = 10;

/**
 * Runs the command line `args` (without node and script).
 * @returns the exit code; everything for the user is written already
 */
export async function runCommandLine(args: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = ExitCode.ok;
  const program = makeProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (thrown) {
    // Help and version that were asked for come this way too.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return ExitCode.ok;
    // A group without a command has shown its help: nothing to add.
    if (thrown instanceof CommanderError && thrown.code === "commander.help") return ExitCode.usage;
    const report = reportError(thrown);
    process.stderr.write(`${report.text}\n`);
    return report.exitCode;
  }
}

function makeProgram(setExitCode: (code: ExitCode) => void): Command {
  const program = new Command("penstock")
    .description("Composable block storage: sources piped through filters into network shares.")
    .version(manifest.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .addHelpText("after", PROGRAM_HELP)
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true);
  const pipe = program.command("pipe").description("pipes: SOURCE | FILTER | SHARE");
  addPipeRun(pipe, setExitCode);
  addDoctor(program, setExitCode);
  return program;
}

function addPipeRun(pipe: Command, setExitCode: (code: ExitCode) => void): void {
  pipe
    .command("run")
    .description("serve pipes in the foreground until SIGINT or SIGTERM")
    .argument("<pipe...>", "one or more pipes, each as one (quoted) argument")
    .addOption(ioOption())
    .option("--reactors <n>", `data-plane threads, 1 to ${REACTORS_MAX}`, parseReactors, 1)
    .addOption(
      new Option("--placement <how>", "source and share on one reactor, or on two")
        .choices(PLACEMENTS)
        .default("together"),
    )
    .option("--buffer-limit <size>", "buffer memory of each reactor (64MiB)", parseBufferLimit)
    .option("--spin <time>", "longest look for work before sleeping, such as 60us", parseSpin)
    .option("--stats <interval>", "print a line `stats JSON` this often", parseInterval)
    .option("--stop-on-stdin-end", "stop cleanly when standard input ends, too", false)
    .addHelpText("after", () => `${PIPE_RUN_HELP}\n\n${stageHelp()}\n\n${EXIT_CODE_HELP}`)
    .action(async (pipes: string[], options: PipeRunOptions) => {
      const { runPipes } = await import("./pipe-run.ts");
      setExitCode(await runPipes(pipes, options));
    });
}

function addDoctor(program: Command, setExitCode: (code: ExitCode) => void): void {
  program
    .command("doctor")
    .description("what this machine lets Penstock do, and which limits it sets")
    .addOption(ioOption())
    .addOption(
      new Option("-o, --output <format>", "how to print it")
        .choices(["table", "json"])
        .default("table"),
    )
    .action(async (options: { io: PipeRunOptions["io"]; output: "table" | "json" }) => {
      const { runDoctor } = await import("./doctor.ts");
      setExitCode(await runDoctor(options));
    });
}

function ioOption(): Option {
  return new Option("--io <level>", "how to reach the kernel")
    .choices(LEVEL_CHOICES)
    .default("auto")
    .env("PENSTOCK_IO");
}

function parseReactors(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > REACTORS_MAX) {
    throw new InvalidArgumentError(`Expected a number from 1 to ${REACTORS_MAX}.`);
  }
  return Number(text);
}

function parseBufferLimit(text: string): number {
  const sizeBytes = readArgument(() =>
    parseSize(text, {
      bareNumber: "mebibytes",
      minBytes: BUFFER_LIMIT_BYTES_MIN,
      maxBytes: BUFFER_LIMIT_BYTES_MAX,
    }),
  );
  if (sizeBytes % MIB !== 0) throw new InvalidArgumentError("Expected a multiple of 1MiB.");
  return sizeBytes;
}

function parseSpin(text: string): number {
  return readArgument(() => parseDuration(text, { maxMs: SPIN_MS_MAX }));
}

function parseInterval(text: string): number {
  return readArgument(() => parseDuration(text, { minMs: STATS_MS_MIN, maxMs: 3_600_000 }));
}

function readArgument<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
}

const PIPE_RUN_HELP = `
Prints one line \`ready URI\` on standard output for each share as soon as clients can connect.
SIGINT or SIGTERM answers what is under way, flushes and exits; a second one exits at once.

Examples:
  penstock pipe run '/var/lib/disk.img?size=10GiB | nbd://127.0.0.1:10809/disk'
  penstock pipe run '/dev/sdb?direct=1 | nbd+unix:///sdb?socket=/run/sdb.sock'
  penstock pipe run './a.img | nbd://[::1]:0/a' 'null:///b?size=1TiB | nbd://[::1]:0/b'
  penstock pipe run --reactors 2 --placement apart './disk.img | nbd://0.0.0.0/disk?readonly=1'`;

const PROGRAM_HELP = `
Examples:
  penstock pipe run 'malloc:///scratch?size=1GiB | nbd://127.0.0.1:10809/scratch'
  penstock pipe run --help      all sources and shares, with their options
  penstock doctor               what works on this machine

${EXIT_CODE_HELP}`;
