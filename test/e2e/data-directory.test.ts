// A data directory in every bad state: what a crash and others left in it, a full disk. The engine
// starts, serves what can be served, and tells the rest by name.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { PipeState } from "../../src/api/penstock/engine/v1/engine_pb.ts";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const SHARE = "nbd://127.0.0.1:0";
const PAGE = 4096;

function ask<T>({ uri }: PenstockProcess, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}

async function create(engine: PenstockProcess, name: string): Promise<void> {
  const text = `null:///n?size=1MiB | ${SHARE}/${name}`;
  await ask(engine, ({ pipes }) => pipes.createPipe({ name, text }));
}

/** Names and states, when none is being opened any more. */
async function settled(engine: PenstockProcess): Promise<Record<string, string>> {
  for (;;) {
    const { pipes } = await ask(engine, (client) => client.pipes.listPipes({}));
    if (pipes.some(({ state }) => state === PipeState.OPENING)) continue;
    return Object.fromEntries(
      pipes.map(({ name, failure }) => [name, failure === undefined ? "ready" : failure.code]),
    );
  }
}

async function eventCodes(engine: PenstockProcess): Promise<string[]> {
  return await ask(engine, async (client) => {
    const codes: string[] = [];
    for await (const { event } of client.engine.watchEvents({})) codes.push(event?.code ?? "");
    return codes;
  });
}

test("an engine starts on whatever a crash and others have left in its folder", async (t) => {
  const dataDir = makeTempDir(t);
  const pipes = join(dataDir, "pipes");
  const first = await startEngine(t, dataDir, { args: ["--no-supervisor"] });
  for (const name of ["a", "cut", "empty", "long", "other"]) await create(first, name);
  await first.stop("SIGKILL");

  const cut = readFileSync(join(pipes, "cut.pipe"));
  writeFileSync(join(pipes, "cut.pipe"), cut.subarray(0, cut.length - 5));
  writeFileSync(join(pipes, "empty.pipe"), "");
  truncateSync(join(pipes, "long.pipe"), 8 * 2 ** 30);
  writeFileSync(join(pipes, "other.pipe"), readFileSync(join(pipes, "a.pipe")));
  writeFileSync(join(pipes, ".a.tmp"), "penstock-pipe 1 9");
  const strangers = ["README", "UPPER.pipe", "folder.pipe", "pipe.pipe", "a.pipe~"];
  for (const name of ["README", "UPPER.pipe", "a.pipe~"]) writeFileSync(join(pipes, name), "x");
  mkdirSync(join(pipes, "folder.pipe"));
  mkdirSync(join(pipes, ".folder.tmp"));
  await runCommand("mkfifo", [join(pipes, "pipe.pipe")]);
  symlinkSync("/nowhere", join(pipes, "link.pipe"));
  writeFileSync(join(dataDir, "engine.lock"), "\0".repeat(PAGE));
  writeFileSync(join(dataDir, "notes.txt"), "mine");
  chmodSync(dataDir, 0o777);

  const second = await startEngine(t, dataDir);
  deepStrictEqual(await settled(second), {
    a: "ready",
    cut: "store-damaged",
    empty: "store-damaged",
    link: "store-damaged",
    long: "store-damaged",
    other: "store-damaged",
  });
  const codes = await eventCodes(second);
  strictEqual(codes.filter((code) => code === "store-file-ignored").length, strangers.length + 1);
  ok(codes.includes("data-dir-open"));
  ok(!existsSync(join(pipes, ".a.tmp")));
  for (const name of [...strangers, ".folder.tmp"]) ok(existsSync(join(pipes, name)), name);
  for (const name of ["cut", "empty", "link", "long", "other"]) {
    await ask(second, (client) => client.pipes.deletePipe({ name }));
  }
  strictEqual(readFileSync(join(dataDir, "notes.txt"), "utf8"), "mine");
  deepStrictEqual(await second.stop(), { code: 0, signal: null });
});

/** A file system of its own, of few pages. */
async function smallDisk(t: TestContext): Promise<string> {
  const folder = makeTempDir(t);
  const options = ["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", folder];
  await runCommand("mount", options);
  cleanUp(t, async () => {
    await runCommand("umount", ["--lazy", folder]);
  });
  return folder;
}

function fill(folder: string): string {
  const path = join(folder, "ballast");
  try {
    writeFileSync(path, Buffer.alloc(PAGE));
    for (;;) writeFileSync(path, Buffer.alloc(PAGE), { flag: "a" });
  } catch (thrown) {
    match(String(thrown), /ENOSPC/);
    return path;
  }
}

const skip = process.getuid?.() === 0 ? missingTools("mount") : "needs root to mount";

test("on a full disk nothing is half stored, and what was stored is kept", { skip }, async (t) => {
  const dataDir = await smallDisk(t);
  const stored = join(dataDir, "pipes", "a.pipe");
  const first = await startEngine(t, dataDir, { args: ["--no-supervisor"] });
  await create(first, "a");
  await create(first, "b");
  const before = readFileSync(stored);
  const ballast = fill(dataDir);
  const insert = (engine: PenstockProcess, label: string): Promise<unknown> =>
    ask(engine, ({ pipes }) => pipes.insertStage({ pipe: "a", text: `limit#${label}?iops=500` }));
  await rejects(insert(first, "one"), {
    code: "store-failed",
    message: /the pipe runs as ".*limit#one.*", but a restart may undo that: .*ENOSPC/,
  });
  await rejects(create(first, "c"), {
    code: "store-failed",
    message: /pipes cannot be used: ENOSPC/,
  });
  deepStrictEqual(await settled(first), { a: "ready", b: "ready" });
  deepStrictEqual(readFileSync(stored), before);
  deepStrictEqual(readdirSync(join(dataDir, "pipes")).sort(), ["a.pipe", "b.pipe"]);
  await first.stop("SIGKILL");

  // What the disk is full of may be all that there is: the engine starts all the same.
  fill(dataDir);
  const second = await startEngine(t, dataDir);
  deepStrictEqual(await settled(second), { a: "ready", b: "ready" });
  await ask(second, ({ pipes }) => pipes.deletePipe({ name: "b" }));
  unlinkSync(ballast);
  await insert(second, "two");
  match(readFileSync(stored, "utf8"), /null.*limit#two.*nbd/);
  deepStrictEqual(await second.stop(), { code: 0, signal: null });
});

test("an engine whose log is on a full disk serves, and stops when it is told to", async (t) => {
  const full = openSync("/dev/full", "w");
  cleanUp(t, () => closeSync(full));
  const args = ["engine", "--no-supervisor", "--data-dir", makeTempDir(t)];
  const engine = spawnTracked(PENSTOCK, args, { stdio: ["ignore", "pipe", full] });
  cleanUp(t, () => void engine.kill("SIGKILL"));
  engine.stdout?.once("data", () => engine.kill("SIGTERM"));
  strictEqual(await new Promise((resolve) => engine.once("close", resolve)), 0);
});
