/**
 * What a client costs: `penstock bench` beside fio's NBD engine, in turn, in the same minutes,
 * against the same nbdkit; server on core 0, client on core 1. Prints a table of medians.
 *
 *   node bench/client-cost.ts [ROUNDS] [DEPTH...]
 */

import type { BenchReport } from "../src/cli/bench-view.ts";
import { PENSTOCK } from "../src/testing/penstock-process.ts";
import { runCommand } from "../src/testing/run-command.ts";
import { runFio } from "./fio.ts";
import { NBDKIT_SERVERS } from "./servers/nbdkit.ts";
import { launchServer, pinned } from "./servers/server.ts";

const SIZE_BYTES = 256 * 2 ** 20;
const BLOCK_BYTES = 4096;
const TIME_MS = 2000;
const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const ROUNDS_DEFAULT = 5;
const DEPTHS_DEFAULT = [1, 8, 32, 128];
const US_PER_SECOND = 1e6;

type Mode = "randread" | "randwrite";
const MODES: readonly Mode[] = ["randread", "randwrite"];

interface Figures {
  readonly iops: number;
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

async function fio(uri: string, rw: Mode, depth: number): Promise<Figures> {
  const { iops, cpuShare, p50Us, p99Us } = await runFio({
    uri,
    core: CLIENT_CORE,
    operation: { rw, blockBytes: BLOCK_BYTES, depth },
    sizeBytes: SIZE_BYTES,
    durationMs: TIME_MS,
  });
  return { iops, cpuUs: (cpuShare * US_PER_SECOND) / iops, p50Us, p99Us };
}

/** One connection, as fio has. */
async function penstock(uri: string, rw: Mode, depth: number): Promise<Figures> {
  const line = pinned(CLIENT_CORE, [
    ...([PENSTOCK, "bench", uri, "--rw", rw, "--bs", String(BLOCK_BYTES)] as const),
    ...["--depth", String(depth), "--connections", "1", "--time", `${TIME_MS}ms`],
    ...["--yes", "-o", "json"],
  ]);
  const { stdout } = await runCommand(line[0], line.slice(1));
  const { read, write, cpu } = JSON.parse(stdout) as BenchReport;
  const { iops, latencyUs } = rw === "randread" ? read : write;
  return {
    iops,
    cpuUs: cpu.perOperationUs ?? 0,
    p50Us: latencyUs?.p50 ?? 0,
    p99Us: latencyUs?.p99 ?? 0,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function row(name: string, figures: readonly Figures[]): Figures {
  const of = (key: keyof Figures): number => median(figures.map((each) => each[key]));
  const all = { iops: of("iops"), cpuUs: of("cpuUs"), p50Us: of("p50Us"), p99Us: of("p99Us") };
  const cells = [
    name.padEnd(28),
    `${all.iops.toFixed(0).padStart(8)} IOPS`,
    `${all.cpuUs.toFixed(2).padStart(6)} us CPU`,
    `p50 ${all.p50Us.toFixed(0).padStart(5)}`,
    `p99 ${all.p99Us.toFixed(0).padStart(6)}`,
  ];
  process.stdout.write(`${cells.join("  ")}\n`);
  return all;
}

const [rounds = ROUNDS_DEFAULT, ...depths] = process.argv.slice(2).map(Number);
const adapter = NBDKIT_SERVERS.find(({ name }) => name === "nbdkit");
if (adapter === undefined) throw new Error("the bench has no nbdkit");
const server = await launchServer(adapter, { kind: "memory", sizeBytes: SIZE_BYTES }, SERVER_CORE);
try {
  // Memory that was never written reads from one page of zeroes.
  const fill = ["--rw", "write", "--verify", "--bs", "1m", "--yes"];
  await runCommand(PENSTOCK, ["bench", server.uri, ...fill]);
  for (const depth of depths.length === 0 ? DEPTHS_DEFAULT : depths) {
    for (const rw of MODES) {
      const [theirs, ours]: [Figures[], Figures[]] = [[], []];
      for (let round = 0; round < rounds; round++) {
        theirs.push(await fio(server.uri, rw, depth));
        ours.push(await penstock(server.uri, rw, depth));
      }
      const before = row(`fio ${rw} depth ${depth}`, theirs);
      const after = row(`penstock ${rw} depth ${depth}`, ours);
      const [iops, cpu] = [after.iops / before.iops, after.cpuUs / before.cpuUs];
      process.stdout.write(`  x${iops.toFixed(2)} IOPS, x${cpu.toFixed(2)} CPU\n`);
    }
  }
} finally {
  await server.stop();
}
