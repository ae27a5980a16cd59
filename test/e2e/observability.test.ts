// What an engine tells while it works, from outside: stats, top, metrics and events, while a client
// writes, a child faults, a stage is put in, and a pipe is gone for a while.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const BLOCK_BYTES = 4096;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const LEG = "malloc:///b?size=4MiB | fault#bad?enabled=0&write=error";
const MIRROR = `mirror(malloc:///a?size=4MiB, ${LEG})`;

interface ToldEvent {
  readonly sequence: number;
  readonly time: string;
  readonly level: string;
  readonly code: string;
  readonly pipe: string | null;
  readonly message: string;
}

interface Rig {
  readonly engine: PenstockProcess;
  readonly metricsSocket: string;
  run(...args: readonly string[]): Promise<string>;
}

async function rigOf(t: TestContext, dataDir: string, level?: Level): Promise<Rig> {
  const metricsSocket = join(dataDir, "metrics.sock");
  const args = ["--metrics", `unix:${metricsSocket}`];
  const engine = await startEngine(t, dataDir, { args, ...(level === undefined ? {} : { level }) });
  const environment = { PENSTOCK_ENGINE: engine.uri };
  const run = async (...words: readonly string[]): Promise<string> =>
    (await runCommand(PENSTOCK, words, { environment })).stdout;
  return { engine, metricsSocket, run };
}

/** `penstock events --follow -o json`, as a program reads it. */
function followEvents(t: TestContext, { engine }: Rig): AsyncIterableIterator<ToldEvent> {
  const child = spawnTracked(PENSTOCK, ["events", "--follow", "-o", "json"], {
    env: { ...process.env, PENSTOCK_ENGINE: engine.uri },
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanUp(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: async () => {
      const { value, done } = await lines.next();
      return done === true ? { value, done } : { value: JSON.parse(value) as ToldEvent };
    },
  };
}

/** The next event with that code; the test's own time limit ends it. */
async function next(events: AsyncIterableIterator<ToldEvent>, code: string): Promise<ToldEvent> {
  for (;;) {
    const { value, done } = await events.next();
    ok(done !== true, `the events ended before ${code}`);
    match(value.time, RFC_3339);
    if (value.code === code) return value;
  }
}

async function scrape(socketPath: string): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, path: "/metrics" }, resolve).once("error", reject).end();
  });
  strictEqual(response.statusCode, 200);
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}

/** Writes one block after the other until it is told to end. */
function writeOn(client: NbdRawClient): { stop(): Promise<number> } {
  let isOver = false;
  const work = (async (): Promise<number> => {
    let count = 0;
    for (; !isOver; count += 1) await client.write(0, Buffer.alloc(BLOCK_BYTES, count));
    return count;
  })();
  return {
    stop: () => {
      isOver = true;
      return work;
    },
  };
}

const levels = ["uring apart"] as const;

forEachLevel("an engine tells what its pipes do", { levels }, async (t, level) => {
  const rig = await rigOf(t, makeTempDir(t), level);
  const { run, metricsSocket } = rig;
  const events = followEvents(t, rig);
  const made = await run("pipe", "create", "vol1", `${MIRROR} | nbd://127.0.0.1:0/v`);
  strictEqual((await next(events, "pipe-created")).pipe, "vol1");
  const client = await NbdRawClient.open(made.trim().slice("ready ".length));
  const writer = writeOn(client);

  const view = JSON.parse(await run("stats", "--interval", "1s", "-o", "json"));
  const [pipe] = view.pipes;
  ok(pipe.writesPerSecond > 0 && pipe.writeBytesPerSecond === BLOCK_BYTES * pipe.writesPerSecond);
  ok(pipe.latencyMs.p50 > 0 && pipe.latencyMs.p99 >= pipe.latencyMs.p50);
  strictEqual(pipe.connections, 1);
  ok(view.reactors.some(({ load }: { load: number }) => load > 0));
  const [mirror] = pipe.stages.filter(({ kind }: { kind: string }) => kind === "mirror");
  deepStrictEqual(
    mirror.children.map(({ child, state }: Record<string, unknown>) => [child, state]),
    [
      [1, "in-sync"],
      [2, "in-sync"],
    ],
  );
  ok(mirror.children[1].writesPerSecond > 0);

  await run("pipe", "insert", "vol1", "limit#gold");
  match((await next(events, "stage-inserted")).message, /limit#gold/);
  await run("pipe", "set", "vol1", "bad", "fault?write=error");
  const fault = await next(events, "child-faulted");
  strictEqual(fault.level, "error");
  match(fault.message, /media-error/);
  const table = await run("stats", "vol1", "--interval", "50ms");
  match(table, /^STAGE +KIND +READ\/S .*\nshare +ready .*\ngold +limit .*\n1 +mirror /);
  match(table, /\n1 child 2 +faulted /);
  const page = await scrape(metricsSocket);
  match(page, /^penstock_child_in_sync\{pipe="vol1",stage="1",child="2"\} 0$/m);
  match(
    page,
    /^penstock_stage_requests_total\{pipe="vol1",stage="gold",kind="limit",op="write"\}/m,
  );
  match(
    await run("top", "--once", "--interval", "50ms"),
    /^up .* 1 of 1 pipe ready .*\nreactor 0 /,
  );
  const tables = await run("top", "--count", "3", "--interval", "20ms");
  strictEqual(tables.split("\nPIPE ").length, 4);
  match(
    await run("reactor", "list", "--interval", "20ms"),
    /^REACTOR +LOAD +SPIN .*\n0 +\d+\.\d% /,
  );

  const count = await writer.stop();
  strictEqual(client.failure, undefined);
  await client.disconnect();
  const counted = /^penstock_share_requests_total\{pipe="vol1",op="write"\} (\d+)$/m.exec(
    await scrape(metricsSocket),
  );
  strictEqual(Number(counted?.[1]), count);
  await run("pipe", "delete", "vol1");
  await next(events, "pipe-deleted");
  strictEqual((await scrape(metricsSocket)).includes("vol1"), false);
  deepStrictEqual(await rig.engine.stop(), { code: 0, signal: null }, rig.engine.stderr);
  strictEqual(existsSync(metricsSocket), false);
});

test("a pipe that fails and comes back is told of", { timeout: 120_000 }, async (t) => {
  const dataDir = makeTempDir(t);
  const disk = join(dataDir, "disk.img");
  writeFileSync(disk, Buffer.alloc(2 ** 20));
  const first = await rigOf(t, dataDir);
  await first.run("pipe", "create", "vol1", `${disk} | nbd://127.0.0.1:0/v`);
  await first.engine.stop();
  renameSync(disk, `${disk}.away`);

  const second = await rigOf(t, dataDir);
  const events = followEvents(t, second);
  const failed = await next(events, "pipe-failed");
  deepStrictEqual([failed.pipe, failed.level], ["vol1", "error"]);
  match(await scrape(second.metricsSocket), /^penstock_pipe_ready\{pipe="vol1"\} 0$/m);
  match(await second.run("stats", "--interval", "20ms"), /\nvol1 +(failed|opening) +0 /);
  renameSync(`${disk}.away`, disk);
  strictEqual((await next(events, "pipe-ready")).pipe, "vol1");
  match(await scrape(second.metricsSocket), /^penstock_pipe_ready\{pipe="vol1"\} 1$/m);
  await second.engine.stop();
});

const onTerminal = { skip: missingTools("script"), timeout: 180_000 };

test("top shows one table in place on a terminal, until q", onTerminal, async (t) => {
  const dataDir = makeTempDir(t);
  const { engine, run } = await rigOf(t, dataDir);
  await run("pipe", "create", "vol1", "null:///n?size=1MiB | nbd://127.0.0.1:0/v");
  const child = spawnTracked("script", ["-qec", `${PENSTOCK} top --interval 50ms`, "/dev/null"], {
    env: { ...process.env, PENSTOCK_ENGINE: engine.uri },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  cleanUp(t, async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let shown = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    shown += chunk.toString("utf8");
  });
  while (shown.split("q to quit").length < 3) await sleep(10);
  child.stdin?.write("q");
  deepStrictEqual(await ended, [0, null]);
  match(shown, /up \d+s {2}1 of 1 pipe ready.*\nvol1 +ready /s);
  // Home, and not another table below.
  ok(shown.split("\u001b[H").length >= 3);
  // The terminal is as it was: its own screen and its cursor are back.
  ok(shown.trimEnd().endsWith("\u001b[?25h\u001b[?1049l"), JSON.stringify(shown.slice(-60)));
});
