// Tests of an engine's metrics: the page as a client gets it, the documented list, deleted pipes.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseEngineAddress } from "../api/engine-address.ts";
import { askEngine } from "../api/engine-client.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { Histogram } from "../util/histogram.ts";
import { snapshotOf } from "../util/histogram-snapshot.ts";
import { Engine } from "./engine.ts";
import type { EngineStats } from "./engine-stats.ts";
import { METRICS } from "./metrics-catalogue.ts";
import { LATENCY_BOUNDS_NS, metricsText } from "./metrics-text.ts";

const DOCUMENT = join(import.meta.dirname, "../../docs/operations/metrics.md");
const BLOCK_BYTES = 4096;
const MIB = 2 ** 20;
const MIRROR = "mirror(malloc:///a?size=1MiB, malloc:///b?size=1MiB)";

interface Page {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

async function get(socketPath: string, path: string, method = "GET"): Promise<Page> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, path, method }, resolve).once("error", reject).end();
  });
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, type: response.headers["content-type"], text };
}

interface Rig {
  readonly socket: string;
  readonly metricsSocket: string;
  make(name: string, text: string): Promise<string>;
  remove(name: string): Promise<void>;
  /** The pool p of 64 MiB with a replica r of 8. */
  makePool(): Promise<void>;
}

async function startRig(t: TestContext): Promise<Rig> {
  const dataDir = makeTempDir(t);
  const socket = join(dataDir, "engine.sock");
  const metricsSocket = join(dataDir, "metrics.sock");
  const address = parseEngineAddress(`unix:${socket}`);
  const bugs: string[] = [];
  const engine = await Engine.start({
    version: "1.2.3",
    dataDir,
    listen: [address],
    metrics: [parseEngineAddress(`unix:${metricsSocket}`)],
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
  return {
    socket,
    metricsSocket,
    make: async (name, text) => {
      const { pipe } = await askEngine(address, ({ pipes }) => pipes.createPipe({ name, text }));
      return pipe?.uri ?? "";
    },
    makePool: async () => {
      const pool = { name: "p", disks: ["malloc:///d?size=64MiB"], warningPercent: 50 };
      await askEngine(address, ({ pools }) => pools.createPool(pool));
      const replica = { pool: "p", name: "r", sizeBytes: BigInt(8 * MIB) };
      await askEngine(address, ({ replicas }) => replicas.createReplica(replica));
    },
    remove: async (name) => {
      await askEngine(address, ({ pipes }) => pipes.deletePipe({ name }));
    },
  };
}

/** By series, as in the text. */
function parseText(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

test("a page has what clients have done, stage by stage and child by child", async (t) => {
  const rig = await startRig(t);
  const uri = await rig.make("vol1", `${MIRROR} | limit#gold | nbd://127.0.0.1:0/v`);
  const client = await NbdRawClient.open(uri);
  await client.write(0, Buffer.alloc(BLOCK_BYTES, 1));
  await client.read(0, BLOCK_BYTES);
  await client.flush();
  const { status, type, text } = await get(rig.socket, "/metrics");
  strictEqual(status, 200);
  match(type ?? "", /^text\/plain; version=0\.0\.4/);
  const series = parseText(text);
  const stage = 'pipe="vol1",stage="gold",kind="limit"';
  const child = 'pipe="vol1",stage="1",child="2"';
  const expected: readonly (readonly [string, number])[] = [
    ['penstock_info{version="1.2.3",level="portable"}', 1],
    ['penstock_pipes{state="ready"}', 1],
    ['penstock_pipe_ready{pipe="vol1"}', 1],
    ['penstock_share_requests_total{pipe="vol1",op="write"}', 1],
    ['penstock_share_bytes_total{pipe="vol1",op="read"}', BLOCK_BYTES],
    ['penstock_share_connections{pipe="vol1"}', 1],
    ['penstock_share_latency_seconds_count{pipe="vol1",op="write"}', 1],
    ['penstock_share_latency_seconds_bucket{pipe="vol1",op="write",le="+Inf"}', 1],
    [`penstock_stage_requests_total{${stage},op="other"}`, 1],
    [`penstock_stage_bytes_total{${stage},op="write"}`, BLOCK_BYTES],
    [`penstock_stage_latency_seconds_count{${stage}}`, 1],
    [`penstock_child_in_sync{${child}}`, 1],
    [`penstock_child_requests_total{${child},op="write"}`, 1],
    ['penstock_reactor_connections{reactor="0"}', 1],
    ['penstock_reactor_connections_accepted_total{reactor="0"}', 1],
  ];
  for (const [name, value] of expected) strictEqual(series.get(name), value, name);
  ok((series.get('penstock_reactor_cpu_seconds_total{reactor="0"}') ?? 0) > 0);
  await client.disconnect();

  await rig.remove("vol1");
  const after = await get(rig.socket, "/metrics");
  strictEqual(after.text.includes("vol1"), false);
  match(after.text, /^penstock_pipes\{state="ready"\} 0$/m);
});

test("a page has what pools and replicas have and hold", async (t) => {
  const rig = await startRig(t);
  await rig.makePool();
  const uri = await rig.make("vol1", "lvol:///p/r | nbd://127.0.0.1:0/v");
  const client = await NbdRawClient.open(uri);
  await client.write(0, Buffer.alloc(MIB, 1));
  await client.flush();
  await client.disconnect();
  const series = parseText((await get(rig.socket, "/metrics")).text);
  const expected: readonly (readonly [string, number])[] = [
    ['penstock_pools{state="online"}', 1],
    ['penstock_pools{state="failed"}', 0],
    ['penstock_pool_online{pool="p"}', 1],
    ['penstock_pool_capacity_bytes{pool="p"}', 61 * MIB],
    ['penstock_pool_used_bytes{pool="p"}', MIB],
    ['penstock_pool_reserved_bytes{pool="p"}', 7 * MIB],
    ['penstock_pool_committed_bytes{pool="p"}', 8 * MIB],
    ['penstock_pool_free_bytes{pool="p"}', 53 * MIB],
    ['penstock_pool_log_bytes{pool="p"}', MIB],
    ['penstock_pool_warning_bytes{pool="p"}', 30.5 * MIB],
    ['penstock_pool_scrub_running{pool="p"}', 0],
    ['penstock_pool_disk_size_bytes{pool="p",disk="malloc:///d?size=64MiB"}', 64 * MIB],
    ['penstock_replica_size_bytes{pool="p",replica="r"}', 8 * MIB],
    ['penstock_replica_used_bytes{pool="p",replica="r"}', MIB],
  ];
  for (const [name, value] of expected) strictEqual(series.get(name), value, name);
  ok((series.get('penstock_pool_checkpoints_total{pool="p"}') ?? 0) >= 1);
  ok((series.get('penstock_pool_log_used_bytes{pool="p"}') ?? 0) > 0);
});

test("metrics at an address of their own are there and nothing else is", async (t) => {
  const rig = await startRig(t);
  const page = await get(rig.metricsSocket, "/metrics?x=1");
  strictEqual(page.status, 200);
  match(page.text, /^# TYPE penstock_info gauge$/m);
  strictEqual((await get(rig.metricsSocket, "/metrics", "HEAD")).text, "");
  strictEqual((await get(rig.metricsSocket, "/metrics", "POST")).status, 405);
  strictEqual((await get(rig.metricsSocket, "/")).status, 404);
  const rpc = "/penstock.engine.v1.EngineService/GetEngine";
  strictEqual((await get(rig.metricsSocket, `${rpc}?encoding=json&message={}`)).status, 404);
});

test("the documented metrics are those that are exposed", async (t) => {
  const rig = await startRig(t);
  const uri = await rig.make("vol1", `${MIRROR} | limit#gold | nbd://127.0.0.1:0/v`);
  // Histograms without values are not there.
  const client = await NbdRawClient.open(uri);
  await client.write(0, Buffer.alloc(BLOCK_BYTES, 1));
  await client.flush();
  await client.disconnect();
  await rig.makePool();
  const { text } = await get(rig.socket, "/metrics");
  const exposed = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name = "", help, type]) => [name, type, labelsOf(text, name), help],
  );
  const rows = readFileSync(DOCUMENT, "utf8").matchAll(
    /^\| `(penstock_\w+)` \| (\w+) \| (.*?) \| (.*) \|$/gm,
  );
  const documented = [...rows].map(([, name, type, labels, help]) => [name, type, labels, help]);
  deepStrictEqual(documented, exposed);
  deepStrictEqual(
    METRICS.map((metric) => [metric.name, metric.labels.join(", ") || "-"]),
    exposed.map(([name, , labels]) => [name, labels]),
  );
});

/** Of the first series of a metric; a histogram's `le` is not one of its own. */
function labelsOf(text: string, name: string): string {
  const [, labels = ""] = new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? `, "m").exec(text) ?? [];
  const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label);
  return names.filter((label) => label !== "le").join(", ") || "-";
}

test("names and types follow the conventions of Prometheus", () => {
  for (const { name, type, help } of METRICS) {
    match(name, /^penstock_[a-z]+(_[a-z]+)*$/);
    strictEqual(name.endsWith("_total"), type === "counter", name);
    if (type === "histogram") ok(name.endsWith("_seconds"), name);
    ok(help.length > 0 && !help.endsWith("."), name);
  }
  strictEqual(new Set(METRICS.map(({ name }) => name)).size, METRICS.length);
});

test("a histogram's buckets are counted exactly, grow, and end in all values", async () => {
  const histogram = new Histogram({ precisionBits: 4, valueMax: 2 ** 36 - 1 });
  const values = [0, ...LATENCY_BOUNDS_NS.flatMap((bound) => [bound - 1, bound]), 2 ** 35];
  for (const value of values) histogram.record(value);
  const share = {
    reads: 0,
    writes: 0,
    others: 0,
    readBytes: 0,
    writeBytes: 0,
    latencyMsSum: 0,
    errors: 0,
    connections: 0,
  };
  const reads = snapshotOf(histogram);
  const none = snapshotOf(null);
  const stats: EngineStats = {
    timeMs: 2000,
    uptimeMs: 1000,
    cpuMs: 0,
    residentBytes: 0,
    reactors: [],
    pipes: [
      {
        name: "v",
        state: "ready",
        stats: {
          pipeId: 1,
          state: "ready",
          failure: null,
          share,
          shareLatency: { reads, writes: none, others: none },
          stages: [],
        },
      },
    ],
  };
  const text = await metricsText({ version: 'a"b\\c\nd', level: "uring", stats, pools: [] });
  match(text, /^penstock_info\{version="a\\"b\\\\c\\nd",level="uring"\} 1$/m);
  match(text, /^penstock_start_time_seconds 1$/m);
  const name = "penstock_share_latency_seconds";
  const pattern = new RegExp(`^${name}_bucket\\{pipe="v",op="read",le="(.*)"\\} (\\d+)$`, "gm");
  const buckets = [...text.matchAll(pattern)].map(([, le, count]) => [le, Number(count)]);
  deepStrictEqual(buckets, [
    ...LATENCY_BOUNDS_NS.map((bound) => [
      String(bound / 1e9),
      values.filter((value) => value < bound).length,
    ]),
    ["+Inf", values.length],
  ]);
  ok(text.includes(`${name}_count{pipe="v",op="read"} ${values.length}\n`));
  const sum = values.reduce((all, value) => all + value, 0) / 1e9;
  ok(text.includes(`${name}_sum{pipe="v",op="read"} ${sum}\n`));
});
