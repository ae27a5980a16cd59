// `npm start` from outside: the check, the demonstration, the live view, ports, and that nothing
// runs on afterwards.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, REPOSITORY_ROOT } from "../../src/testing/penstock-process.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const START = join(REPOSITORY_ROOT, "src/bin/start.ts");
const FLAGS = ["--disable-warning=ExperimentalWarning", START];
/** As `npm start` has it: six processes share what Node has made of our TypeScript. */
const CACHE = join(REPOSITORY_ROOT, "node_modules/.cache/penstock/compiled");
const ENVIRONMENT = { NODE_COMPILE_CACHE: CACHE };
const EXIT_MS_MAX = 60_000;

function start(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(process.execPath, [...FLAGS, ...args], {
    exitCode: "any",
    environment: ENVIRONMENT,
  });
}

interface Live {
  readonly pid: number;
  /** engine-1 to engine-4. */
  readonly enginePids: readonly number[];
  /** Of the mirror, over NBD and over NVMe/TCP. */
  readonly diskUri: string;
  readonly nvmeUri: string;
  readonly lines: readonly string[];
  readonly exited: Promise<number | null>;
  /** Waits for a line, those that are there already included. */
  line(what: RegExp): Promise<string>;
}

/** Starts it for good, and waits for the first live block. */
async function startLive(t: TestContext, ...args: readonly string[]): Promise<Live> {
  const child = spawnTracked(process.execPath, [...FLAGS, "--nvme-port", "0", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...ENVIRONMENT },
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  cleanUp(t, () => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const { stdout } = child;
  ok(stdout !== null);
  const reader = createInterface({ input: stdout });
  reader.on("line", (line) => lines.push(line));
  const line = async (what: RegExp): Promise<string> => {
    const isThere = (): string | undefined => lines.find((each) => what.test(each));
    let isOver = false;
    void exited.then(() => {
      isOver = true;
    });
    for (let found = isThere(); ; found = isThere()) {
      if (found !== undefined) return found;
      ok(!isOver, `no ${what} in: ${lines.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await line(/^mirror: /);
  const enginePids: number[] = [];
  const diskUri = (await line(/^and the same over NBD: /)).replace(/.*: /, "");
  let nvmeUri = "";
  for (const text of lines) {
    const engine = /^engine-\d, process (\d+), shares a (file|mirror of the three): (\S+)$/.exec(
      text,
    );
    if (engine === null) continue;
    enginePids.push(Number(engine[1]));
    nvmeUri = engine[3] ?? "";
  }
  strictEqual(enginePids.length, 4, lines.join("\n"));
  return { pid: child.pid ?? 0, enginePids, diskUri, nvmeUri, lines, exited, line };
}

function byteAt(path: string, offset: number): number | undefined {
  const file = openSync(path, "r");
  const bytes = new Uint8Array(1);
  readSync(file, bytes, 0, 1, offset);
  closeSync(file);
  return bytes[0];
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

test("the check passes twice at a time, though the default port is busy", async (t) => {
  await occupy(t, 10_809);
  const folder = join(makeTempDir(t), "new", "folder");
  const results = await Promise.all(
    ["uring", "portable"].map((io) => start("--check", "--data-dir", folder, "--io", io)),
  );
  for (const { exitCode, stdout, stderr } of results) {
    strictEqual(exitCode, 0, stderr + stdout);
    match(stdout, /^Port 10809 is busy: taking another one\.$/m);
    match(stdout, /^Verified \d+MiB .*every byte right\.$/m);
    match(stdout, /^kill -9 of engine-2, process \d+, after \d+ writes/m);
    match(stdout, /^The mirror shows engine-2 as faulted: \S+ (write|read|flush)/m);
    match(stdout, /^Nothing was lost: \d+ writes, none failed; .* \(\S+ compared\)\.$/m);
    match(stdout, /^check passed: 4 engines, .* 0 lost\.$/m);
  }
  deepStrictEqual(readdirSync(folder), []);
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
    [["--demo", "now"], 2, /^penstock: excess-arguments: [^\n]*\n$/],
  ];
  for (const [args, exitCode, words] of cases) {
    const result = await start(...args);
    strictEqual(result.exitCode, exitCode, args.join(" "));
    match(result.stderr, words);
  }
  match((await start("--help")).stdout, /--data-dir/);
});

/** What a live block and the words before it have. */
function checkLiveView({ lines }: Live): void {
  const text = lines.join("\n");
  for (const tool of ["nvme", "nbd-client", "nbdinfo", "nbdcopy", "nbdsh", "qemu-img", "fio"]) {
    ok(text.includes(`${tool} `), tool);
  }
  match(text, /^ENGINE +PROCESS +STATE +IOPS +READ MB\/s +WRITE MB\/s +LATENCY/m);
  match(text, /^engine-1 +\d+ +serving /m);
  match(text, /^mirror: engine-1 in-sync, engine-2 in-sync, engine-3 in-sync$/m);
}

test("its commands work, a killed leg is made whole again, SIGINT leaves nothing", async (t) => {
  const folder = makeTempDir(t);
  const blocks = [0x5a, 0x5b].map((byte) => Buffer.alloc(4096, byte));
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = blocks;
  const live = await startLive(t, "--data-dir", folder, "--port", "0");
  checkLiveView(live);
  const engine = /--engine (unix:\S+)/.exec(await live.line(/pipe graph/))?.[1] ?? "";
  const drawn = await runCommand(PENSTOCK, ["pipe", "graph", "disk", "--engine", engine]);
  match(drawn.stdout, /^disk: ready\n/);
  const discovered = await runCommand(PENSTOCK, [
    "nvme",
    "discover",
    live.nvmeUri.replace(/\/nqn.*/, ""),
  ]);
  match(discovered.stdout, /^nqn\.2026-11\.io\.penstock:disk +nvm +tcp ipv4 +127\.0\.0\.1 +\d+$/m);
  const client = await NbdRawClient.open(live.diskUri);
  strictEqual(client.sizeBytes, 2 ** 30);
  await client.write(1 << 20, first);
  // The first of the legs, which would be read from.
  process.kill(live.enginePids[0] ?? 0, "SIGKILL");
  await client.write(1 << 20, second);
  await client.flush();
  const devices = await runCommand(PENSTOCK, ["device", "list", "--engine", engine]);
  match(devices.stdout, /^disk +1\.1\.1 +nvmf +faulted: \S+ write of 4096 bytes at 1048576/m);
  await client.disconnect();
  process.kill(live.pid, "SIGTERM");
  strictEqual(await live.exited, 0);

  const again = await startLive(t, "--data-dir", folder, "--port", "0");
  match(again.lines[0] ?? "", /all are copies, disk of engine-2's, scratch of engine-2's\.$/);
  const reader = await NbdRawClient.open(again.diskUri);
  for (let count = 0; count < 8; count++) {
    ok(second.equals(await reader.read(1 << 20, second.length)), `read ${count}`);
  }
  await reader.disconnect();
  process.kill(again.pid, "SIGINT");
  strictEqual(await again.exited, 0);
  deepStrictEqual(again.enginePids.filter(isAlive), []);
  for (const leg of [1, 2, 3]) {
    const path = join(folder, `disk-${leg}.img`);
    strictEqual(statSync(path).size, 2 ** 30);
    strictEqual(byteAt(path, (1 << 20) + 4095), 0x5b);
  }
});

test("a leg that was out is not copied from, though all is killed at once", async (t) => {
  const folder = makeTempDir(t);
  const live = await startLive(t, "--data-dir", folder, "--port", "0");
  const client = await NbdRawClient.open(live.diskUri);
  await client.write(0, Buffer.alloc(4096, 1));
  // The first of the legs, which would be copied from.
  process.kill(live.enginePids[0] ?? 0, "SIGKILL");
  await client.write(0, Buffer.alloc(4096, 2));
  // At the very moment of the answer.
  for (const pid of [...live.enginePids.slice(1), live.pid]) process.kill(pid, "SIGKILL");
  await live.exited;
  // Their folders are theirs until they are gone.
  for (const pid of live.enginePids) ok(await isGone(pid));
  const again = await startLive(t, "--data-dir", folder, "--port", "0");
  match(again.lines[0] ?? "", /disk of engine-2's/);
  const reader = await NbdRawClient.open(again.diskUri);
  for (let count = 0; count < 8; count++) {
    ok((await reader.read(0, 4096)).equals(Buffer.alloc(4096, 2)), `read ${count}`);
  }
  await reader.disconnect();
  // The engines go when their starter is killed, and what is left says that it did not end well.
  process.kill(again.pid, "SIGKILL");
  for (const pid of again.enginePids) ok(await isGone(pid));
  ok(existsSync(join(folder, "disk-1.img")));
  match(readFileSync(join(folder, "legs.json"), "utf8"), /"isClean":false/);
});
