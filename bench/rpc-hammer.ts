/**
 * What the data path feels of its engine's RPC: latencies of 4 KiB NBD reads at depth 1, while
 * nobody calls, while another engine of this machine is called, and while their own engine is.
 * In turns; 10,000 calls of a hammered turn come from a process of their own. Prints a table.
 *
 *   node bench/rpc-hammer.ts [ROUNDS]
 *
 * Goal: p99.9 at most twice that of a quiet turn. The turn with another engine tells what of it is
 * the machine's doing: on few cores the callers alone take them from the reads.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { getPriority, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseEngineAddress } from "../src/api/engine-address.ts";
import { askEngine } from "../src/api/engine-client.ts";
import { NbdRawClient } from "../src/testing/nbd-raw-client.ts";
import { REPOSITORY_ROOT } from "../src/testing/penstock-process.ts";

const CALLS = 10_000;
const CALLERS = 8;
const CALLERS_NICE = 10;
const READ_BYTES = 4096;
const SIZE_BYTES = 64 * 2 ** 20;
const QUIET_MS = 4000;
const WARM_UP_MS = 2000;
const ROUNDS_DEFAULT = 5;
const US_PER_MS = 1000;
const PERCENTILES = [0.5, 0.99, 0.999];

interface EngineProcess {
  readonly uri: string;
  stop(): Promise<void>;
}

async function startEngine(): Promise<EngineProcess> {
  const dataDir = mkdtempSync(join(tmpdir(), "penstock-hammer-"));
  const program = join(REPOSITORY_ROOT, "bin", "penstock");
  const args = ["engine", "--no-supervisor", "--data-dir", dataDir, "--log-level", "error"];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const uri = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(line.slice(6)));
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
    rmSync(dataDir, { recursive: true });
  };
  return { uri, stop };
}

/** The callers' process. */
async function hammer(uri: string): Promise<void> {
  const address = parseEngineAddress(uri);
  let left = CALLS;
  const caller = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const isList = left % 2 === 0;
      await askEngine(address, async ({ engine, pipes }) => {
        await (isList ? pipes.listPipes({}) : engine.getEngine({}));
      });
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

function startHammer(uri: string): Promise<unknown> {
  const args = [...process.execArgv, import.meta.filename, "hammer", uri];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  // Callers are elsewhere, mostly: the reads' own client must not wait for them.
  if (child.pid !== undefined) setPriority(child.pid, getPriority() + CALLERS_NICE);
  return new Promise((resolve) => child.once("close", resolve));
}

/** Reads one after the other until `end` settles. @returns latencies in us, ascending */
async function readUntil(client: NbdRawClient, end: Promise<unknown>): Promise<Float64Array> {
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  const latencies: number[] = [];
  for (let offset = 0; !isOver; offset = (offset + READ_BYTES) % SIZE_BYTES) {
    const startMs = performance.now();
    await client.read(offset, READ_BYTES);
    latencies.push((performance.now() - startMs) * US_PER_MS);
  }
  return Float64Array.from(latencies).sort();
}

function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return percentile(Float64Array.from(values).sort(), 0.5);
}

async function measure(rounds: number): Promise<void> {
  const [own, other] = [await startEngine(), await startEngine()];
  const text = `malloc:///m?size=${SIZE_BYTES}B | nbd://127.0.0.1:0/m`;
  const address = parseEngineAddress(own.uri);
  const { pipe } = await askEngine(address, ({ pipes }) => pipes.createPipe({ name: "m", text }));
  const client = await NbdRawClient.open(pipe?.uri ?? "");
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  await readUntil(client, sleep(WARM_UP_MS));
  const turns: Readonly<Record<string, () => Promise<unknown>>> = {
    quiet: () => sleep(QUIET_MS),
    "another engine": () => startHammer(other.uri),
    "this engine": () => startHammer(own.uri),
  };
  const rows = new Map(Object.keys(turns).map((name) => [name, [] as number[][]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, start] of Object.entries(turns)) {
      const startMs = performance.now();
      const sorted = await readUntil(client, start());
      const readsPerS = (sorted.length / (performance.now() - startMs)) * 1000;
      const row = [...PERCENTILES.map((share) => percentile(sorted, share)), readsPerS];
      rows.get(name)?.push(row);
    }
  }
  console.log(`medians of ${rounds} rounds, us      p50      p99    p99.9   reads/s`);
  for (const [name, all] of rows) {
    const medians = [0, 1, 2, 3].map((column) => median(all.map((row) => row[column] ?? 0)));
    console.log(name.padEnd(28) + medians.map((value) => value.toFixed(0).padStart(9)).join(""));
  }
  await client.disconnect();
  await own.stop();
  await other.stop();
}

const [first = "", uri = ""] = process.argv.slice(2);
if (first === "hammer") await hammer(uri);
else await measure(Number(first) || ROUNDS_DEFAULT);
