/**
 * Options of the commands that run reactors, with their limits.
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import { PLACEMENTS, type Placement } from "../pipe/placement.ts";
import { LEVEL_CHOICES, type LevelChoice } from "../reactor/open-io.ts";
import { REACTOR_COUNT_MAX } from "../reactor/reactor-count.ts";
import { type ParseDurationOptions, parseDuration } from "../util/duration.ts";
import { PenstockError } from "../util/errors.ts";
import { parseSize } from "../util/size.ts";

const MIB = 2 ** 20;
/** One MiB of it is the reserve of the NBD shares. */
const BUFFER_LIMIT_BYTES_MIN = 2 * MIB;
const BUFFER_LIMIT_BYTES_MAX = 16 * 2 ** 30;
const SPIN_MS_MAX = 10;

export interface RunOptions {
  readonly io: LevelChoice;
  readonly reactors: number;
  readonly placement: Placement;
  readonly bufferLimit?: number;
  readonly spin?: number;
  readonly stopOnStdinEnd: boolean;
}

export function addRunOptions(command: Command): Command {
  return command
    .addOption(ioOption())
    .option("--reactors <n>", `data-plane threads, 1 to ${REACTOR_COUNT_MAX}`, parseReactors, 1)
    .addOption(
      new Option("--placement <how>", "source and share on one reactor, or on two")
        .choices(PLACEMENTS)
        .default("together"),
    )
    .option("--buffer-limit <size>", "buffer memory of each reactor (64MiB)", parseBufferLimit)
    .addOption(spinOption())
    .option("--stop-on-stdin-end", "stop cleanly when standard input ends, too", false);
}

export function ioOption(): Option {
  return new Option("--io <level>", "how to reach the kernel")
    .choices(LEVEL_CHOICES)
    .default("auto")
    .env("PENSTOCK_IO");
}

export function spinOption(): Option {
  const text = "longest look for work before sleeping, such as 60us";
  return new Option("--spin <time>", text).argParser(parseSpin);
}

/** A parser of an option's time, in ms. */
export function durationArgument(options: ParseDurationOptions): (text: string) => number {
  return (text) => readArgument(() => parseDuration(text, options));
}

function parseReactors(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > REACTOR_COUNT_MAX) {
    throw new InvalidArgumentError(`Expected a number from 1 to ${REACTOR_COUNT_MAX}.`);
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

/** A size with its unit. */
export function sizeArgument(text: string): number {
  return readArgument(() => parseSize(text, { bareNumber: "refuse", minBytes: 512 }));
}

/** An option's value; its parser's errors are those of the command line. */
export function readArgument<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw new InvalidArgumentError(thrown.message);
    throw thrown;
  }
}
