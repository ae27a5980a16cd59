// Tests of jobs: what is refused, with the value and the limit named, and what becomes of the rest.

import { deepStrictEqual, match, throws } from "node:assert/strict";
import { test } from "node:test";
import type { DeviceInfo } from "../block/device.ts";
import { type OperationTable, Support } from "../block/operation.ts";
import type { PenstockError } from "../util/errors.ts";
import { checkOptions, type JobOptions, planJob, readPercentOf } from "./job.ts";

const MIB = 2 ** 20;

const INFO: DeviceInfo = {
  name: "file:///x",
  kind: "file",
  sizeBytes: 64 * MIB + 512,
  blockSizeBytes: 512,
  physicalBlockSizeBytes: 4096,
  optimalIoBytes: 4096,
  maxTransferBytes: MIB,
  readOnly: false,
  volatileCache: true,
  discardGranularityBytes: 512,
  instanceId: "",
  lendsReads: false,
};

const ALL: OperationTable = {
  read: Support.native,
  write: Support.native,
  flush: Support.native,
  discard: Support.native,
  writeZeroes: Support.native,
  compare: Support.native,
  compareAndWrite: Support.native,
  blockStatus: Support.native,
};

const OPTIONS: JobOptions = {
  rw: "randread",
  blockBytes: 4096,
  depth: 32,
  seed: 1,
  verify: false,
  readPercent: 50,
  durationMs: 1000,
  warmUpMs: 0,
};

interface Case {
  readonly options: Partial<JobOptions>;
  readonly info?: Partial<DeviceInfo>;
  readonly operations?: Partial<OperationTable>;
  readonly code?: string;
  readonly message: RegExp;
}

const REFUSED: readonly Case[] = [
  { options: { blockBytes: 1000 }, message: /--bs 1000, expected a multiple of 512/ },
  { options: { blockBytes: MIB, depth: 1025 }, message: /1025, .*take 1GiB.*at most 1GiB/ },
  { options: { durationMs: null }, message: /randread without a --time/ },
  { options: { rw: "rw", durationMs: null }, message: /rw without a --time/ },
  { options: { rw: "read", durationMs: null, warmUpMs: 1 }, message: /--warm-up without a --time/ },
  {
    options: { blockBytes: 512 },
    info: { blockSizeBytes: 4096, sizeBytes: 64 * MIB },
    message: /--bs 512, expected a multiple of 4096, the block size of file/,
  },
  {
    options: { blockBytes: MIB },
    info: { maxTransferBytes: 65_536 },
    message: /--bs 1048576, expected at most 65536, the largest transfer of file/,
  },
  {
    options: { range: { offset: 0, end: 65 * MIB } },
    message: /ends at 68157440 .*at most 67109376/,
  },
  { options: { range: { offset: 100, end: MIB } }, message: /begins at 100, .*multiple of 512/ },
  {
    options: { range: { offset: 0, end: 5000 } },
    message: /of 5000 bytes, .*multiple of --bs 4096/,
  },
  { options: {}, info: { sizeBytes: 512 }, message: /512 bytes to work on, .*at least --bs 4096/ },
  {
    options: { rw: "write" },
    info: { readOnly: true },
    code: "read-only",
    message: /--rw write, expected read or randread: file:\/\/\/x is read-only/,
  },
  {
    options: {},
    operations: { read: Support.refuse },
    code: "unsupported",
    message: /does not do what --rw randread needs/,
  },
  {
    options: { rw: "randwrite" },
    operations: { write: Support.refuse },
    code: "unsupported",
    message: /--rw randwrite/,
  },
  {
    options: { rw: "randwrite", verify: true, range: { offset: 0, end: 16 * 4096 } },
    message: /--depth 32 over 16 blocks, expected at most 16/,
  },
  {
    options: { verify: true },
    info: { sizeBytes: 2 ** 41 },
    message: /536870912 blocks of 4KiB .*at most 268435456/,
  },
];

for (const { options, info, operations, code, message } of REFUSED) {
  test(`a job is refused: ${message.source}`, () => {
    const asked = { ...OPTIONS, ...options };
    const device = { info: { ...INFO, ...info }, operations: { ...ALL, ...operations } };
    throws(
      () => {
        checkOptions(asked);
        planJob(asked, device);
      },
      (error: PenstockError) => {
        match(error.message, message);
        return error.code === (code ?? "invalid-argument");
      },
    );
  });
}

test("a job without a range has all whole blocks, one with a range just those", () => {
  const device = { info: INFO, operations: ALL };
  const { offset, blockCount } = planJob(OPTIONS, device);
  deepStrictEqual([offset, blockCount], [0, 64 * 256]);
  const part = planJob({ ...OPTIONS, range: { offset: 512, end: 512 + 8192 } }, device);
  deepStrictEqual([part.offset, part.blockCount], [512, 2]);
});

test("the share of reads follows from the mode", () => {
  const percent = (rw: JobOptions["rw"]): number => readPercentOf({ rw, readPercent: 70 });
  deepStrictEqual([percent("read"), percent("randread")], [100, 100]);
  deepStrictEqual([percent("write"), percent("randwrite")], [0, 0]);
  deepStrictEqual([percent("rw"), percent("randrw")], [70, 70]);
});
