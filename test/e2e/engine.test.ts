// `penstock engine` and its client commands from outside: every command while I/O runs, kill -9 and
// restart, what is refused, JSON by curl.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../../src/api/engine-address.ts";
import { askEngine } from "../../src/api/engine-client.ts";
import { spawnTracked } from "../../src/testing/child-processes.ts";
import { cleanUp } from "../../src/testing/cleanup.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { NbdRawClient } from "../../src/testing/nbd-raw-client.ts";
import { PENSTOCK, type PenstockProcess, startEngine } from "../../src/testing/penstock-process.ts";
import { missingTools } from "../../src/testing/require-tool.ts";
import { type CommandResult, runCommand } from "../../src/testing/run-command.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { VerifiedWriter } from "../../src/testing/verified-writer.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const SIZE_BYTES = 16 * MIB;
const NAME_COUNT = 50;
const WRITES_MIN = 200;
/** What is under way ends first: a flush takes what a busy disk needs. */
const PATIENT = ["--timeout", "30s"] as const;

/** replumb.test.ts changes pipes at every level. */
const MADE = { levels: ["portable"] } as const;
const BACK = { levels: ["uring apart"] } as const;

interface Rig {
  readonly engine: PenstockProcess;
  /** Runs a client command; fails unless it ends with 0. */
  run(...args: readonly string[]): Promise<string>;
  /** Runs a client command, whatever comes of it. */
  attempt(...args: readonly string[]): Promise<CommandResult>;
}

async function rigOf(
  t: TestContext,
  dataDir: string,
  level?: Level,
  args: readonly string[] = [],
): Promise<Rig> {
  const engine = await startEngine(t, dataDir, level === undefined ? { args } : { level, args });
  const environment = { PENSTOCK_ENGINE: engine.uri };
  const attempt = (...args: readonly string[]): Promise<CommandResult> =>
    runCommand(PENSTOCK, args, { exitCode: "any", environment });
  const run = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await attempt(...args);
    strictEqual(exitCode, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  return { engine, run, attempt };
}

/** Lists as programs do, until every pipe is ready; the test's own time limit ends it. */
async function allReady({ run }: Rig): Promise<readonly { name: string; text: string }[]> {
  for (;;) {
    const pipes = JSON.parse(await run("pipe", "list", "-o", "json"));
    if (pipes.every(({ state }: { state: string }) => state === "ready")) return pipes;
    await sleep(200);
  }
}

forEachLevel(
  "a pipe is made, changed while it carries I/O, and deleted",
  MADE,
  async (t, level) => {
    const dataDir = makeTempDir(t);
    const disk = join(dataDir, "disk.img");
    const { engine, run } = await rigOf(t, dataDir, level);
    const source = `${disk}?size=${SIZE_BYTES}B`;
    const uri = (await run("pipe", "create", "vol1", `${source} | nbd://127.0.0.1:0/vol1`)).trim();
    match(uri, /^ready nbd:\/\/127\.0\.0\.1:[1-9]\d*\/vol1$/);

    const client = await NbdRawClient.open(uri.slice("ready ".length));
    const prng = new Prng(testSeed(t));
    const writer = new VerifiedWriter({ lengthBytes: SIZE_BYTES, prng, depth: 16 });
    const load = writer.run(client);

    const share = "nbd://127.0.0.1:0/vol1";
    const text = (...filters: readonly string[]): string =>
      `${[`file://${source}`, ...filters, share].join(" | ")}\n`;
    strictEqual(
      await run("pipe", "insert", "vol1", "limit#gold?iops=900000", ...PATIENT),
      text("limit#gold?iops=900000"),
    );
    strictEqual(
      await run("pipe", "insert", "vol1", "delay?time=2ms", "--above", "1", ...PATIENT),
      text("delay?time=2ms", "limit#gold?iops=900000"),
    );
    strictEqual(
      await run("pipe", "set", "vol1", "gold", "limit?iops=800000"),
      text("delay?time=2ms", "limit#gold?iops=800000"),
    );
    const drawn = await run("pipe", "graph", "vol1");
    match(
      drawn,
      /^vol1: ready\nnbd:\/\/.*\n├─ 3 #gold {2}limit#gold.*\n├─ 2 +delay.*\n└─ 1 +file:/,
    );
    match(await run("pipe", "graph", "vol1", "-o", "svg"), /^<svg .*delay.*<\/svg>\n$/s);
    const shown = JSON.parse(await run("pipe", "show", "vol1", "-o", "json"));
    deepStrictEqual(
      shown.stages.map(({ id, kind, sizeBytes }: Record<string, unknown>) => [id, kind, sizeBytes]),
      [
        ["1", "file", SIZE_BYTES],
        ["2", "delay", SIZE_BYTES],
        ["gold", "limit", SIZE_BYTES],
      ],
    );
    ok(new Date(shown.createdAt).getTime() <= Date.now());
    const removed = await run("pipe", "remove", "vol1", "2", ...PATIENT);
    strictEqual(removed, text("limit#gold?iops=800000"));
    strictEqual(await run("pipe", "remove", "vol1", "gold", ...PATIENT), text());
    match(await run("pipe", "show", "vol1"), /\n1 +- +file +16MiB.* no +file:/);
    match(await run("pipe", "list"), /^NAME +STATE +URI +PIPE\nvol1 +ready +nbd:.* file:.*\n$/);
    match(await run("pipe", "list", "-o", "yaml"), /^- name: vol1\n {2}state: ready\n/);
    match(await run("engine", "show"), /^pipes +1 ready, 0 failed, 0 opening or closing$/m);

    while (writer.acknowledgedCount < WRITES_MIN) await sleep(10);
    writer.stop();
    await load;
    strictEqual(client.failure, undefined);
    await client.flush();
    await client.disconnect();
    strictEqual(await run("pipe", "delete", "vol1"), "");
    strictEqual(await run("pipe", "list", "-o", "json"), "[]\n");
    writer.check(readFileSync(disk));
    deepStrictEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
    const logged = engine.stderr.trim().split("\n");
    deepStrictEqual(
      logged.map((line) => JSON.parse(line)).filter(({ level: each }) => each !== "info"),
      [],
    );
  },
);

forEachLevel(
  "fifty pipes are back after kill -9, with all that was acknowledged",
  BACK,
  async (t, level) => {
    const dataDir = makeTempDir(t);
    const disk = join(dataDir, "disk.img");
    // supervisor.test.ts has one that is started again by its supervisor.
    const first = await rigOf(t, dataDir, level, ["--no-supervisor"]);
    const port = await freePort();
    const share = (name: string): string => `nbd://127.0.0.1:${port}/${name}`;
    const names = Array.from({ length: NAME_COUNT - 1 }, (_, index) => `memory-${index}`);
    await first.run("pipe", "create", "disk", `${disk}?size=${SIZE_BYTES}B | ${share("disk")}`);
    // By RPC: fifty processes take their time.
    await askEngine(parseEngineAddress(first.engine.uri), async ({ pipes }) => {
      for (const name of names) {
        await pipes.createPipe({ name, text: `null:///n?size=1MiB | ${share(name)}` });
      }
    });
    await first.run("pipe", "insert", "disk", "limit#gold?iops=900000");
    const before = await allReady(first);
    strictEqual(before.length, NAME_COUNT);

    const prng = new Prng(testSeed(t));
    const writer = new VerifiedWriter({ lengthBytes: SIZE_BYTES, prng, depth: 16 });
    const load = writer.run(await NbdRawClient.open(share("disk")));
    while (writer.acknowledgedCount < WRITES_MIN) await sleep(1);
    deepStrictEqual(await first.engine.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
    await load;
    // What a crash in the middle of storing a pipe leaves.
    appendFileSync(join(dataDir, "pipes", ".disk.tmp"), "penstock-pipe 1 99 00");

    const second = await rigOf(t, dataDir, level);
    const after = await allReady(second);
    const textsOf = (pipes: typeof after): unknown => pipes.map(({ name, text }) => [name, text]);
    deepStrictEqual(textsOf(after), textsOf(before));
    const client = await NbdRawClient.open(share("disk"));
    writer.check(await client.read(0, SIZE_BYTES));
    await client.disconnect();
    strictEqual(existsSync(join(dataDir, "pipes", ".disk.tmp")), false);
    await second.run("pipe", "remove", "disk", "gold");
    deepStrictEqual(await second.engine.stop("SIGINT"), { code: 0, signal: null });
  },
);

test("a fault is switched on and off by command", async (t) => {
  const dataDir = makeTempDir(t);
  const { run } = await rigOf(t, dataDir);
  const pipe = `malloc:///m?size=1MiB | fault#f?read=error&enabled=false | nbd://127.0.0.1:0/m`;
  const uri = (await run("pipe", "create", "m", pipe)).trim().slice("ready ".length);
  const client = await NbdRawClient.open(uri);
  await client.read(0, 4096);
  await run("pipe", "set", "m", "f", "fault?read=error");
  await client.read(0, 4096).then(
    () => ok(false, "a read succeeded"),
    (thrown: unknown) => match(String(thrown), /EIO|5/),
  );
  await run("pipe", "set", "m", "f", "fault?read=error&enabled=false");
  await client.read(0, 4096);
  await client.disconnect();
});

test("a change that what is under way does not let through is undone", async (t) => {
  const { run, attempt } = await rigOf(t, makeTempDir(t));
  const pipe = "malloc:///m?size=1MiB | fault#f?write=hang&count=1 | nbd://127.0.0.1:0/m";
  const uri = (await run("pipe", "create", "m", pipe)).trim().slice("ready ".length);
  const client = await NbdRawClient.open(uri);
  let isAnswered = false;
  const hung = client.write(0, Buffer.alloc(4096, 1)).then(() => {
    isAnswered = true;
  });
  await client.read(8192, 4096);
  const late = await attempt("pipe", "insert", "m", "limit?iops=5", "--timeout", "50ms");
  strictEqual(late.exitCode, 1);
  match(late.stderr, /replumb-timeout: 1 requests of fault.* did not end within 50 ms/);
  strictEqual(isAnswered, false);
  const listed = JSON.parse(await run("pipe", "list", "-o", "json"));
  strictEqual(listed[0].text, pipe);
  // Others go on as before, and whoever hangs is let go when its filter is taken out.
  await client.write(4096, Buffer.alloc(4096, 2));
  await run("pipe", "remove", "m", "f");
  await hung.catch(() => undefined);
  await run("pipe", "insert", "m", "limit?iops=5000", "--timeout", "5s");
  deepStrictEqual(await client.read(4096, 4096), Buffer.alloc(4096, 2));
  await client.disconnect();
});

test("a flush that fails at the end is told, by a delete and by a stop", async (t) => {
  const dataDir = makeTempDir(t);
  const { engine, run, attempt } = await rigOf(t, dataDir);
  const pipe = (name: string): string =>
    `${join(dataDir, name)}.img?size=1MiB | fault?flush=error | nbd://127.0.0.1:0/${name}`;
  await run("pipe", "create", "one", pipe("one"));
  await run("pipe", "create", "two", pipe("two"));
  const deleted = await attempt("pipe", "delete", "one");
  strictEqual(deleted.exitCode, 1);
  match(
    deleted.stderr,
    /^penstock: flush-failed: the last flush of fault.* failed with media-error/,
  );
  deepStrictEqual(
    JSON.parse(await run("pipe", "list", "-o", "json")).map(({ name }: { name: string }) => name),
    ["two"],
  );
  deepStrictEqual(await engine.stop(), { code: 1, signal: null });
  match(engine.stderr, /^penstock: flush-failed: the last flush of fault/m);
});

test("events are printed as they happen", async (t) => {
  const { engine, run } = await rigOf(t, makeTempDir(t));
  const follower = spawnTracked(PENSTOCK, ["events", "--follow", "-o", "json"], {
    env: { ...process.env, PENSTOCK_ENGINE: engine.uri },
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanUp(t, () => void follower.kill("SIGKILL"));
  const ended = once(follower, "close");
  ok(follower.stdout !== null);
  const codes: string[] = [];
  createInterface({ input: follower.stdout }).on("line", (line) => {
    codes.push(JSON.parse(line).code);
  });
  await run("pipe", "create", "m", "malloc:///m?size=1MiB | nbd://127.0.0.1:0/m");
  await run("pipe", "insert", "m", "limit?iops=5000");
  match(await run("events"), /^\S+Z info +pipe-created: m: malloc.*\n.* stage-inserted: m: limit/);
  match(await run("events", "-o", "yaml"), /^---\nsequence: 1\ntime: /);
  // An engine that has stopped has nothing to tell to whoever comes late.
  while (!codes.includes("stage-inserted")) await sleep(10);
  await engine.stop();
  deepStrictEqual(await ended, [0, null]);
  deepStrictEqual(codes, ["pipe-created", "stage-inserted", "engine-stopping"]);
});

test("a wrong command tells the right one, with its exit code", async (t) => {
  const dataDir = makeTempDir(t);
  const { engine, run, attempt } = await rigOf(t, dataDir);
  await run("pipe", "create", "m", "malloc:///m?size=1MiB | nbd://127.0.0.1:0/m");
  const wrong: readonly (readonly [readonly string[], number, RegExp])[] = [
    [
      ["pipe", "show", "x"],
      1,
      /^penstock: pipe-not-found: there is no pipe "x" \(`penstock pipe list` lists them\)\n$/,
    ],
    [["pipe", "create", "M", "x"], 2, /^penstock: field-invalid: name: found "M", expected a-z/],
    [["pipe", "create", "m", "null:///x?size=1MiB | nbd://[::1]:0/x"], 1, /pipe-exists: .*"m"/],
    [["pipe", "insert", "m", "limi"], 2, /did you mean "limit"\?\)\n {2}limi\n {2}\^\n$/],
    [["pipe", "insert", "m", "slice?length=4KiB"], 1, /stage-fixed: slice cannot be put into/],
    [["pipe", "remove", "m", "1"], 1, /stage-fixed: .* it is the source/],
    [["pipe", "remove", "m", "gold"], 1, /stage-not-found: .*"gold", expected one of 1\n$/],
    [["pipe", "insert", "m", "limit?iops=5", "--timeout", "2"], 2, /a unit|expected/i],
    [["pipe", "insert", "m", "limit?iops=5", "--timeout", "2h"], 2, /timeout/],
    [["pipe", "list", "-o", "xml"], 2, /table, json, yaml/],
    [["pipe", "list", "--engine", "nowhere"], 2, /engine-address-invalid: .*HOST:PORT/],
    [["engine", "--data-dir", dataDir], 1, /data-dir-in-use: .*process \d+\)\n$/],
    [["engine", "--data-dir", dataDir, "--listen", "x"], 2, /engine-address-invalid/],
  ];
  for (const [args, exitCode, message] of wrong) {
    const result = await attempt(...args);
    strictEqual(result.exitCode, exitCode, `${args.join(" ")}: ${result.stderr}`);
    match(result.stderr, message);
    strictEqual(result.stdout, "");
  }
  await engine.stop();
  const { exitCode, stderr } = await attempt("pipe", "list");
  strictEqual(exitCode, 1);
  match(stderr, /^penstock: engine-unreachable: no engine answers .*`penstock engine`/);
});

test("an engine is driven by curl", { skip: missingTools("curl") }, async (t) => {
  const dataDir = makeTempDir(t);
  const { run } = await rigOf(t, dataDir);
  await run("pipe", "create", "m", "malloc:///m?size=1MiB | nbd://127.0.0.1:0/m");
  const socket = join(dataDir, "engine.sock");
  const curl = async (...args: readonly string[]): Promise<string> =>
    (await runCommand("curl", ["-sS", "--unix-socket", socket, ...args])).stdout;
  const json = ["-H", "Content-Type: application/json"];
  const base = "http://localhost/penstock.engine.v1";
  const listed = JSON.parse(await curl(...json, "-d", "{}", `${base}.PipeService/ListPipes`));
  deepStrictEqual(
    listed.pipes.map(({ name, state }: Record<string, unknown>) => [name, state]),
    [["m", "PIPE_STATE_READY"]],
  );
  const insertion = '{"pipe": "m", "text": "limit?iops=5000", "timeoutMs": 500}';
  const changed = JSON.parse(
    await curl(...json, "-d", insertion, `${base}.PipeService/InsertStage`),
  );
  match(changed.tree?.pipe.text ?? JSON.stringify(changed), /limit\?iops=5000/);
  const query = "GetEngine?connect=v1&encoding=json&message=%7B%7D";
  strictEqual(JSON.parse(await curl(`${base}.EngineService/${query}`)).pipesReady, 1);
  const refused = JSON.parse(
    await curl(...json, "-d", '{"pipe":"m"}', `${base}.PipeService/RemoveStage`),
  );
  deepStrictEqual(
    [refused.code, refused.message],
    ["invalid_argument", "stage: found nothing, expected a value"],
  );
});
