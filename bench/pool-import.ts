/**
 * What the import of a pool takes after a kill: a sparse file, many volumes, random 4 KiB writes
 * all over them by a process that SIGKILL ends; then imports, each of the same bytes (labels and
 * log are put back) by a fresh process that is killed when the pool is open.
 *
 *   node bench/pool-import.ts FOLDER [--disk=TiB] [--volumes=N] [--writes=N] [--rounds=N]
 *     [--profile]
 *
 * Prints wall time, processor time and what was replayed, of each. Goal: under 2 s.
 */

import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Pool } from "../src/pool/pool.ts";
import { assert } from "../src/util/assert.ts";
import { benchEnvironment, makePool, openFiles, RandomWrites } from "./pool-load.ts";

const MIB = 2 ** 20;
const VOLUME_BYTES = 512 * MIB;
/** Labels and the log, at the front of the disk, and labels at its back. */
const FRONT_BYTES = 65 * MIB;
const BACK_BYTES = 64 * 1024;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    disk: { type: "string", default: "1" },
    volumes: { type: "string", default: "2000" },
    writes: { type: "string", default: "2621440" },
    rounds: { type: "string", default: "7" },
    profile: { type: "boolean", default: false },
    /** What a child does. */
    child: { type: "string" },
  },
});
const sizeBytes = Number(values.disk) * MIB * MIB;

async function fill(path: string): Promise<void> {
  const volumes = { count: Number(values.volumes), sizeBytes: VOLUME_BYTES };
  const environment = await benchEnvironment();
  const devices = await makePool(environment, { paths: [path], sizeBytes }, volumes);
  process.stdout.write(`${volumes.count} volumes made\n`);
  const startedMs = performance.now();
  const writes = Number(values.writes);
  await new RandomWrites(devices, "pool import").run(writes);
  const perSecond = Math.round((writes / (performance.now() - startedMs)) * 1000);
  process.stdout.write(`${writes} writes, ${perSecond} a second\n`);
  process.kill(process.pid, "SIGKILL");
}

async function importOnce(path: string): Promise<void> {
  const environment = await benchEnvironment();
  const devices = await openFiles(environment, { paths: [path], sizeBytes });
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const pool = await Pool.import(environment, devices);
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(before);
  const { framesReplayed, wasClean } = pool.findings;
  assert(!wasClean && pool.volumes().length > 0, "it is the pool that was killed");
  process.stdout.write(
    `import ${wallMs.toFixed(0)} ms, user ${(user / 1000).toFixed(0)} ms, ` +
      `system ${(system / 1000).toFixed(0)} ms, ${framesReplayed} frames, ` +
      `${(pool.info.usedBytes / MIB).toFixed(0)} MiB used\n`,
  );
  // A profile is written by a process that ends itself.
  if (values.profile) process.exit();
  process.kill(process.pid, "SIGKILL");
}

/** Runs this program as a child. @returns what it printed */
function child(what: string, path: string, flags: readonly string[] = []): string {
  const options = ["disk", "volumes", "writes"] as const;
  const passed = options.map((name) => `--${name}=${values[name]}`);
  if (values.profile) passed.push("--profile");
  const args = [...process.execArgv, ...flags, import.meta.filename, path, `--child=${what}`];
  const { stdout } = spawnSync(process.execPath, [...args, ...passed], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  assert(stdout.length > 0, "a child says what it has done");
  process.stdout.write(stdout);
  return stdout;
}

interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

function savePieces(path: string): Piece[] {
  const file = openSync(path, "r");
  const pieces = [
    { at: 0, bytes: new Uint8Array(FRONT_BYTES) },
    { at: statSync(path).size - BACK_BYTES, bytes: new Uint8Array(BACK_BYTES) },
  ];
  for (const { at, bytes } of pieces) readSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
  return pieces;
}

function putBack(path: string, pieces: readonly Piece[]): void {
  const file = openSync(path, "r+");
  for (const { at, bytes } of pieces) writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

function main(): void {
  const folder = mkdtempSync(join(positionals[0] ?? "/tmp", "pool-import-"));
  const path = join(folder, "disk");
  try {
    child("fill", path);
    const times: number[] = [];
    const pieces = savePieces(path);
    for (let round = 0; round < Number(values.rounds); round++) {
      if (round > 0) putBack(path, pieces);
      const flags = values.profile ? ["--cpu-prof", "--cpu-prof-dir=."] : [];
      times.push(Number(/import (\d+) ms/.exec(child("import", path, flags))?.[1]));
    }
    const sorted = times.toSorted((a, b) => a - b);
    process.stdout.write(
      `first (with what the killed process had not synced) ${times[0]} ms, ` +
        `best ${sorted[0]} ms, median ${sorted[sorted.length >> 1]} ms\n`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [path = ""] = positionals;
if (values.child === "fill") await fill(path);
else if (values.child === "import") await importOnce(path);
else main();
