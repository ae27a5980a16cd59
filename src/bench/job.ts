/**
 * What bench is to do, checked against the device that it does it to. Pure.
 */

import { type DeviceInfo, TRANSFER_BYTES_MAX } from "../block/device.ts";
import { type OperationTable, Support } from "../block/operation.ts";
import { PenstockError } from "../util/errors.ts";
import { formatSize } from "../util/size.ts";
import { BLOCK_COUNT_MAX } from "./block-map.ts";

export const ACCESS_MODES = ["randread", "randwrite", "randrw", "read", "write", "rw"] as const;
/** As fio names them: `rw` mixes both, without `rand` it goes through the range in order. */
export type AccessMode = (typeof ACCESS_MODES)[number];

export const BLOCK_BYTES_MIN = 512;
export const BLOCK_BYTES_MAX = TRANSFER_BYTES_MAX;
export const DEPTH_MAX = 1024;
/** Memory of the requests. */
const BUFFER_BYTES_MAX = 2 ** 30;

/** As asked for. */
export interface JobOptions {
  readonly rw: AccessMode;
  readonly blockBytes: number;
  /** Requests kept under way. */
  readonly depth: number;
  readonly seed: number;
  readonly verify: boolean;
  /** Of mixed modes: so many of 100 operations are reads. */
  readonly readPercent: number;
  /** Bytes of the device, half-open; absent: all of it. */
  readonly range?: { readonly offset: number; readonly end: number };
  /** Null: once over the range (`read` and `write` only). */
  readonly durationMs: number | null;
  readonly warmUpMs: number;
}

/** Ready to be run. */
export interface Job extends Omit<JobOptions, "range"> {
  /** Bytes: where the range begins, a multiple of the device's block size. */
  readonly offset: number;
  /** Blocks of `blockBytes` in it. */
  readonly blockCount: number;
}

export function writes(rw: AccessMode): boolean {
  return rw !== "read" && rw !== "randread";
}

export function isRandom(rw: AccessMode): boolean {
  return rw.startsWith("rand");
}

/** 0 to 100. */
export function readPercentOf({ rw, readPercent }: Pick<Job, "rw" | "readPercent">): number {
  if (!writes(rw)) return 100;
  return rw === "rw" || rw === "randrw" ? readPercent : 0;
}

/** What can be refused before anything is opened. @throws PenstockError `invalid-argument` */
export function checkOptions(options: JobOptions): void {
  const { rw, blockBytes, depth, durationMs, warmUpMs } = options;
  if (blockBytes % BLOCK_BYTES_MIN !== 0) {
    throw refusal(`found --bs ${blockBytes}, expected a multiple of ${BLOCK_BYTES_MIN} bytes`);
  }
  if (blockBytes * depth > BUFFER_BYTES_MAX) {
    const asked = `--bs ${formatSize(blockBytes)} and --depth ${depth}`;
    const takes = `which take ${formatSize(blockBytes * depth)} of memory`;
    throw refusal(`found ${asked}, ${takes}, expected at most ${formatSize(BUFFER_BYTES_MAX)}`);
  }
  if (durationMs === null && rw !== "read" && rw !== "write") {
    throw refusal(`found --rw ${rw} without a --time, expected one: it has no end of its own`);
  }
  if (durationMs === null && warmUpMs > 0) {
    throw refusal("found --warm-up without a --time, expected one with it");
  }
}

/** @throws PenstockError `invalid-argument`, `read-only`, `unsupported` */
export function planJob(
  options: JobOptions,
  device: { readonly info: DeviceInfo; readonly operations: OperationTable },
): Job {
  const { info, operations } = device;
  const { range, ...rest } = options;
  const { rw, blockBytes, depth, verify } = rest;
  checkBlockSize(blockBytes, info);
  if (writes(rw) && info.readOnly) {
    throw new PenstockError({
      code: "read-only",
      message: `found --rw ${rw}, expected read or randread: ${info.name} is read-only`,
    });
  }
  const refused = rw !== "write" && rw !== "randwrite" && operations.read === Support.refuse;
  if (refused || (writes(rw) && operations.write === Support.refuse)) {
    throw new PenstockError({
      code: "unsupported",
      message: `${info.name} does not do what --rw ${rw} needs`,
    });
  }
  const { offset, end } = range ?? { offset: 0, end: info.sizeBytes };
  checkRange({ offset, end }, blockBytes, info, range !== undefined);
  const blockCount = Math.floor((end - offset) / blockBytes);
  if (verify && blockCount > BLOCK_COUNT_MAX) {
    throw refusal(
      `found ${blockCount} blocks of ${formatSize(blockBytes)} to --verify, ` +
        `expected at most ${BLOCK_COUNT_MAX}: a smaller --range or a larger --bs`,
    );
  }
  if (verify && writes(rw) && blockCount < depth) {
    throw refusal(
      `found --depth ${depth} over ${blockCount} blocks, expected at most ${blockCount}: ` +
        "with --verify no two requests share a block",
    );
  }
  return { ...rest, offset, blockCount };
}

function checkBlockSize(blockBytes: number, info: DeviceInfo): void {
  const { blockSizeBytes, maxTransferBytes, name } = info;
  if (blockBytes % blockSizeBytes !== 0) {
    throw refusal(
      `found --bs ${blockBytes}, expected a multiple of ${blockSizeBytes}, ` +
        `the block size of ${name}`,
    );
  }
  if (blockBytes > maxTransferBytes) {
    const limit = `${maxTransferBytes}, the largest transfer of ${name}`;
    throw refusal(`found --bs ${blockBytes}, expected at most ${limit}`);
  }
}

function checkRange(
  range: { readonly offset: number; readonly end: number },
  blockBytes: number,
  info: DeviceInfo,
  isAsked: boolean,
): void {
  const { offset, end } = range;
  const { sizeBytes, blockSizeBytes, name } = info;
  if (end > sizeBytes) {
    throw refusal(
      `found a range that ends at ${end} (${formatSize(end)}), ` +
        `expected at most ${sizeBytes} (${formatSize(sizeBytes)}), the size of ${name}`,
    );
  }
  if (offset % blockSizeBytes !== 0) {
    throw refusal(
      `found a range that begins at ${offset}, expected a multiple of ${blockSizeBytes}, ` +
        `the block size of ${name}`,
    );
  }
  if (isAsked && (end - offset) % blockBytes !== 0) {
    const length = end - offset;
    throw refusal(`found a range of ${length} bytes, expected a multiple of --bs ${blockBytes}`);
  }
  if (end - offset < blockBytes) {
    const message = `found ${end - offset} bytes to work on, expected at least --bs ${blockBytes}`;
    throw refusal(message);
  }
}

function refusal(message: string): PenstockError {
  return new PenstockError({ code: "invalid-argument", message });
}
