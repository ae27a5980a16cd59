/** fio's nbd engine: verified random writes at depth, with trims, from two jobs at once. */

import assert from "node:assert/strict";

import { forEachExport, type ServedExport } from "../../src/testing/export-matrix.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SKIP = missingTools("fio");
const SIZE_MIB = 64;
const JOB_COUNT = 2;
const IO_MIB = forLongRun(16, 512);

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: { readonly total_ios: number };
    readonly write: { readonly total_ios: number };
    readonly trim: { readonly total_ios: number };
  }[];
}

const VERIFIED = ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_async=0"];
const options = { skip: SKIP, sizeBytes: SIZE_MIB * 2 ** 20, timeoutMs: forLongRun(90, 900) * 1e3 };

forEachExport("fio", options, async (t, served) => {
  await t.test("random writes of mixed sizes, verified", async () => {
    const report = await fio(t.name, served, [
      "--rw=randrw",
      "--rwmixread=30",
      "--bsrange=512-128k",
      "--blockalign=512",
      "--fsync=64",
      `--io_size=${IO_MIB}m`,
      ...VERIFIED,
    ]);
    assert.ok(report.jobs.every(({ write, read }) => write.total_ios > 0 && read.total_ios > 0));
  });
  await t.test("random trims, then writes, verified", async () => {
    const report = await fio(t.name, served, [
      "--rw=randtrimwrite",
      "--bs=16k",
      `--io_size=${IO_MIB / 2}m`,
      // A trim and the write after it have the same offset, and NBD orders nothing in flight.
      "--serialize_overlap=1",
      ...VERIFIED,
    ]);
    assert.ok(report.jobs.some(({ trim, write }) => trim.total_ios > 0 && write.total_ios > 0));
  });
  await t.test("4 KiB blocks, each written once, read back in order", async () => {
    await fio(t.name, served, ["--rw=write", "--bs=4k", `--io_size=${IO_MIB / 4}m`, ...VERIFIED]);
  });

  /** Two jobs, each on its own half and its own connections. */
  async function fio(
    name: string,
    { uri }: ServedExport,
    args: readonly string[],
  ): Promise<FioReport> {
    const { stdout } = await runCommand(
      "fio",
      [
        `--name=${name.split(",")[0]}`,
        "--ioengine=nbd",
        `--uri=${uri}`,
        "--iodepth=32",
        `--numjobs=${JOB_COUNT}`,
        `--size=${SIZE_MIB / JOB_COUNT}m`,
        `--offset_increment=${SIZE_MIB / JOB_COUNT}m`,
        "--randseed=7",
        "--output-format=json",
        ...args,
      ],
      { cwd: makeTempDir(t), timeoutMs: options.timeoutMs },
    );
    // The engine prints a line for each connection first.
    const report = JSON.parse(stdout.slice(stdout.indexOf("{"))) as FioReport;
    assert.ok(report.jobs.length === JOB_COUNT && report.jobs.every(({ error }) => error === 0));
    return report;
  }
});
