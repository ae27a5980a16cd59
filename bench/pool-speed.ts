/**
 * What volumes of a pool are worth beside qcow2 images and a plain file: all over NBD to one fio,
 * the server on one core and fio on another, in turn, in one run. Prints a table.
 *
 *   node bench/pool-speed.ts [--dir DIR] [--rounds N] [--seconds S] [--only PATTERN] [--chunks]
 *     [--qcow2 NAME,NAME]
 *
 * Processor time of the server per operation is what counts, as neither other programs of the
 * machine nor the client's speed go into it. `unchecked`: the pool with checksums that cost
 * nothing. The images' servers keep metadata in memory (lazy reference counts, L2 tables) until a
 * flush: a kill loses writes that they have acknowledged. A pool's acknowledged writes survive it.
 *
 * Goals: fresh 4 KiB writes at least 1.5 times qcow2, into allocated volumes at least 0.75 of the
 * file, reads at least 0.85 of it. `--chunks`: the pool with each size of chunks instead.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "../src/testing/run-command.ts";
import { measureCell } from "./cell.ts";
import { runFio } from "./fio.ts";
import type { Operation } from "./scenarios.ts";
import { launchServer, type RunningServer, type ServerAdapter } from "./servers/server.ts";
import { chooseProcessorClock } from "./usage.ts";

const KIB = 1024;
const MIB = 2 ** 20;
/** Of what is written over and read. The pool's disk is twice as large, and all of it cached. */
const ALLOCATED_MIB = 512;
/** Of fresh volumes: few writes of a cell come to a cluster of qcow2 that another has allocated. */
const FRESH_MIB = 8192;
const WARM_MIB = 128;
const SERVER = join(import.meta.dirname, "servers/pool-server.ts");
const CHUNKS_KIB = [64, 256, 1024, 4096];
const CORES = { server: 0, client: 1 };

interface Contender {
  readonly name: string;
  /** Options of the image; of ours: null. */
  readonly qcow2: { readonly options: string; readonly aio: string } | null;
  /** As `pool-server.ts`. */
  readonly kind: string;
  readonly chunkKib: number;
}

interface Load extends Operation {
  readonly isFresh: boolean;
}

const LOADS: readonly Load[] = [
  load("fresh write 4k", "randwrite", 4, 32, true),
  load("write 4k", "randwrite", 4, 32),
  load("read 4k", "randread", 4, 32),
  load("fresh write 64k", "randwrite", 64, 16, true),
  load("write 64k", "randwrite", 64, 16),
  load("read 64k", "randread", 64, 16),
  load("fresh sequential write 128k", "write", 128, 8, true),
  load("sequential write 128k", "write", 128, 8),
  load("sequential read 128k", "read", 128, 8),
  load("sequential read 4k", "read", 4, 32),
];

const QCOW2: readonly Contender[] = [
  qcow2("qcow2", "cluster_size=64k", "io_uring"),
  qcow2("qcow2-threads", "cluster_size=64k", "threads"),
  qcow2("qcow2-128k", "cluster_size=128k,extended_l2=on", "io_uring"),
  qcow2("qcow2-1m", "cluster_size=1M", "io_uring"),
];

function load(name: string, rw: Load["rw"], kib: number, depth: number, isFresh = false): Load {
  return { name, rw, blockBytes: kib * KIB, depth, isFresh, limits: [] };
}

function qcow2(name: string, options: string, aio: string): Contender {
  return { name, qcow2: { options: `${options},lazy_refcounts=on`, aio }, kind: "", chunkKib: 0 };
}

function ours(name: string, kind: string, chunkKib = 0): Contender {
  return { name, qcow2: null, kind, chunkKib };
}

/** Serves a new image or pool of its own at `path`. */
async function start(
  contender: Contender,
  path: string,
  sizeMib: number,
  count = 1,
): Promise<RunningServer> {
  const image = contender.qcow2;
  if (image !== null) {
    const size = `${sizeMib}M`;
    await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", "-o", image.options, path, size]);
  }
  const diskMib = contender.kind === "file" ? sizeMib : 2 * sizeMib;
  const node = ["--disable-warning=ExperimentalWarning", SERVER, contender.kind, path];
  const sizes = [diskMib, sizeMib, contender.chunkKib, count].map(String);
  const adapter: ServerAdapter = {
    name: contender.name,
    isPenstock: image === null,
    tools: [],
    versionCommand: ["true"],
    hasMemoryDisk: false,
    command: (_backing, port) => {
      if (image === null)
        return { program: process.execPath, args: [...node, ...sizes], uri: null };
      // All of an image's L2 tables fit in.
      const how = `driver=qcow2,l2-cache-size=64M,file.driver=file,file.filename=${path}`;
      const aio = `file.aio=${image.aio},discard=unmap`;
      const local = ["--persistent", "--bind=127.0.0.1", `--port=${port}`, "--shared=8"];
      const args = [...local, "--cache=writeback", "--image-opts", `${how},${aio}`];
      return { program: "qemu-nbd", args, uri: `nbd://127.0.0.1:${port}/` };
    },
  };
  return launchServer(adapter, { kind: "file", path, sizeBytes: sizeMib * MIB }, CORES.server);
}

/** Writes all of it, and of a pool so much more that its disk has no fresh place left. */
async function fill(server: RunningServer): Promise<void> {
  const sizeBytes = ALLOCATED_MIB * MIB;
  const once = { uri: server.uri, core: CORES.client, sizeBytes, durationMs: null };
  for (const kib of [128, 128, 128]) {
    await runFio({ ...once, operation: { rw: "write", blockBytes: kib * KIB, depth: 8 } });
  }
  await runFio({ ...once, operation: { rw: "randwrite", blockBytes: 4 * KIB, depth: 32 } });
}

/** Ours, with a volume for each round and one before, which has been written to: they are warm. */
async function startFresh(
  contenders: readonly Contender[],
  folder: string,
  rounds: number,
): Promise<Map<Contender, RunningServer>> {
  const servers = new Map<Contender, RunningServer>();
  for (const contender of contenders.filter((each) => each.qcow2 === null)) {
    const path = join(folder, contender.name);
    const server = await start(contender, path, FRESH_MIB, rounds + 1);
    servers.set(contender, server);
    const operation = { rw: "randwrite", blockBytes: 4 * KIB, depth: 32 } as const;
    const once = { uri: server.uri, core: CORES.client, sizeBytes: WARM_MIB * MIB };
    await runFio({ ...once, operation, durationMs: null });
  }
  return servers;
}

function volumeOf(server: RunningServer, index: number): RunningServer {
  return { ...server, uri: server.uri.replace(/v0$/, `v${index}`) };
}

async function stopAll(servers: ReadonlyMap<Contender, RunningServer>): Promise<void> {
  for (const server of servers.values()) await server.stop();
}

interface Figures {
  readonly us: number[];
  readonly iops: number[];
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      dir: { type: "string", default: tmpdir() },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "1" },
      only: { type: "string", default: "" },
      chunks: { type: "boolean", default: false },
      qcow2: { type: "string", default: "qcow2,qcow2-128k" },
    },
  });
  const peers = QCOW2.filter(({ name }) => values.qcow2.split(",").includes(name));
  const contenders = values.chunks
    ? [ours("file", "file"), ...CHUNKS_KIB.map((kib) => ours(`pool ${kib} KiB`, "pool", kib))]
    : [ours("file", "file"), ours("pool", "pool"), ours("unchecked", "unchecked"), ...peers];
  const loads = LOADS.filter(({ name }) => new RegExp(values.only).test(name));
  const folder = mkdtempSync(join(values.dir, "pool-speed-"));
  const clock = await chooseProcessorClock();
  const durationMs = Number(values.seconds) * 1000;
  const rounds = Number(values.rounds);
  const allocated = new Map<Contender, RunningServer>();
  try {
    for (const contender of loads.some(({ isFresh }) => !isFresh) ? contenders : []) {
      const path = join(folder, `${contender.name}-allocated`);
      const server = await start(contender, path, ALLOCATED_MIB);
      allocated.set(contender, server);
      await fill(server);
    }
    for (const operation of loads) {
      const { isFresh } = operation;
      const fresh = mkdtempSync(join(folder, "fresh-"));
      const ours = isFresh ? await startFresh(contenders, fresh, rounds) : allocated;
      const found = new Map<Contender, Figures>(contenders.map((c) => [c, { us: [], iops: [] }]));
      for (let round = 0; round < rounds; round++) {
        for (const contender of contenders) {
          const path = join(fresh, `${contender.name}-${round}`);
          // An image is a process of its own. Ours have warmed up, and have a fresh volume left.
          const own = ours.get(contender) ?? (await start(contender, path, FRESH_MIB));
          const server = isFresh ? volumeOf(own, round + 1) : own;
          const sizeBytes = (isFresh ? FRESH_MIB : ALLOCATED_MIB) * MIB;
          const cell = { server, operation, sizeBytes, durationMs, cores: CORES, clock };
          const figures = await measureCell(cell);
          found.get(contender)?.us.push(figures.cpuUsPerOperation);
          found.get(contender)?.iops.push(figures.iops);
          if (ours.has(contender)) continue;
          await own.stop();
          rmSync(path);
        }
      }
      if (isFresh) await stopAll(ours);
      rmSync(fresh, { recursive: true });
      print(operation, found);
    }
  } finally {
    await stopAll(allocated);
    rmSync(folder, { recursive: true });
  }
}

/** A row per contender; what it is worth: its operations per second of processor time. */
function print({ name }: Load, found: ReadonlyMap<Contender, Figures>): void {
  const costs = [...found].map(([contender, { us }]) => ({ contender, us: median(us) }));
  const file = costs.find(({ contender }) => contender.kind === "file")?.us ?? Number.NaN;
  const images = costs.filter(({ contender }) => contender.qcow2 !== null);
  const image = Math.min(...images.map(({ us }) => us));
  for (const [contender, { us, iops }] of found) {
    const cost = median(us);
    const least = Math.min(...us).toFixed(2);
    const ratios = `${(file / cost).toFixed(2)} of file  ${(image / cost).toFixed(2)} of qcow2`;
    const text = `${cost.toFixed(2).padStart(7)} us (least ${least})  ${ratios}`;
    console.log(
      `${name.padEnd(28)} ${contender.name.padEnd(14)} ${text}  ${median(iops).toFixed(0)}/s`,
    );
  }
}

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1] ?? Number.NaN;
}

await measure();
