// `penstock engine` as supervisor and worker: the engine killed under load, the supervisor killed,
// signals and exit codes, an engine that never comes up, settings from everywhere.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine, type EngineClient } from "../../src/api/engine-client.ts";
import { PipeState } from "../../src/api/penstock/engine/v1/engine_pb.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const SIZE_BYTES = 16 * MIB;
const PIPE_COUNT = 50;
const KILLS = 3;
const WRITES_BETWEEN_KILLS = 200;
const BACK = { levels: ["uring"] } as const;

type EngineAt = Pick<PenstockProcess, "uri">;

function ask<T>({ uri }: EngineAt, call: (client: EngineClient) => Promise<T>): Promise<T> {
  return askEngine(parseEngineAddress(uri), call);
}

/** Tries until it works: what a host does. The test's own time limit ends it. */
async function eventually<T>(step: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await step();
    } catch {
      await sleep(10);
    }
  }
}

async function processIdOf(engine: EngineAt): Promise<number> {
  return (await ask(engine, (client) => client.engine.getEngine({}))).processId;
}

function isAlive(pid: number): boolean {
  try {
    // A zombie is dead, too.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

forEachLevel(
  "fifty pipes are back where they were after each kill -9, and their client goes on",
  BACK,
  async (t, level) => {
    const dataDir = makeTempDir(t);
    const engine = await startEngine(t, dataDir, { level });
    // The disk's port is any that is free. The others share one that nobody gets by chance while
    // the engine is down.
    const port = await freePort();
    const uris = await ask(engine, async ({ pipes }) => {
      const disk = `${join(dataDir, "disk.img")}?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/disk`;
      const first = await pipes.createPipe({ name: "disk", text: disk });
      const found = [first.pipe?.uri ?? ""];
      for (let index = 1; index < PIPE_COUNT; index += 1) {
        const text = `null:///n?size=1MiB | nbd://127.0.0.1:${port}/${index}`;
        found.push((await pipes.createPipe({ name: `n${index}`, text })).pipe?.uri ?? "");
      }
      return found;
    });
    const disk = uris[0] ?? "";
    const prng = new Prng(testSeed(t));
    const writer = new VerifiedWriter({ lengthBytes: SIZE_BYTES, prng, depth: 16 });
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const client = await eventually(() => NbdRawClient.open(disk));
      // The client verifies what it was told, then goes on as one that rides the outage out.
      writer.check(await client.read(0, SIZE_BYTES));
      const load = writer.run(client);
      const before = writer.acknowledgedCount;
      while (writer.acknowledgedCount < before + WRITES_BETWEEN_KILLS) await sleep(1);
      process.kill(await processIdOf(engine), "SIGKILL");
      const killedMs = performance.now();
      await load;
      const { pipes } = await eventually(async () => {
        const listed = await ask(engine, (each) => each.pipes.listPipes({}));
        ok(listed.pipes.every(({ state }) => state === PipeState.READY));
        return listed;
      });
      t.diagnostic(`all ready ${Math.round(performance.now() - killedMs)} ms after the kill`);
      deepStrictEqual(
        pipes.map(({ uri }) => uri),
        uris,
      );
    }
    const client = await NbdRawClient.open(disk);
    writer.check(await client.read(0, SIZE_BYTES));
    await client.disconnect();
    const { stdout } = await runCommand(PENSTOCK, ["events", "--engine", engine.uri]);
    match(stdout, /warning engine-restarted: restart 3: it was ended by SIGKILL$/m);
    deepStrictEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
  },
);

test("an engine stops cleanly when its supervisor is killed, and the next one waits", async (t) => {
  const dataDir = makeTempDir(t);
  const disk = join(dataDir, "disk.img");
  // The leader of the group outlives the supervisor, or the test's own rules would end the engine.
  // A Node beneath may make a shared standard input non-blocking, and the shell would not wait.
  const script = '"$0" "$@" </dev/null; read -r line';
  const args = ["-c", script, PENSTOCK, "engine", "--data-dir", dataDir];
  const shell = spawnTracked("sh", args, { stdio: ["pipe", "ignore", "pipe"] });
  let stderr = "";
  shell.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
  });
  const uri = `unix:${join(dataDir, "engine.sock")}`;
  const workerId = await eventually(() => processIdOf({ uri }));
  const text = `${disk}?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/disk`;
  const { pipe } = await ask({ uri }, ({ pipes }) => pipes.createPipe({ name: "disk", text }));
  const client = await NbdRawClient.open(pipe?.uri ?? "");
  await client.write(0, Buffer.alloc(4096, 7));
  process.kill(parentOf(workerId), "SIGKILL");
  // Nobody waits for an engine that does not say that it stops.
  const lock = join(dataDir, "engine.lock");
  await eventually(async () => match(readFileSync(lock, "utf8"), /, stopping\)\n$/));
  const second = await startEngine(t, dataDir);
  // The folder is free a little before the process is gone.
  await eventually(async () => strictEqual(isAlive(workerId), false));
  // It may still be on its way to us.
  await eventually(async () => match(stderr, /"code":"engine-stopping"/));
  strictEqual(readFileSync(disk)[4095], 7);
  const { pipes } = await ask(second, (each) => each.pipes.listPipes({}));
  deepStrictEqual(
    pipes.map(({ name }) => name),
    ["disk"],
  );
  shell.stdin?.end();
  deepStrictEqual(await second.stop("SIGINT"), { code: 0, signal: null });
});

test("an engine's own end is its supervisor's: exit codes, and no second life", async (t) => {
  const dataDir = makeTempDir(t);
  const clean = await startEngine(t, dataDir);
  const cleanId = await processIdOf(clean);
  process.kill(cleanId, "SIGTERM");
  deepStrictEqual(await clean.exited, { code: 0, signal: null }, clean.stderr);

  const failing = await startEngine(t, dataDir);
  const text = "malloc:///m?size=1MiB | fault?flush=error | nbd://127.0.0.1:0/m";
  await ask(failing, ({ pipes }) => pipes.createPipe({ name: "m", text }));
  const failingId = await processIdOf(failing);
  deepStrictEqual(await failing.stop(), { code: 1, signal: null });
  match(failing.stderr, /^penstock: flush-failed: /m);
  strictEqual(isAlive(failingId), false);
});

test("an engine that cannot start is not tried again", async (t) => {
  const dataDir = makeTempDir(t);
  await startEngine(t, dataDir);
  const other = ["engine", "--data-dir", dataDir];
  const { exitCode, stderr } = await runCommand(PENSTOCK, other, { exitCode: "any" });
  strictEqual(exitCode, 1);
  match(stderr, /^penstock: data-dir-in-use: .*\(process \d+\)\n$/);
});

test("an engine that dies over and over is started again and can be stopped", async (t) => {
  const dataDir = makeTempDir(t);
  const engine = await startEngine(t, dataDir);
  for (let kill = 0; kill < 4; kill += 1) {
    process.kill(await eventually(() => processIdOf(engine)), "SIGKILL");
  }
  // Down, for a moment: an order to stop is kept then, too.
  const { code } = await engine.stop();
  ok(code === 0 || code === 1 || code === 130, `exit code ${code}: ${engine.stderr}`);
});

test("an idle supervisor takes no time and no wake-ups", async (t) => {
  const engine = await startEngine(t, makeTempDir(t));
  const usage = (): readonly string[] => {
    const status = readFileSync(`/proc/${engine.pid}/status`, "utf8");
    return /^voluntary_ctxt_switches:.*$/m.exec(status) ?? [];
  };
  // What the start itself leaves to do, such as its compiled code.
  let before = usage();
  for (let same = 0; same < 5; same += 1) {
    await sleep(100);
    const now = usage();
    if (now[0] !== before[0]) same = -1;
    before = now;
  }
  ok(before[0] !== undefined);
});

test("settings come from the command line, the environment, a file, in this order", async (t) => {
  const dataDir = makeTempDir(t);
  const file = join(dataDir, "engine.yaml");
  const socket = join(dataDir, "e.sock");
  writeFileSync(
    file,
    [
      `data-dir: ${dataDir}`,
      `listen: ["unix:${socket}"]`,
      "reactors: 3",
      "log-level: error",
      "",
    ].join("\n"),
  );
  const environment = { PENSTOCK_CONFIG: file, PENSTOCK_REACTORS: "2", PENSTOCK_LOG_LEVEL: "info" };
  const elsewhere = join(dataDir, "elsewhere");
  const engine = await startEngine(t, elsewhere, { args: ["--io", "uring"], environment });
  strictEqual(engine.uri, `unix:${socket}`);
  const told = await ask(engine, (client) => client.engine.getEngine({}));
  deepStrictEqual([told.reactors, told.dataDir, told.level], [2, elsewhere, "uring"]);
  strictEqual(statSync(socket).isSocket(), true);
  await engine.stop();
  match(engine.stderr, /"code":"engine-ready"/);
});
