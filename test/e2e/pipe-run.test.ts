// `penstock pipe run` from outside: ready lines, clients, signals, exit codes, what is left behind.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import {
  type PenstockProcess,
  REPOSITORY_ROOT,
  startPenstock,
} from "../../src/testing/penstock-process.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const PENSTOCK = join(REPOSITORY_ROOT, "bin", "penstock");
const BLOCK = Buffer.alloc(4096, 0xa5);
const MIB = 2 ** 20;
/** Two seconds is what people are told; a busy machine takes its time. */
const STOP_MS_MAX = 8000;
const STATS_LINES = 5;

function run(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(PENSTOCK, args, { exitCode: "any" });
}

/** Writes a block, reads it back, and says good-bye. */
async function exercise(uri: string): Promise<void> {
  const client = await NbdRawClient.open(uri);
  await client.write(8192, BLOCK);
  ok(BLOCK.equals(await client.read(8192, BLOCK.length)), uri);
  await client.flush();
  await client.disconnect();
}

async function stopsCleanly(server: PenstockProcess, signal: NodeJS.Signals): Promise<void> {
  deepStrictEqual(await server.stop(signal), { code: 0, signal: null }, server.stderr);
}

forEachLevel(
  "a pipe on a free port is ready, serves, and stops on SIGTERM",
  {},
  async (t, level) => {
    const file = join(makeTempDir(t), "disk.img");
    const server = await startPenstock(t, `${file}?size=1MiB | nbd://127.0.0.1:0/vol`, { level });
    match(server.uri, /^nbd:\/\/127\.0\.0\.1:[1-9]\d*\/vol$/);
    await exercise(server.uri);
    await stopsCleanly(server, "SIGTERM");
    strictEqual(server.stderr, "");
    ok(readFileSync(file).subarray(8192, 12_288).equals(BLOCK));
  },
);

forEachLevel(
  "a pipe on a Unix socket stops on SIGINT and takes the socket away",
  {},
  async (t, level) => {
    const socket = join(makeTempDir(t), "a b.sock");
    const share = `nbd+unix:///vol?socket=${socket.replaceAll(" ", "%20")}`;
    const server = await startPenstock(t, `malloc:///m?size=1MiB | ${share}`, { level });
    strictEqual(server.uri, share);
    await exercise(server.uri);
    await stopsCleanly(server, "SIGINT");
    strictEqual(existsSync(socket), false);
  },
);

forEachLevel("two pipes share one port, each under its name", {}, async (t, level) => {
  const port = await freePort();
  const pipe = (name: string): string =>
    `malloc:///${name}?size=${name === "one" ? 1 : 2}MiB | nbd://127.0.0.1:${port}/${name}`;
  const server = await startPenstock(t, [pipe("one"), pipe("two")], { level });
  deepStrictEqual(server.uris, [`nbd://127.0.0.1:${port}/one`, `nbd://127.0.0.1:${port}/two`]);
  const clients = await Promise.all(server.uris.map((uri) => NbdRawClient.open(uri)));
  deepStrictEqual(
    clients.map(({ sizeBytes }) => sizeBytes),
    [MIB, 2 * MIB],
  );
  for (const client of clients) await client.disconnect();
  for (const uri of server.uris) await exercise(uri);
  await stopsCleanly(server, "SIGTERM");
});

for (const placement of ["together", "apart"]) {
  test(`pipes on three reactors share one port, placed ${placement}`, async (t) => {
    const port = await freePort();
    const names = ["a", "b", "c", "d"];
    const pipes = names.map((name) => `malloc:///m?size=1MiB | nbd://127.0.0.1:${port}/${name}`);
    const args = ["--io", "uring", "--reactors", "3", "--placement", placement];
    const server = await startPenstock(t, pipes, { args });
    // Several connections at once, each with the export of another reactor.
    await Promise.all([...server.uris, ...server.uris].map((uri) => exercise(uri)));
    await stopsCleanly(server, "SIGTERM");
  });
}

test("a process stops soon after SIGTERM when a client stays", async (t) => {
  for (const io of ["uring", "portable"]) {
    const args = ["--io", io];
    const server = await startPenstock(t, "malloc:///m?size=1MiB | nbd://127.0.0.1:0/vol", {
      args,
    });
    const client = await NbdRawClient.open(server.uri);
    await client.write(0, BLOCK);
    const startMs = performance.now();
    await stopsCleanly(server, "SIGTERM");
    ok(performance.now() - startMs < STOP_MS_MAX, `${io}: ${performance.now() - startMs} ms`);
  }
});

test("a process stops when standard input ends, and only if it was asked to", async (t) => {
  const pipe = "malloc:///m?size=1MiB | nbd://127.0.0.1:0/vol";
  const stopped = await runCommand(PENSTOCK, ["pipe", "run", "--stop-on-stdin-end", pipe]);
  match(stopped.stdout, /^ready nbd:/);
  const server = await startPenstock(t, pipe); // its stdin is /dev/null
  await sleep(300);
  await exercise(server.uri);
  await stopsCleanly(server, "SIGTERM");
});

test("stats lines count what clients did", async (t) => {
  const pipe = "malloc:///m?size=1MiB | nbd://127.0.0.1:0/vol";
  const child = spawnTracked(PENSTOCK, ["pipe", "run", "--stats", "50ms", pipe], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  cleanUp(t, () => void child.kill("SIGKILL"));
  ok(child.stdout !== null);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("stats ")) continue;
    lines.push(line);
    if (lines.length === STATS_LINES) child.kill("SIGTERM");
  }
  deepStrictEqual(await ended, [0, null]);
  ok(lines.length >= STATS_LINES, lines.join("\n"));
  const last = JSON.parse(lines[STATS_LINES - 1]?.slice("stats ".length) ?? "") as {
    atMs: number;
    pipes: { uri: string; state: string; reads: number; connections: number }[];
  };
  strictEqual(last.pipes.length, 1);
  match(last.pipes[0]?.uri ?? "", /^nbd:/);
  strictEqual(last.pipes[0]?.state, "ready");
  strictEqual(last.pipes[0]?.reads, 0);
});

test("mistakes end with a code, words and an exit status, and leave nothing behind", async (t) => {
  const file = join(makeTempDir(t), "never.img");
  const good = `${file}?size=1MiB | nbd://127.0.0.1:0/a`;
  const cases: readonly (readonly [args: string[], exitCode: number, stderr: RegExp])[] = [
    [["pipe", "run"], 2, /^penstock: missing-argument: /],
    [["pipe", "run", "--reactorz", "2", good], 2, /unknown-option: .*--reactors/],
    [["pipe", "run", "--reactors", "0", good], 2, /invalid-argument: .*from 1 to 64/],
    [["pipe", "run", "--placement", "apart", good], 2, /placement-unsupported: /],
    [["pipe", "run", "--io", "portable", "--reactors", "2", good], 2, /reactors-unsupported: /],
    [["pipe", "run", "--io", "fast", good], 2, /invalid-argument: .*portable/],
    [["pipe", "run", "--buffer-limit", "x", good], 2, /invalid-argument: .*size/],
    [["pipe", "run", good, "maloc:///x | nbd://h/x"], 2, /unknown-scheme: .*\n {2}maloc.*\n {2}\^/],
    [["pipe", "run", "/no/such/file | nbd://127.0.0.1:0/a"], 1, /not-found: .*\/no\/such\/file/],
    [["pipe", "run", `${REPOSITORY_ROOT} | nbd://127.0.0.1:0/a`], 1, /invalid-file: /],
    [["pipe"], 2, /Usage: penstock pipe/],
    [["pip"], 2, /unknown-command: .*pipe/],
    [["doctor", "-o", "xml"], 2, /invalid-argument: .*table, json/],
  ];
  await Promise.all(
    cases.map(async ([args, exitCode, words]) => {
      const result = await run(...args);
      strictEqual(result.exitCode, exitCode, `${args.join(" ")}: ${result.stderr}`);
      match(result.stderr, words);
      strictEqual(result.stdout, "", args.join(" "));
    }),
  );
  strictEqual(existsSync(file), false);
});

test("a busy port and a claimed file are told with their names", async (t) => {
  const file = join(makeTempDir(t), "disk.img");
  const server = await startPenstock(t, `${file}?size=1MiB | nbd://127.0.0.1:0/vol`);
  const { port } = new URL(server.uri);
  const busy = await run("pipe", "run", `malloc:///m?size=1MiB | nbd://127.0.0.1:${port}/x`);
  strictEqual(busy.exitCode, 1);
  match(busy.stderr, /^penstock: address-in-use: .*127\.0\.0\.1/);
  const claimed = await run("pipe", "run", `${file} | nbd://127.0.0.1:0/x`);
  strictEqual(claimed.exitCode, 1);
  match(claimed.stderr, /^penstock: claimed: .*disk\.img is in use by pipe nbd:.*vol/);
  await exercise(server.uri);
  await stopsCleanly(server, "SIGTERM");
});

test("a pipe that cannot open ends the ones before it cleanly", async (t: TestContext) => {
  const socket = join(makeTempDir(t), "one.sock");
  const result = await run(
    "pipe",
    "run",
    `malloc:///m?size=1MiB | nbd+unix:///one?socket=${socket}`,
    "/no/such/file | nbd://127.0.0.1:0/two",
  );
  strictEqual(result.exitCode, 1);
  match(result.stdout, /^ready nbd\+unix:/);
  match(result.stderr, /not-found/);
  strictEqual(existsSync(socket), false);
});

test("doctor prints levels and limits, as a table and as JSON", async () => {
  const table = await run("doctor");
  strictEqual(table.exitCode, 0, table.stderr);
  match(table.stdout, /^node {2,}v26\./m);
  match(table.stdout, /^direct-io +yes +yes +- /m);
  match(table.stdout, /^kernel-queue +yes +- +- /m);
  const json = await run("doctor", "-o", "json", "--io", "portable");
  const report = JSON.parse(json.stdout) as {
    level: { used: string };
    machine: { limits: { openFiles: number } };
  };
  strictEqual(report.level.used, "portable");
  ok(report.machine.limits.openFiles > 0);
  strictEqual(/^level +(\w+)$/m.exec((await run("doctor", "--io", "posix")).stdout)?.[1], "posix");
});

test("PENSTOCK_IO chooses the level when --io does not", async () => {
  const options = { environment: { PENSTOCK_IO: "portable" } };
  match((await runCommand(PENSTOCK, ["doctor"], options)).stdout, /^level +portable$/m);
  const forced = await runCommand(PENSTOCK, ["doctor", "--io", "uring"], options);
  match(forced.stdout, /^level +uring$/m);
});

test("help and version are there, with examples and exit codes", async () => {
  const help = await run("pipe", "run", "--help");
  strictEqual(help.exitCode, 0);
  for (const words of [/nbd\+unix:\/\/\//, /malloc:\/\/\//, /maxconnections=NUMBER/, /Examples:/]) {
    match(help.stdout, words);
  }
  match((await run("--help")).stdout, /Exit codes:/);
  match((await run("--version")).stdout, /^\d+\.\d+\.\d+\n$/);
});
