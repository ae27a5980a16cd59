// Tests of a whole engine in this process, by its RPC: every protocol, wrong fields, stored pipes,
// retries, one engine per folder, what a stop leaves.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { type EngineAddress, parseEngineAddress } from "../api/engine-address.ts";
import { EngineService, PipeService, PipeState } from "../api/penstock/engine/v1/engine_pb.ts";
import { RemoteError } from "../api/remote-error.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Engine } from "./engine.ts";

const MEMORY = "malloc:///m?size=1MiB";
const SHARE = "nbd://127.0.0.1:0";

interface Rig {
  readonly engine: Engine;
  readonly dataDir: string;
  readonly address: EngineAddress;
  ask<T>(call: (client: EngineClient) => Promise<T>): Promise<T>;
}

async function startEngine(
  t: TestContext,
  dataDir = makeTempDir(t),
  listen: readonly string[] = [`unix:${join(dataDir, "engine.sock")}`],
): Promise<Rig> {
  const bugs: string[] = [];
  const engine = await Engine.start({
    version: "0.0.0",
    dataDir,
    listen: listen.map(parseEngineAddress),
    level: "portable",
    reactors: 1,
    placement: "together",
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
    onBug: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    await engine.close();
    deepStrictEqual(bugs, []);
  });
  const address = parseEngineAddress(engine.listen[0] ?? "");
  return { engine, dataDir, address, ask: (call) => askEngine(address, call) };
}

/** Polls, as a client would; the test's own time limit ends it. */
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(10);
  }
}

async function stateOf({ ask }: Rig, name: string): Promise<PipeState | undefined> {
  const { pipes } = await ask(({ pipes }) => pipes.listPipes({}));
  return pipes.find((pipe) => pipe.name === name)?.state;
}

test("an engine opens, lists, changes and deletes pipes; the next one has them", async (t) => {
  const rig = await startEngine(t);
  const { pipe } = await rig.ask(({ pipes }) =>
    pipes.createPipe({ name: "a", text: `${MEMORY}|${SHARE}/a` }),
  );
  strictEqual(pipe?.state, PipeState.READY);
  strictEqual(pipe.text, `${MEMORY} | ${SHARE}/a`);
  match(pipe.uri, /^nbd:\/\/127\.0\.0\.1:[1-9]\d*\/a$/);
  await rig.ask(({ pipes }) => pipes.createPipe({ name: "b", text: `${MEMORY} | ${SHARE}/b` }));

  const inserted = await rig.ask(({ pipes }) =>
    pipes.insertStage({ pipe: "a", text: "limit#gold?iops=500", above: "1", timeoutMs: 1000 }),
  );
  const text = `${MEMORY} | limit#gold?iops=500 | ${SHARE}/a`;
  strictEqual(inserted.tree?.pipe?.text, text);
  deepStrictEqual(
    inserted.tree.stages.map(({ id, place, kind, sizeBytes }) => [id, place, kind, sizeBytes]),
    [
      ["1", "1", "malloc", 1_048_576n],
      ["gold", "2", "limit", 1_048_576n],
    ],
  );
  strictEqual(inserted.tree.shareText, `${SHARE}/a`);
  await rig.ask(({ pipes }) =>
    pipes.changeStage({ pipe: "a", stage: "gold", text: "limit?iops=9" }),
  );
  await rig.ask(({ pipes }) => pipes.deletePipe({ name: "b" }));
  deepStrictEqual(await rig.engine.close(), []);
  strictEqual(existsSync(join(rig.dataDir, "engine.sock")), false);

  const next = await startEngine(t, rig.dataDir);
  await until(async () => ((await stateOf(next, "a")) === PipeState.READY ? true : undefined));
  const { pipes } = await next.ask((client) => client.pipes.listPipes({}));
  deepStrictEqual(
    pipes.map((each) => [each.name, each.text]),
    [["a", `${MEMORY} | limit#gold?iops=9 | ${SHARE}/a`]],
  );
  const { tree } = await next.ask((client) =>
    client.pipes.removeStage({ pipe: "a", stage: "gold" }),
  );
  strictEqual(tree?.pipe?.text, `${MEMORY} | ${SHARE}/a`);
});

test("a pipe that cannot be opened is listed with its reason, and tried again", async (t) => {
  const folder = makeTempDir(t);
  const rig = await startEngine(t);
  const disk = join(folder, "disk.img");
  const create = (name: string, text: string): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.createPipe({ name, text }));
  await rejects(create("bad", `${disk} | ${SHARE}/bad`), { code: "not-found" });
  strictEqual(await stateOf(rig, "bad"), undefined);
  deepStrictEqual(readdirSync(join(rig.dataDir, "pipes")), []);

  writeFileSync(disk, Buffer.alloc(8192));
  await create("disk", `${disk} | ${SHARE}/disk`);
  await create("other", `${MEMORY} | ${SHARE}/other`);
  await rig.engine.close();
  const hidden = `${disk}.hidden`;
  mkdirSync(hidden);
  // A torn file beside the good ones, and a disk that is away.
  writeFileSync(join(rig.dataDir, "pipes", "torn.pipe"), "penstock-pipe 1 100 0123");
  renameSync(disk, join(hidden, "disk.img"));
  const next = await startEngine(t, rig.dataDir);
  await until(async () => ((await stateOf(next, "other")) === PipeState.READY ? true : undefined));
  // Now and then it is tried again, and is not failed meanwhile.
  const pipes = await until(async () => {
    const listed = await next.ask((client) => client.pipes.listPipes({}));
    const disk = listed.pipes.find(({ name }) => name === "disk");
    return disk?.state === PipeState.FAILED ? listed.pipes : undefined;
  });
  const byName = new Map(pipes.map((pipe) => [pipe.name, pipe]));
  strictEqual(byName.get("disk")?.failure?.code, "not-found");
  ok(byName.get("disk")?.retryTime !== undefined);
  strictEqual(byName.get("torn")?.failure?.code, "store-damaged");
  strictEqual(byName.get("torn")?.retryTime, undefined);
  const insertion = { pipe: "disk", text: "limit?iops=5" };
  const refused = await until(async () => {
    const inserting = next.ask((client) => client.pipes.insertStage(insertion));
    const thrown: unknown = await inserting.catch((error: unknown) => error);
    return /is opening/.test(String(thrown)) ? undefined : thrown;
  });
  ok(refused instanceof RemoteError, String(refused));
  strictEqual(refused.code, "pipe-not-ready");
  match(refused.message, /pipe "disk" is failed \(not-found: /);
  renameSync(join(hidden, "disk.img"), disk);
  await until(async () => ((await stateOf(next, "disk")) === PipeState.READY ? true : undefined));
  await next.ask((client) => client.pipes.deletePipe({ name: "torn" }));
  deepStrictEqual(readdirSync(join(rig.dataDir, "pipes")).sort(), ["disk.pipe", "other.pipe"]);
});

test("calls that come together are done one after the other, each whole", async (t) => {
  const rig = await startEngine(t);
  const create = (): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.createPipe({ name: "a", text: `${MEMORY} | ${SHARE}/a` }));
  const created = await Promise.allSettled([create(), create(), create()]);
  deepStrictEqual(
    created.map((each) => (each.status === "fulfilled" ? "ok" : each.reason.code)).sort(),
    ["ok", "pipe-exists", "pipe-exists"],
  );
  const labels = Array.from({ length: 8 }, (_, index) => `l${index}`);
  const insert = (label: string): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.insertStage({ pipe: "a", text: `limit#${label}?iops=500` }));
  await Promise.all(labels.map(insert));
  await rejects(insert("l0"), { code: "label-taken" });
  const remove = (stage: string): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.removeStage({ pipe: "a", stage }));
  const mixed = [...labels.map(remove), rig.ask(({ pipes }) => pipes.deletePipe({ name: "a" }))];
  const outcomes = await Promise.allSettled(mixed);
  strictEqual(outcomes.at(-1)?.status, "fulfilled");
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") strictEqual(outcome.reason.code, "pipe-not-found");
  }
  deepStrictEqual((await rig.ask(({ pipes }) => pipes.listPipes({}))).pipes, []);
});

test("a tapped pipe stays while it is tapped, and both are back in the next engine", async (t) => {
  const rig = await startEngine(t);
  const create = (name: string, source: string): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.createPipe({ name, text: `${source} | ${SHARE}/${name}` }));
  // By name and by age the tap comes first.
  await rejects(create("a-tap", "tap:///raw"), { code: "stage-not-found" });
  await create("tapped", "malloc:///m#raw?size=1MiB");
  await create("a-tap", "tap:///raw");
  await rejects(
    rig.ask(({ pipes }) => pipes.deletePipe({ name: "tapped" })),
    { code: "stage-tapped" },
  );
  strictEqual(await stateOf(rig, "tapped"), PipeState.READY);
  await rig.engine.close();
  const next = await startEngine(t, rig.dataDir);
  for (const name of ["tapped", "a-tap"]) {
    await until(async () => ((await stateOf(next, name)) === PipeState.READY ? true : undefined));
  }
  await next.ask(({ pipes }) => pipes.deletePipe({ name: "a-tap" }));
  await next.ask(({ pipes }) => pipes.deletePipe({ name: "tapped" }));
  deepStrictEqual((await next.ask(({ pipes }) => pipes.listPipes({}))).pipes, []);
});

test("every call with a missing or an oversize field names it", async (t) => {
  const rig = await startEngine(t);
  const valid: Readonly<Record<string, string>> = { text: `${MEMORY} | ${SHARE}/a` };
  let checked = 0;
  for (const method of PipeService.methods) {
    const fields = method.input.fields.filter((field) => field.scalar === 9);
    for (const { name: field } of fields) {
      for (const [value, code] of [
        ["", "field-missing"],
        ["x".repeat(70_000), "field-too-long"],
      ] as const) {
        const body = Object.fromEntries(fields.map(({ name }) => [name, valid[name] ?? "a"]));
        const answer = await post(rig.address, `PipeService/${method.name}`, {
          ...body,
          [field]: value,
        });
        strictEqual(answer.status, 400, `${method.name} ${field}: ${answer.text}`);
        const { code: rpcCode, message, details } = JSON.parse(answer.text);
        strictEqual(rpcCode, "invalid_argument");
        match(message, new RegExp(`^${field}: found `));
        strictEqual(details[0].debug.code, code);
        strictEqual(details[0].debug.field, field);
        checked += 1;
      }
    }
  }
  strictEqual(checked, 26);
});

test("wrong values, unknown fields and wrong texts are refused where they are", async (t) => {
  const rig = await startEngine(t);
  await rig.ask(({ pipes }) => pipes.createPipe({ name: "a", text: `${MEMORY} | ${SHARE}/a` }));
  const refused: readonly (readonly [string, object, number, RegExp])[] = [
    ["PipeService/GetPipe", { name: "A" }, 400, /name: found \\"A\\"/],
    ["PipeService/GetPipe", { nam: "a" }, 400, /key \\"nam\\" is unknown/],
    ["PipeService/GetPipe", { name: 5 }, 400, /name/],
    ["PipeService/GetPipe", { name: "b" }, 404, /there is no pipe \\"b\\"/],
    ["PipeService/CreatePipe", { name: "a", text: `${MEMORY} | ${SHARE}/b` }, 409, /already/],
    ["PipeService/CreatePipe", { name: "b", text: "malloc:///m" }, 400, /missing-share/],
    ["PipeService/CreatePipe", { name: "b", text: `nul:///m | ${SHARE}/b` }, 400, /unknown-scheme/],
    ["PipeService/InsertStage", { pipe: "a", text: "limit?iops=x" }, 400, /integer-invalid/],
    ["PipeService/InsertStage", { pipe: "a", text: "limit | limit" }, 400, /not-one-stage/],
    [
      "PipeService/InsertStage",
      { pipe: "a", text: "limit?iops=5", timeoutMs: 0 },
      400,
      /timeout_ms/,
    ],
    [
      "PipeService/InsertStage",
      { pipe: "a", text: "limit?iops=5", above: "9" },
      404,
      /stage-not-found/,
    ],
    ["PipeService/InsertStage", { pipe: "a", text: "slice?length=4KiB" }, 400, /stage-fixed/],
    ["PipeService/RemoveStage", { pipe: "a", stage: "1" }, 400, /stage-fixed/],
    [
      "PipeService/ChangeStage",
      { pipe: "a", stage: "1", text: "limit?iops=5" },
      400,
      /stage-mismatch/,
    ],
    ["PipeService/Nothing", {}, 404, /^/],
  ];
  for (const [path, body, status, words] of refused) {
    const answer = await post(rig.address, path, body);
    strictEqual(answer.status, status, `${path} ${JSON.stringify(body)}: ${answer.text}`);
    match(answer.text, words);
  }
  const huge = await post(rig.address, "PipeService/GetPipe", { name: "x".repeat(300_000) });
  strictEqual(JSON.parse(huge.text).code, "resource_exhausted");
  const { pipes } = await rig.ask((client) => client.pipes.listPipes({}));
  deepStrictEqual(
    pipes.map(({ name, text }) => [name, text]),
    [["a", `${MEMORY} | ${SHARE}/a`]],
  );
});

test("an error of a pipe's text points at the character", async (t) => {
  const rig = await startEngine(t);
  const text = `${MEMORY} | limi?iops=5 | ${SHARE}/a`;
  const failure = await rig
    .ask(({ pipes }) => pipes.createPipe({ name: "a", text }))
    .catch((thrown: unknown) => thrown);
  ok(failure instanceof RemoteError);
  deepStrictEqual(
    [failure.code, failure.field, failure.isBadRequest],
    ["unknown-stage", "text", true],
  );
  deepStrictEqual(failure.excerpt, [text, `${" ".repeat(text.indexOf("limi"))}^`]);
});

test("gRPC, gRPC-Web and Connect over HTTP/1.1 and HTTP/2 share one address", async (t) => {
  const dataDir = makeTempDir(t);
  const rig = await startEngine(t, dataDir, ["127.0.0.1:0", `unix:${join(dataDir, "e.sock")}`]);
  strictEqual(rig.engine.listen.length, 2);
  const baseUrl = `http://${rig.engine.listen[0]}`;
  const transports = {
    connect1: createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    connect2: createConnectTransport({ baseUrl, httpVersion: "2" }),
    get: createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true }),
    grpc: createGrpcTransport({ baseUrl }),
    web1: createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    web2: createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const engine = createClient(EngineService, transport);
    strictEqual((await engine.getEngine({})).processId, process.pid, name);
    const pipes = createClient(PipeService, transport);
    const failure = await pipes.getPipe({ name: "none" }).catch(ConnectError.from);
    ok(failure instanceof ConnectError);
    strictEqual(failure.code, Code.NotFound, name);
    for await (const { event } of engine.watchEvents({})) ok(event !== undefined, name);
  }
});

test("a name that somebody's DNS led here is refused over TCP", async (t) => {
  const rig = await startEngine(t, makeTempDir(t), ["127.0.0.1:0"]);
  const ask = (host: string): Promise<Answer> =>
    post(rig.address, "PipeService/ListPipes", {}, { host });
  for (const host of ["127.0.0.1", "127.0.0.1:99", "localhost", "localhost:1", "[::1]:5"]) {
    strictEqual((await ask(host)).status, 200, host);
  }
  for (const host of ["evil.example", "evil.example:80", "127.0.0.1.evil.example"]) {
    strictEqual((await ask(host)).status, 421, host);
  }
});

test("an engine's socket is its owner's, and one that was left behind is replaced", async (t) => {
  const dataDir = makeTempDir(t);
  const path = join(dataDir, "engine.sock");
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const rig = await startEngine(t, dataDir);
  strictEqual(statSync(path).mode & 0o777, 0o600);
  strictEqual(process.umask(), 0);
  await rig.engine.close();
  // A live server's socket stays its own; a plain file is nobody's to remove.
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await rejects(startEngine(t, dataDir), { code: "address-in-use" });
  await new Promise((resolve) => server.close(resolve));
  writeFileSync(path, "precious");
  await rejects(startEngine(t, dataDir), { code: "address-in-use" });
  ok(existsSync(path));
});

test("a second engine on the same folder is refused and told who has it", async (t) => {
  const rig = await startEngine(t);
  const listen = ["127.0.0.1:0"];
  await rejects(startEngine(t, rig.dataDir, listen), {
    code: "data-dir-in-use",
    message: /in use by penstock engine at unix:.*engine\.sock \(process \d+\)$/,
  });
  await rig.engine.close();
  await startEngine(t, rig.dataDir, listen);
  await rejects(startEngine(t, "/proc/penstock"), { code: "data-dir-invalid" });
});

test("events are told as they happen, and a stop ends their watchers", async (t) => {
  const rig = await startEngine(t);
  await rig.ask(({ pipes }) => pipes.createPipe({ name: "a", text: `${MEMORY} | ${SHARE}/a` }));
  const codes: string[] = [];
  const reader = rig.ask(async ({ engine }) => {
    for await (const { event } of engine.watchEvents({ follow: true })) {
      codes.push(`${event?.pipe} ${event?.code}`);
    }
  });
  await until(async () => (codes.length > 0 ? true : undefined));
  await rig.ask(({ pipes }) => pipes.insertStage({ pipe: "a", text: "limit?iops=5" }));
  await rig.ask(({ pipes }) => pipes.deletePipe({ name: "a" }));
  await rig.engine.close();
  await reader;
  deepStrictEqual(codes, [
    "a pipe-created",
    "a stage-inserted",
    "a pipe-deleted",
    " engine-stopping",
  ]);
});

test("a change that could not be stored says so, and the next one stores all", async (t) => {
  const rig = await startEngine(t);
  const folder = join(rig.dataDir, "pipes");
  await rig.ask(({ pipes }) => pipes.createPipe({ name: "a", text: `${MEMORY} | ${SHARE}/a` }));
  // A folder in the place of the temporary file: root cannot write there either.
  mkdirSync(join(folder, ".a.tmp"));
  const insert = (label: string): Promise<unknown> =>
    rig.ask(({ pipes }) => pipes.insertStage({ pipe: "a", text: `limit#${label}?iops=5` }));
  await rejects(insert("one"), {
    code: "store-failed",
    message: /the pipe runs as ".*limit#one.*", but a restart may undo that: .*EISDIR/,
  });
  await rejects(
    rig
      .ask(({ pipes }) => pipes.createPipe({ name: "b", text: `${MEMORY} | ${SHARE}/b` }))
      .then(async () => {
        mkdirSync(join(folder, ".c.tmp"));
        await rig.ask(({ pipes }) =>
          pipes.createPipe({ name: "c", text: `${MEMORY} | ${SHARE}/c` }),
        );
      }),
    { code: "store-failed" },
  );
  strictEqual(await stateOf(rig, "c"), undefined);
  rmdirSync(join(folder, ".a.tmp"));
  rmdirSync(join(folder, ".c.tmp"));
  await insert("two");
  await rig.engine.close();
  const next = await startEngine(t, rig.dataDir);
  const { pipes } = await next.ask((client) => client.pipes.listPipes({}));
  match(pipes[0]?.text ?? "", /limit#one\?iops=5 \| limit#two/);
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** What curl does. */
function post(
  address: EngineAddress,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const where =
    address.kind === "unix"
      ? { socketPath: address.path }
      : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...where,
        path: `/penstock.engine.v1.${path}`,
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}
