/**
 * How an engine bears many pipes and many idle connections: makes them, lists them, watches it do
 * nothing, stops it, and measures each step. Used by a test in small and by `bench/scale.ts`.
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEngineAddress } from "../api/engine-address.ts";
import { askEngine, type EngineClient } from "../api/engine-client.ts";
import { PipeState } from "../api/penstock/engine/v1/engine_pb.ts";
import type { TestScope } from "./cleanup.ts";
import type { Level } from "./levels.ts";
import { NbdRawClient } from "./nbd-raw-client.ts";
import { type PenstockProcess, startEngine } from "./penstock-process.ts";
import { processorMs, residentBytes } from "./process-usage.ts";
import { makeTempDir } from "./temp-dir.ts";

export interface ScaleOptions {
  readonly pipes: number;
  readonly connections: number;
  readonly level: Level;
  /** How long it is watched doing nothing. */
  readonly idleMs: number;
}

export interface ScaleFigures {
  readonly createMs: number;
  readonly listMs: number;
  readonly statsMs: number;
  readonly bytesPerPipe: number;
  readonly bytesPerConnection: number;
  /** Of one core. */
  readonly idleShare: number;
  /** Until all that was stored serves again. */
  readonly restartMs: number;
  readonly stopMs: number;
}

const AT_ONCE = 16;
const SETTLE_MS = 2000;
const IDLE_WINDOWS_MAX = 3;
/** Below it, one window is enough. */
const QUIET_SHARE = 0.01;
const BLOCK_BYTES = 4096;

export async function measureScale(t: TestScope, options: ScaleOptions): Promise<ScaleFigures> {
  const { pipes, connections, level, idleMs } = options;
  const dataDir = makeTempDir(t);
  // Without a supervisor: one process to measure.
  const args = ["--no-supervisor"];
  const engine = await startEngine(t, dataDir, { level, args });
  const ask = <T>(call: (client: EngineClient) => Promise<T>): Promise<T> =>
    askEngine(parseEngineAddress(engine.uri), call);
  const make = async (index: number): Promise<string> => {
    const source = `${join(dataDir, `${index}.img`)}?size=1MiB`;
    const text = `${source} | limit | ${shareText(dataDir, index)}`;
    const { pipe } = await ask((client) => client.pipes.createPipe({ name: `vol${index}`, text }));
    return pipe?.uri ?? "";
  };
  // The first brings what all share: code, the listener, buffers.
  const uris = [await make(0)];
  await useOnce(uris[0] ?? "");
  const before = await settledBytes(engine);
  const createMs = await timed(async () => {
    uris.push(...(await inParallel(pipes - 1, (index) => make(index + 1))));
  });
  const withPipes = await settledBytes(engine);
  const listMs = await timed(async () => {
    const listed = await ask((client) => client.pipes.listPipes({}));
    strictEqual(listed.pipes.length, pipes);
    ok(listed.pipes.every(({ state }) => state === PipeState.READY));
  });
  const statsMs = await timed(async () => {
    const stats = await ask((client) => client.engine.getStats({}));
    strictEqual(stats.pipes.length, pipes);
  });

  const beforeClients = await settledBytes(engine);
  const clients = await inParallel(connections, (index) => {
    return NbdRawClient.open(uris[index % uris.length] ?? "");
  });
  const withClients = await settledBytes(engine);
  const idleShare = await idleShareOf(engine, idleMs);
  for (const client of clients) strictEqual(client.failure, undefined);
  await clients[0]?.read(0, BLOCK_BYTES);
  for (const client of clients) client.raw.destroy();
  const stopMs = await timed(async () => {
    deepStrictEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
  });
  const restartMs = await timed(() => restart(t, dataDir, options));
  return {
    createMs,
    listMs,
    statsMs,
    bytesPerPipe: (withPipes - before) / Math.max(pipes - 1, 1),
    bytesPerConnection: (withClients - beforeClients) / connections,
    idleShare,
    stopMs,
    restartMs,
  };
}

/** All on one socket, which knows them by name. */
function shareText(dataDir: string, index: number): string {
  return `nbd+unix:///vol${index}?socket=${join(dataDir, "nbd.sock")}`;
}

async function restart(t: TestScope, dataDir: string, options: ScaleOptions): Promise<void> {
  const { level, pipes } = options;
  const engine = await startEngine(t, dataDir, { level, args: ["--no-supervisor"] });
  const address = parseEngineAddress(engine.uri);
  for (let ready = 0; ready < pipes; ) {
    ready = (await askEngine(address, (client) => client.engine.getEngine({}))).pipesReady;
    await sleep(10);
  }
  await engine.stop();
}

async function useOnce(uri: string): Promise<void> {
  const client = await NbdRawClient.open(uri);
  await client.write(0, Buffer.alloc(BLOCK_BYTES, 1));
  await client.read(0, BLOCK_BYTES);
  await client.disconnect();
}

/** Memory once it has had the time to give some back. */
async function settledBytes({ pid }: PenstockProcess): Promise<number> {
  await sleep(SETTLE_MS);
  return residentBytes(pid);
}

/** Of the quietest window: collecting garbage once is not being busy. */
async function idleShareOf({ pid }: PenstockProcess, windowMs: number): Promise<number> {
  let least = 1;
  for (let window = 0; window < IDLE_WINDOWS_MAX && least >= QUIET_SHARE; window += 1) {
    const beforeMs = processorMs(pid);
    await sleep(windowMs);
    least = Math.min(least, (processorMs(pid) - beforeMs) / windowMs);
  }
  return least;
}

async function timed(step: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await step();
  return performance.now() - startMs;
}

async function inParallel<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      results[index] = await make(index);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
