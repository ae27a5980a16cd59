/**
 * `penstock bench`: what there is to type, with its help and its limits.
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import {
  ACCESS_MODES,
  type AccessMode,
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_MIN,
  DEPTH_MAX,
} from "../bench/job.ts";
import type { LevelChoice } from "../reactor/open-io.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize, type ParseSizeOptions, parseSize } from "../util/size.ts";
import { EXIT_CODE_HELP, type ExitCode } from "./exit-code.ts";
import type { OutputFormat } from "./output.ts";
import { durationArgument, ioOption, spinOption } from "./run-options.ts";

const CONNECTIONS_MAX = 64;
const TIME_MS_MIN = 10;
const TIME_MS_MAX = 7 * 86_400_000;

/** As commander gives them. */
export interface BenchArguments {
  readonly io: LevelChoice;
  readonly output: OutputFormat;
  readonly rw: AccessMode;
  readonly bs: number;
  readonly depth: number;
  readonly connections?: number;
  /** Milliseconds, here and below. */
  readonly time?: number;
  readonly warmUp?: number;
  readonly size?: number;
  readonly range?: { readonly offset: number; readonly end: number };
  readonly readPercent: number;
  readonly verify: boolean;
  readonly seed?: number;
  readonly spin?: number;
  readonly yes: boolean;
}

export function addBench(program: Command, setExitCode: (code: ExitCode) => void): void {
  program
    .command("bench")
    .description("load a pipe and tell how fast it is, or whether it keeps what is written")
    .argument("<pipe>", "SOURCE | FILTER, without a share: nbd://host:10809/disk")
    .addOption(
      new Option("--rw <mode>", "as fio names them; rw and randrw mix")
        .choices(ACCESS_MODES)
        .default("randread"),
    )
    .option("--bs <size>", "of one operation: 4k, 64KiB, 1m", parseBlockSize, 4096)
    .option("--depth <n>", `operations under way, 1 to ${DEPTH_MAX}`, number(1, DEPTH_MAX), 32)
    .option(
      "--connections <n>",
      `of an nbd:// or nvmf:// source, 1 to ${CONNECTIONS_MAX}: its connections= or queues=`,
      number(1, CONNECTIONS_MAX),
    )
    .option(
      "--time <time>",
      "how long to measure (5s; with --verify, read and write go once over the range instead)",
      durationArgument({ minMs: TIME_MS_MIN, maxMs: TIME_MS_MAX }),
    )
    .option(
      "--warm-up <time>",
      "load for so long before measuring (500ms; none where it goes once over the range)",
      durationArgument({ maxMs: TIME_MS_MAX }),
    )
    .option("--size <size>", "only the first so many bytes; a bare number is MiB", parseLength)
    .option("--range <from-to>", "only these bytes: 1GiB-2GiB", parseRange)
    .option("--read-percent <n>", "of rw and randrw", number(0, 100), 50)
    .option("--verify", "check every sector that is read; read back what was written", false)
    .option("--seed <n>", "of offsets and data (a fresh one)", number(0, Number.MAX_SAFE_INTEGER))
    .option("--yes", "overwrite what the pipe holds", false)
    .addOption(ioOption())
    .addOption(spinOption())
    .addOption(
      new Option("-o, --output <format>", "how to print it")
        .choices(["table", "json", "yaml"])
        .default("table"),
    )
    .addHelpText("after", () => `${BENCH_HELP}\n\n${EXIT_CODE_HELP}`)
    .action(async (pipe: string, options: BenchArguments) => {
      const { runBench } = await import("./bench-run.ts");
      setExitCode(await runBench(pipe, options));
    });
}

/** `4k` is fio's way to say 4KiB. */
function parseBlockSize(text: string): number {
  const longer = /^\d+[kmg]$/i.test(text) ? `${text.toUpperCase()}iB` : text;
  const blockBytes = size(longer, { minBytes: BLOCK_BYTES_MIN, maxBytes: BLOCK_BYTES_MAX });
  if (blockBytes % BLOCK_BYTES_MIN === 0) return blockBytes;
  throw new InvalidArgumentError(`Expected a multiple of ${BLOCK_BYTES_MIN} bytes.`);
}

function parseLength(text: string): number {
  return size(text, { bareNumber: "mebibytes", minBytes: BLOCK_BYTES_MIN });
}

/** Half-open. */
function parseRange(text: string): { offset: number; end: number } {
  const [from, to, ...rest] = text.split("-");
  if (from === undefined || to === undefined || rest.length > 0) {
    throw new InvalidArgumentError("Expected two sizes such as 1GiB-2GiB.");
  }
  const options = { bareNumber: "bytes" } as const;
  const [offset, end] = [size(from, options), size(to, options)];
  if (offset < end) return { offset, end };
  const shown = `${formatSize(offset)} and ${formatSize(end)}`;
  throw new InvalidArgumentError(`Found ${shown}, expected the second to be the larger one.`);
}

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
  };
}

function size(text: string, options: ParseSizeOptions): number {
  try {
    return parseSize(text, options);
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
}

const BENCH_HELP = `
Latency is from when an operation is ready to be sent to when its answer is handled, in
microseconds. Client CPU is that of this whole process while it measured. What writes asks for
--yes, unless the source is malloc:// or null://.

--verify puts seed, offset and generation into every sector of 512 bytes, so that one that is
corrupt, stale or elsewhere is found and named. It keeps 4 bytes of memory for each block. A run
that wrote reads all of it back; read and randread check what an earlier run with the same --seed
wrote.

Examples:
  penstock bench nbd://10.0.0.7:10809/disk
  penstock bench nbd://10.0.0.7:10809/disk --rw read --bs 1m --depth 8 --time 10s --warm-up 1s
  penstock bench nbd://10.0.0.7:10809/disk --depth 256 --connections 8 -o json
  penstock bench nvmf://10.0.0.7/nqn.2026-11.io.penstock:vol1 --connections 1
  penstock bench './disk.img | limit?iops=5000' --rw randwrite --size 1GiB --yes
  penstock bench /dev/sdb --rw write --verify --seed 42 --yes     # all of it, then read back
  penstock bench /dev/sdb --rw read --verify --seed 42            # is it still there?`;
