/**
 * Where the kernel forbids io_uring, as containers do by default, Penstock chooses level posix by
 * itself and serves all the same.
 */

import { deepEqual, equal, match } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

import {
  PENSTOCK,
  type PenstockProcess,
  startPenstock,
} from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SIZE_BYTES = 32 * 2 ** 20;
const BAR = fileURLToPath(import.meta.resolve("../../src/testing/bar-io-uring.ts"));
const LAUNCHER = [process.execPath, "--disable-warning=ExperimentalWarning", BAR] as const;
const [NODE, ...FLAGS] = LAUNCHER;

async function doctor(...args: readonly string[]): Promise<{
  readonly exitCode: number | null;
  readonly report: {
    readonly level: { readonly used: string | null; readonly reason: string };
    readonly probes: Record<"ffi" | "ioUring", { readonly available: boolean }>;
  };
}> {
  const command = [...FLAGS, PENSTOCK, "doctor", "-o", "json", ...args];
  const { exitCode, stdout } = await runCommand(NODE, command, { exitCode: "any" });
  return { exitCode, report: JSON.parse(stdout) };
}

test("doctor finds level posix where io_uring is barred, and refuses uring", async () => {
  const { exitCode, report } = await doctor();
  equal(exitCode, 0);
  equal(report.level.used, "posix");
  equal(report.probes.ffi.available, true);
  equal(report.probes.ioUring.available, false);
  const forced = await doctor("--io", "uring");
  equal(forced.exitCode, 1);
  match(forced.report.level.reason, /level uring .*errno 1\b.*--io posix/);
});

/** Serves without having been told a level. */
async function serve(t: TestContext, stage: string, ...args: string[]): Promise<PenstockProcess> {
  const pipe = `${stage} | nbd://127.0.0.1:0/vol`;
  return await startPenstock(t, pipe, { launcher: LAUNCHER, args });
}

for (const [title, query, args] of [
  ["a buffered file", "", []],
  ["a file with direct I/O", "?direct=1", []],
  ["a file on a reactor of its own", "", ["--reactors", "2", "--placement", "apart"]],
] as const) {
  test(`${title} is copied both ways where io_uring is barred`, {
    skip: missingTools("nbdcopy"),
    timeout: 180_000,
  }, async (t) => {
    const folder = makeTempDir(t);
    const [source, disk, back] = ["in", "disk", "out"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const data = randomBytes(SIZE_BYTES);
    writeFileSync(source, data);
    writeFileSync(disk, Buffer.alloc(SIZE_BYTES));
    const server = await serve(t, `file://${disk}${query}`, ...args);
    await runCommand("nbdcopy", ["--flush", source, server.uri]);
    await runCommand("nbdcopy", [server.uri, back]);
    equal(Buffer.compare(readFileSync(back), data), 0);
    deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
    equal(Buffer.compare(readFileSync(disk), data), 0);
  });
}

test("fio verifies what it wrote where io_uring is barred", {
  skip: missingTools("fio"),
  timeout: 120_000,
}, async (t) => {
  const disk = join(makeTempDir(t), "disk");
  const server = await serve(t, `${disk}?size=${SIZE_BYTES}B`);
  await runCommand("fio", [
    "--name=verify",
    "--ioengine=nbd",
    `--uri=${server.uri}`,
    "--rw=randwrite",
    "--bs=16k",
    "--iodepth=32",
    `--size=${SIZE_BYTES}`,
    "--verify=crc32c",
    "--verify_fatal=1",
    "--fsync=64",
    "--verify_state_save=0",
  ]);
  deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
});
