// `npm start` from outside: the check, the live line, ports, and that nothing runs on afterwards.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { REPOSITORY_ROOT } from "../../src/testing/penstock-process.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const START = join(REPOSITORY_ROOT, "src/bin/start.ts");
const FLAGS = ["--disable-warning=ExperimentalWarning", START];
const EXIT_MS_MAX = 15_000;

function start(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(process.execPath, [...FLAGS, ...args], { exitCode: "any" });
}

interface Live {
  readonly pid: number;
  readonly enginePid: number;
  readonly diskUri: string;
  readonly lines: readonly string[];
  readonly exited: Promise<number | null>;
}

/** Starts it for good, and waits for the first live line. */
async function startLive(t: TestContext, ...args: readonly string[]): Promise<Live> {
  const child = spawnTracked(process.execPath, [...FLAGS, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  cleanUp(t, () => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const { stdout } = child;
  ok(stdout !== null);
  const reader = createInterface({ input: stdout });
  await new Promise<void>((resolve, reject) => {
    void exited.then((code) => reject(new Error(`exited with ${code}: ${lines.join("\n")}`)));
    reader.on("line", (line) => {
      lines.push(line);
      if (/ IOPS /.test(line)) resolve();
    });
  });
  const [firstLine = ""] = lines;
  const engine = /^Engine (\d+) serves .*: (nbd:\S+)$/.exec(firstLine);
  ok(engine !== null, firstLine);
  const [, enginePid, diskUri = ""] = engine;
  return { pid: child.pid ?? 0, enginePid: Number(enginePid), diskUri, lines, exited };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function isGone(pid: number): Promise<boolean> {
  const endMs = performance.now() + EXIT_MS_MAX;
  while (isAlive(pid) && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return !isAlive(pid);
}

/** Holds a port until the test ends; somebody else may hold it already. */
async function occupy(t: TestContext, port: number): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.once("error", () => resolve());
    server.listen(port, "127.0.0.1", resolve);
  });
  cleanUp(t, () => void server.close());
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : port;
}

for (const io of ["uring", "portable"]) {
  test(`the check passes, and leaves its folder empty, at ${io}`, async (t) => {
    const folder = join(makeTempDir(t), "new", "folder");
    const result = await start("--check", "--data-dir", folder, "--io", io);
    strictEqual(result.exitCode, 0, result.stderr + result.stdout);
    match(result.stdout, /^Verified 64MiB .*every byte right\.$/m);
    match(result.stdout, /^check passed$/m);
    deepStrictEqual(readdirSync(folder), []);
  });
}

test("the check passes when the default port is busy, twice at a time", async (t) => {
  await occupy(t, 10_809);
  const folder = makeTempDir(t);
  const results = await Promise.all([
    start("--check", "--data-dir", folder),
    start("--check", "--data-dir", folder),
  ]);
  for (const { exitCode, stdout, stderr } of results) {
    strictEqual(exitCode, 0, stderr);
    match(stdout, /^Port 10809 is busy/m);
  }
});

test("a port that was asked for and is busy ends with one line", async (t) => {
  const port = await occupy(t, 0);
  const folder = makeTempDir(t);
  const result = await start("--check", "--data-dir", folder, "--port", String(port));
  strictEqual(result.exitCode, 1);
  match(result.stderr, new RegExp(`^penstock: address-in-use: [^\\n]*${port}[^\\n]*\\n$`));
  deepStrictEqual(readdirSync(folder), []);
});

test("mistakes end with one line", async (t) => {
  const file = join(makeTempDir(t), "file");
  await runCommand("touch", [file]);
  const cases: readonly (readonly [args: string[], exitCode: number, stderr: RegExp])[] = [
    [["--bogus"], 2, /^penstock: unknown-option: [^\n]*\n$/],
    [["--port", "70000"], 2, /^penstock: invalid-argument: [^\n]*65535[^\n]*\n$/],
    [["--check", "--data-dir", file], 1, /^penstock: data-dir-invalid: [^\n]*\n$/],
    [["--check", "--data-dir", "/proc/x"], 1, /^penstock: data-dir-invalid: [^\n]*\n$/],
  ];
  for (const [args, exitCode, words] of cases) {
    const result = await start(...args);
    strictEqual(result.exitCode, exitCode, args.join(" "));
    match(result.stderr, words);
  }
  match((await start("--help")).stdout, /--data-dir/);
});

test("the live line counts a client's work, and SIGINT leaves nothing running", async (t) => {
  const folder = makeTempDir(t);
  const live = await startLive(t, "--data-dir", folder, "--port", "0");
  const text = live.lines.join("\n");
  for (const tool of ["nbd-client", "nbdinfo", "nbdcopy", "nbdsh", "qemu-img", "fio"]) {
    ok(text.includes(`${tool} `), tool);
  }
  const client = await NbdRawClient.open(live.diskUri);
  strictEqual(client.sizeBytes, 2 ** 30);
  await client.write(0, Buffer.alloc(4096, 1));
  process.kill(live.pid, "SIGINT");
  strictEqual(await live.exited, 0);
  strictEqual(isAlive(live.enginePid), false);
  strictEqual(statSync(join(folder, "disk.img")).size, 2 ** 30);
});

test("the disk keeps its data over a restart", async (t) => {
  const folder = makeTempDir(t);
  const block = Buffer.alloc(4096, 0x5a);
  for (const isFirst of [true, false]) {
    const live = await startLive(t, "--data-dir", folder, "--port", "0");
    const client = await NbdRawClient.open(live.diskUri);
    if (isFirst) await client.write(1 << 20, block);
    else ok(block.equals(await client.read(1 << 20, block.length)));
    await client.disconnect();
    process.kill(live.pid, "SIGTERM");
    strictEqual(await live.exited, 0);
  }
});

test("the engine goes when its starter is killed", async (t) => {
  const folder = makeTempDir(t);
  const live = await startLive(t, "--data-dir", folder, "--port", "0");
  process.kill(live.pid, "SIGKILL");
  ok(await isGone(live.enginePid));
  ok(existsSync(join(folder, "disk.img")));
});
