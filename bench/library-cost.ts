/**
 * What the promise API of the library costs, beside node:fs promises on the same file in the same
 * run, and what timers of the program around it see meanwhile.
 *
 *   node bench/library-cost.ts [FOLDER]      prints a table; the file is cached, so this is CPU
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { open, type PenstockDevice } from "../src/index.ts";

const FILE_BYTES = 64 * 2 ** 20;
const BLOCK_BYTES = 4096;
const BLOCK_COUNT = FILE_BYTES / BLOCK_BYTES;
const OPERATIONS = 60_000;
const DEPTHS = [1, 32];
/** Prime to the number of blocks: each is met, none twice in a row. */
const STRIDE = 7919;

type Operation = (buffer: Uint8Array, offset: number) => Promise<unknown>;

async function run(depth: number, buffers: Uint8Array[], operation: Operation): Promise<void> {
  const lane = async (first: number): Promise<void> => {
    const buffer = buffers[first] as Uint8Array; // one for each lane
    for (let index = first; index < OPERATIONS; index += depth) {
      await operation(buffer, ((index * STRIDE) % BLOCK_COUNT) * BLOCK_BYTES);
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, first) => lane(first)));
}

async function measure(
  name: string,
  depth: number,
  buffers: Uint8Array[],
  operation: Operation,
): Promise<void> {
  await run(depth, buffers, operation);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await run(depth, buffers, operation);
  const elapsedUs = (performance.now() - startMs) * 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  delay.disable();
  const cells = [
    name.padEnd(28),
    `depth ${String(depth).padStart(2)}`,
    `${(elapsedUs / OPERATIONS).toFixed(2).padStart(7)} us`,
    `${((user + system) / OPERATIONS).toFixed(2).padStart(7)} us CPU`,
    `timers late p50 ${(delay.percentile(50) / 1e6 - 1).toFixed(2)} ms`,
    `max ${(delay.max / 1e6 - 1).toFixed(2)} ms`,
  ];
  process.stdout.write(`${cells.join("  ")}\n`);
}

async function compare(file: FileHandle, device: PenstockDevice): Promise<void> {
  const { level } = device.info;
  for (const depth of DEPTHS) {
    const plain = Array.from({ length: depth }, () => new Uint8Array(BLOCK_BYTES));
    const aligned = Array.from({ length: depth }, () => device.allocate(BLOCK_BYTES));
    await measure("read   node:fs promises", depth, plain, (b, at) =>
      file.read(b, 0, b.length, at),
    );
    await measure(`read   ${level}`, depth, plain, (b, at) => device.readAt(b, at));
    await measure(`read   ${level}, aligned`, depth, aligned, (b, at) => device.readAt(b, at));
    await measure("write  node:fs promises", depth, plain, (b, at) =>
      file.write(b, 0, b.length, at),
    );
    await measure(`write  ${level}`, depth, plain, (b, at) => device.writeAt(b, at));
    await measure(`write  ${level}, aligned`, depth, aligned, (b, at) => device.writeAt(b, at));
    for (const buffer of aligned) buffer[Symbol.dispose]();
  }
}

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "penstock-"));
try {
  for (const level of ["uring", "portable"] as const) {
    const path = join(folder, `${level}.img`);
    writeFileSync(path, new Uint8Array(FILE_BYTES).fill(7));
    const file = await openFile(path, "r+");
    const device = await open(path, { level });
    await compare(file, device);
    await device.close();
    await file.close();
  }
} finally {
  rmSync(folder, { recursive: true });
}
