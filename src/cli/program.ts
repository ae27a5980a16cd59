/**
 * The command line: what there is to type, with its help. Each command's work is in a module of
 * its own, loaded when it is used.
 */

import { Command, CommanderError, Option } from "commander";
import { addAdvice } from "./command-advice.ts";
import { addCompletion } from "./completion-commands.ts";
import { addBench } from "./bench-commands.ts";
import { addEngine, addEvents, addPipeClients } from "./engine-commands.ts";
import { EXIT_CODE_HELP, ExitCode } from "./exit-code.ts";
import { addExplain } from "./explain-commands.ts";
import { addListings } from "./listing-commands.ts";
import { addNvme } from "./nvme-commands.ts";
import { addPools } from "./pool-commands.ts";
import { addReplicas } from "./replica-commands.ts";
import { manifest } from "./manifest.ts";
import type { OutputFormat } from "./output.ts";
import type { PipeRunOptions } from "./pipe-run.ts";
import { printError, reportError } from "./report-error.ts";
import { addRunOptions, durationArgument, ioOption } from "./run-options.ts";
import { addSimulate } from "./simulate-command.ts";
import { addSnapshots } from "./snapshot-commands.ts";
import { addStats } from "./stats-commands.ts";
import { PenstockError } from "../util/errors.ts";

const STATS_MS_MIN = 10;
const STATS_MS_MAX = 3_600_000;

/**
 * Runs the command line `args` (without node and script).
 * @returns the exit code; everything for the user is written already
 */
export async function runCommandLine(args: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = ExitCode.ok;
  const setExitCode = (code: ExitCode): void => {
    exitCode = code;
  };
  // It loads every stage there is, which takes longer than most commands.
  const isForHelp = args.some((each) => ["-h", "--help", "help"].includes(each));
  const stageHelp = isForHelp ? (await import("./stage-help.ts")).stageHelp : undefined;
  const program = makeProgram(setExitCode, stageHelp);
  stopWithReader(program);
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (thrown) {
    // Help and version that were asked for come this way too.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return ExitCode.ok;
    // A group without a command has shown its help: nothing to add.
    if (thrown instanceof CommanderError && thrown.code === "commander.help") return ExitCode.usage;
    const report = reportError(thrown);
    const isWrong = thrown instanceof CommanderError;
    const text = isWrong ? addAdvice(report.text, { program, args, error: thrown }) : report.text;
    process.stderr.write(`${text}\n`);
    return report.exitCode;
  }
}

/**
 * Who reads our output may have seen enough: `penstock events | head`. A disk may be full. Commands
 * that serve go on, and their threads must not be ended from here; bench has ended its own by then.
 * A stream that is cut has failed.
 */
function stopWithReader(program: Command): void {
  const stop = (error: NodeJS.ErrnoException): void => {
    if (error.code === "EPIPE") process.exit(ExitCode.ok);
    const message = `standard output cannot be written: ${error.message}`;
    process.exit(printError(new PenstockError({ code: "output-failed", message })));
  };
  process.stdout.on("error", stop);
  program.hook("preAction", (_program, command) => {
    if (["run", "engine", "send"].includes(command.name())) process.stdout.off("error", stop);
  });
}

/**
 * All commands, for running them and for describing them: completion, the reference, tests.
 * @param setExitCode called by a command that ends otherwise than well
 * @param stageHelp what the help of `pipe run` says of stages; needed for help only
 */
export function makeProgram(
  setExitCode: (code: ExitCode) => void,
  stageHelp: () => string = () => "",
): Command {
  const program = new Command("penstock")
    .description("Composable block storage: sources piped through filters into network shares.")
    .version(manifest.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .addHelpText("after", PROGRAM_HELP)
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true);
  const pipe = program.command("pipe").description("pipes: SOURCE | FILTER | SHARE");
  addPipeRun(pipe, setExitCode, stageHelp);
  addPipeClients(pipe);
  addEngine(program, setExitCode);
  addEvents(program);
  addPools(program, setExitCode);
  addReplicas(program);
  addSnapshots(program);
  addListings(program);
  addNvme(program);
  addStats(program);
  addBench(program, setExitCode);
  addSimulate(program, setExitCode);
  addDoctor(program, setExitCode);
  addExplain(program, setExitCode);
  addCompletion(program);
  return program;
}

function addPipeRun(
  pipe: Command,
  setExitCode: (code: ExitCode) => void,
  stageHelp: () => string,
): void {
  const run = pipe
    .command("run")
    .description("serve pipes in the foreground until SIGINT or SIGTERM")
    .argument("<pipe...>", "one or more pipes, each as one (quoted) argument");
  addRunOptions(run)
    .option(
      "--stats <interval>",
      "print a line `stats JSON` this often",
      durationArgument({ minMs: STATS_MS_MIN, maxMs: STATS_MS_MAX }),
    )
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
        .choices(["table", "json", "yaml"])
        .default("table"),
    )
    .addHelpText("after", DOCTOR_HELP)
    .action(async (options: { io: PipeRunOptions["io"]; output: OutputFormat }) => {
      const { runDoctor } = await import("./doctor.ts");
      setExitCode(await runDoctor(options));
    });
}

const PIPE_RUN_HELP = `
Prints one line \`ready URI\` on standard output for each share as soon as clients can connect.
SIGINT or SIGTERM answers what is under way, flushes and exits; a second one exits at once.

Examples:
  penstock pipe run '/var/lib/disk.img?size=10GiB | nbd://127.0.0.1:10809/disk'
  penstock pipe run '/dev/sdb?direct=1 | nbd+unix:///sdb?socket=/run/sdb.sock'
  penstock pipe run './a.img | nbd://[::1]:0/a' 'null:///b?size=1TiB | nbd://[::1]:0/b'
  penstock pipe run --reactors 2 --placement apart './disk.img | nbd://0.0.0.0/disk?readonly=1'`;

const DOCTOR_HELP = `
Exits 1 when the level that was asked for does not work here.

Examples:
  penstock doctor
  penstock doctor --io uring -o json`;

const PROGRAM_HELP = `
Examples:
  penstock pipe run 'malloc:///scratch?size=1GiB | nbd://127.0.0.1:10809/scratch'
  penstock pipe run --help      all sources and shares, with their options
  penstock engine               the daemon, and then in another terminal:
  penstock pipe create vol1 '/var/tmp/disk.img?size=1GiB | nbd://127.0.0.1:10809/vol1'
  penstock pipe insert vol1 'limit#gold?iops=500'
  penstock pool create fast /dev/nvme0n1 /dev/nvme1n1
  penstock replica create fast vol2 --size 10GiB --thin
  penstock replica share fast vol2 nvmf
  penstock snapshot create fast vol2@monday
  penstock bench nbd://127.0.0.1:10809/vol1
  penstock doctor               what works on this machine
  penstock explain claimed      what an error code means, and what to do

${EXIT_CODE_HELP}`;
