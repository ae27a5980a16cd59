// `penstock bench`: loads, measures and verifies what our own shares and nbdkit serve, finds the
// one sector that is wrong, and refuses what it cannot do before it touches anything.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { BenchReport } from "../../src/cli/bench-view.ts";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { startNbdkit } from "../../src/testing/foreign-nbd-server.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import { PENSTOCK, startPenstock } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const MIB = 2 ** 20;
const ONE_REACTOR = ["uring", "portable"] as const;

function bench(
  args: readonly string[],
  exitCode: number | "any" = 0,
  cwd?: string,
): Promise<CommandResult> {
  return runCommand(PENSTOCK, ["bench", ...args], {
    exitCode,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

async function report(args: readonly string[], exitCode = 0): Promise<BenchReport> {
  const { stdout } = await bench([...args, "-o", "json"], exitCode);
  return JSON.parse(stdout) as BenchReport;
}

forEachLevel(
  "bench writes, reads back, and finds it all again by the seed",
  { levels: [...ONE_REACTOR] },
  async (t, level) => {
    const pipe = "malloc:///x?size=8MiB | nbd://127.0.0.1:0/x";
    const server = await startPenstock(t, pipe, { level });
    const common = [server.uri, ...["--io", level.io], "--verify"];

    const write = ["--rw", "write", "--bs", "64k", "--yes"];
    const written = await report([...common, ...write, "--seed", "7"]);
    strictEqual(written.level, level.io);
    deepStrictEqual(
      [written.write.operations, written.write.bytes, written.read.operations],
      [128, 8 * MIB, 0],
    );
    deepStrictEqual(written.verification, {
      sectors: (8 * MIB) / 512,
      badSectors: 0,
      blocksReadBack: 128,
      first: [],
    });
    deepStrictEqual(
      [written.errors.count, written.endedEarly, written.job.timeUs],
      [0, null, null],
    );

    // Other blocks, other order: what counts is the seed.
    const read = await report([...common, "--rw", "read", "--bs", "4k", "--seed", "7"]);
    deepStrictEqual([read.read.operations, read.verification?.badSectors], [2048, 0]);
    const mixed = ["--rw", "randrw", "--time", "300ms", "--yes", "--warm-up", "50ms"];
    const changed = await report([...common, ...mixed, "--seed", "7"]);
    ok(changed.read.operations > 0 && changed.write.operations > 0);
    strictEqual(changed.verification?.badSectors, 0);
    const randread = ["--rw", "randread", "--time", "100ms", "--bs", "512"];
    const after = await report([...common, ...randread, "--seed", "7"]);
    ok((after.verification?.sectors ?? 0) >= after.read.operations);
    strictEqual(after.verification?.badSectors, 0);

    const other = await report([...common, "--rw", "read", "--seed", "8"], 1);
    strictEqual(other.verification?.badSectors, (8 * MIB) / 512);
    const [first] = other.verification?.first ?? [];
    strictEqual(first?.finding.kind, "other-seed");
    strictEqual(other.verification?.first.length, 10);
  },
);

forEachLevel(
  "bench finds the one sector that a fault below the share has corrupted",
  { levels: forLongRun<readonly Level["name"][]>(["portable"], ONE_REACTOR) },
  async (t, level) => {
    const text = "malloc:///x?size=8MiB | fault?read=corrupt&count=1 | nbd://127.0.0.1:0/x";
    const server = await startPenstock(t, text, { level });
    const args = [server.uri, "--rw", "write", "--verify", "--yes", "--seed", "3"];
    const found = await report([...args, "--io", level.io], 1);
    const { verification } = found;
    deepStrictEqual([verification?.badSectors, verification?.sectors], [1, 16_384]);
    const [bad, ...others] = verification?.first ?? [];
    strictEqual(others.length, 0);
    const { offset = -1, finding, expected } = bad ?? {};
    ok(offset >= 0 && offset < 8 * MIB && offset % 512 === 0);
    deepStrictEqual(expected, { seed: 3, offset, generation: 0 });
    ok(finding?.kind === "corrupt" && finding.differingBytes === 1, JSON.stringify(finding));
    ok(finding.expectedByte !== finding.foundByte);

    // For people: which one, and what is in it.
    const again = await startPenstock(t, text, { level });
    const { stdout, stderr } = await bench([again.uri, ...args.slice(1)], 1);
    match(stdout, /verified 16384 sectors, 2048 blocks read back: 1 of them are wrong/);
    match(stderr, /^penstock: verification-failed: 1 of 16384 sectors are wrong/);
    match(
      stderr,
      /\n {2}offset \d+: expected seed 3, generation 0, found one other byte, the first/,
    );
  },
);

test("bench names the sectors that a device forgot to write", async () => {
  const pipe = "malloc:///x?size=1MiB | fault?write=drop&count=1";
  const found = await report([pipe, "--rw", "write", "--verify", "--seed", "1"], 1);
  deepStrictEqual([found.verification?.badSectors, found.job.connections], [8, null]);
  deepStrictEqual(found.verification?.first[0]?.finding, { kind: "zeroes" });
});

test("bench loads nbdkit in each mode, over as many connections as it is told", {
  skip: missingTools("nbdkit"),
}, async (t) => {
  const socket = join(makeTempDir(t), "nbdkit.sock");
  const server = await startNbdkit(socket, ["memory", "size=16M"]);
  cleanUp(t, () => server.kill());
  const uri = `nbd+unix:///?socket=${socket}`;
  const long = ["randread", "randwrite", "randrw", "read", "write", "rw"];
  for (const rw of forLongRun(["randread", "randrw", "write"], long)) {
    const { read, write, ...rest } = await report([
      ...[uri, "--rw", rw, "--time", "100ms", "--depth", "64", "--connections", "2", "--yes"],
      ...["--range", "1MiB-9MiB"],
    ]);
    const { job, cpu, elapsedUs } = rest;
    deepStrictEqual([job.connections, job.depth], [2, 64]);
    deepStrictEqual([job.rangeOffsetBytes, job.rangeBytes], [MIB, 8 * MIB]);
    strictEqual(read.operations > 0, rw !== "write" && rw !== "randwrite", rw);
    strictEqual(write.operations > 0, rw !== "read" && rw !== "randread", rw);
    for (const each of [read, write]) {
      strictEqual(each.bytes, each.operations * 4096);
      ok(Math.abs(each.iops - (each.operations * 1e6) / elapsedUs) < 1);
      if (each.latencyUs === null) continue;
      const { min, p50, p90, p99, p999, max } = each.latencyUs;
      const sorted = [min, p50, p90, p99, p999, max];
      deepStrictEqual(
        sorted,
        [...sorted].sort((a, b) => a - b),
      );
      ok(min > 0);
    }
    ok(cpu.userUs + cpu.systemUs > 0 && cpu.perOperationUs !== null);
  }
  const verified = await report([uri, "--rw", "randwrite", "--time", "300ms", "--verify", "--yes"]);
  strictEqual(verified.verification?.badSectors, 0);
  ok((verified.verification?.blocksReadBack ?? 0) > 0);
});

test("bench works on mirrors, filters and files", async (t) => {
  const folder = makeTempDir(t);
  for (const pipe of [
    "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB)",
    "malloc:///a?size=4MiB&blocksize=4096 | limit?iops=100000 | slice?offset=1MiB&length=1MiB",
    `${join(folder, "disk.img")}?size=1MiB`,
  ]) {
    const done = await report([pipe, "--rw", "write", "--verify", "--yes"]);
    deepStrictEqual([done.write.operations, done.verification?.badSectors], [256, 0], pipe);
  }
  strictEqual(readFileSync(join(folder, "disk.img")).subarray(0, 4).toString("latin1"), "PSbn");
});

test("bench overwrites nothing without --yes, and nothing that it may only read", async (t) => {
  const folder = makeTempDir(t);
  const path = join(folder, "kept.img");
  writeFileSync(path, Buffer.alloc(MIB, "kept"));
  for (const rw of forLongRun(["write", "randrw"], ["write", "randwrite", "rw", "randrw"])) {
    const { stderr } = await bench([path, "--rw", rw], 2);
    match(stderr, /^penstock: needs-yes: found --rw \w+, which overwrites all of file:/, rw);
    const readOnly = await bench([`${path}?readonly=1`, "--rw", rw, "--yes"], 1);
    match(readOnly.stderr, /^penstock: read-only: found --rw \w+, expected read or randread/, rw);
  }
  ok(readFileSync(path).equals(Buffer.alloc(MIB, "kept")));
  await bench([join(folder, "missing.img?size=1MiB"), "--rw", "write"], 2);
  ok(!existsSync(join(folder, "missing.img")));
  const { stdout } = await bench([path, "--time", "50ms"]);
  match(stdout, /randread, 4KiB blocks, depth 32, bytes 0 to 1048576 \(1MiB\), seed \d+, level/);
});

test("bench tells of requests that fail, and ends soon when all do", async () => {
  const some = "malloc:///x?size=1MiB | fault?read=error&count=3";
  const { stderr } = await bench([some, "--time", "100ms"], 1);
  match(
    stderr,
    /^penstock: io-error: 3 requests failed, the first of them:\n {2}read of 4096 bytes/,
  );
  const all = await report(["malloc:///x?size=1MiB | fault?read=error", "--time", "1h"], 1);
  strictEqual(all.endedEarly, "too many errors");
  ok(all.errors.count >= 100);
  deepStrictEqual([all.read.latencyUs, all.cpu.perOperationUs], [null, null]);
  strictEqual(all.errors.first[0]?.status, "media-error");
});

test("bench tells what it found when the last flush fails, of a run that wrote", async () => {
  const pipe = "malloc:///x?size=1MiB | fault?flush=error";
  const args = [pipe, "--time", "50ms", "-o", "json"];
  const { stdout, stderr } = await bench([...args, "--rw", "randwrite"], 1);
  ok((JSON.parse(stdout) as BenchReport).write.operations > 0);
  match(stderr, /^penstock: flush-failed: /);
  const read = await bench(args);
  strictEqual(read.stderr, "");
});

test("bench ends what hangs, and tells what it knows when it is interrupted", async (t) => {
  const hung = "malloc:///x?size=1MiB | fault?read=hang&count=1";
  ok((await report([hung, "--time", "50ms"])).read.operations > 0);

  // What it logs tells that it runs: signals before that end the process at once.
  const args = ["bench", "null:///x?size=1GiB | log", "--time", "1h"];
  const child = spawnTracked(PENSTOCK, args, { stdio: ["ignore", "pipe", "pipe"] });
  cleanUp(t, () => void child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (text: Buffer) => {
    stdout += text.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await new Promise<void>((resolve) => {
    child.stderr?.on("data", (text: Buffer) => {
      stderr += text.toString();
      resolve();
    });
  });
  child.kill("SIGTERM");
  strictEqual(await ended, 1, stderr);
  match(stdout, /client CPU/);
  match(stderr, /^penstock: stopped: /m);
});

const REFUSED: readonly (readonly [args: string, message: RegExp])[] = [
  ["--bs 1000", /'1000' is invalid. Expected a multiple of 512 bytes/],
  ["--bs 2m", /2097152 bytes, outside 512 \(512B\) to 1048576 \(1MiB\)/],
  ["--bs 512", /--bs 512, expected a multiple of 4096, the block size of malloc/],
  ["--depth 0", /'0' is invalid. Expected a number from 1 to 1024/],
  ["--depth 1025", /from 1 to 1024/],
  ["--connections 65", /from 1 to 64/],
  ["--connections 2", /a source of malloc:\/\/, expected one of nbd/],
  ["--size 1GiB", /ends at 1073741824 \(1GiB\), expected at most 1048576 \(1MiB\)/],
  ["--size 1 --range 0-1MiB", /both --size and --range/],
  ["--range 1MiB-512KiB", /expected the second to be the larger one/],
  ["--range 1MiB", /Expected two sizes such as/],
  ["--rw reed", /Allowed choices are randread, randwrite, randrw, read, write, rw/],
  ["--time 5", /a unit is required/],
  ["--warm-up 1s --rw write --verify", /--warm-up without a --time/],
  ["--verify --rw randwrite --depth 512", /--depth 512 over 256 blocks, expected at most 256/],
  ["--read-percent 101", /from 0 to 100/],
];

for (const [args, message] of REFUSED) {
  test(`bench ${args} is refused`, async () => {
    const pipe = "malloc:///x?size=1MiB&blocksize=4096";
    const { stdout, stderr } = await bench([pipe, ...args.split(" ")], 2);
    match(stderr, /^penstock: invalid-argument: /);
    match(stderr, message);
    strictEqual(stdout, "");
  });
}
