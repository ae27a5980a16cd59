/**
 * How much memory a pool takes: sparse disks, volumes as large as there are, random 4 KiB writes
 * all over them. A line per step: resident memory of the process, and what it was before the pool.
 *
 *   node bench/pool-memory.ts FOLDER [--disks=N] [--disk=TiB] [--volumes=N] [--writes=N]
 *     [--cache=MiB] [--forget]
 *
 * --forget leaves out the data: disks without room for it show the same memory.
 *
 * The process is an engine's reactor without the engine: Node, the reactor, the pool. Goal: less
 * than the page cache and 100 MiB.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { benchEnvironment, makePool, RandomWrites } from "./pool-load.ts";

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const STEPS = 20;

function residentBytes(): { total: number; anonymous: number; peak: number } {
  const text = readFileSync("/proc/self/status", "utf8");
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1024;
  return { total: field("VmRSS"), anonymous: field("RssAnon"), peak: field("VmHWM") };
}

function say(what: string): void {
  const { total, anonymous, peak } = residentBytes();
  const { heapUsed, heapTotal, arrayBuffers } = process.memoryUsage();
  const parts = { resident: total, anonymous, peak, heapUsed, heapTotal, arrayBuffers };
  const texts = Object.entries(parts).map(([name, bytes]) => `${name} ${Math.round(bytes / MIB)}`);
  process.stdout.write(`${what.padEnd(16)} ${texts.join(", ")} MiB\n`);
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      disks: { type: "string", default: "2" },
      disk: { type: "string", default: "8" },
      volumes: { type: "string", default: "4" },
      writes: { type: "string", default: "10000000" },
      cache: { type: "string", default: "64" },
      forget: { type: "boolean", default: false },
    },
  });
  const folder = mkdtempSync(join(positionals[0] ?? "/tmp", "pool-memory-"));
  const clean = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("SIGINT", () => {
    clean();
    process.exit(1);
  });
  try {
    const environment = await benchEnvironment();
    say("no pool");
    const paths = Array.from({ length: Number(values.disks) }, (_, index) =>
      join(folder, `disk-${index}`),
    );
    const sizeBytes = Number(values.disk) * TIB;
    const volumes = { count: Number(values.volumes), sizeBytes: (paths.length * sizeBytes) / 4 };
    const files = { paths, sizeBytes, forgetsData: values.forget };
    const options = { cacheBytes: Number(values.cache) * MIB };
    const devices = await makePool(environment, files, volumes, options);
    say("open");
    const writes = new RandomWrites(devices, "pool memory");
    for (let step = 1; step <= STEPS; step++) {
      await writes.run(Math.round(Number(values.writes) / STEPS));
      say(`${Math.round((Number(values.writes) / STEPS) * step)} writes`);
    }
  } finally {
    clean();
  }
  process.exit();
}

await main();
