/**
 * What it costs to use a device of another reactor: 4 KiB reads of `null`, direct and through a
 * proxy, at depth 1 and 32. Prints a table: time and processor time of both threads per read.
 *
 *   node bench/proxy-cost.ts [READS]
 */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Device } from "../src/block/device.ts";
import { Operation } from "../src/block/operation.ts";
import { openProxy } from "../src/block/proxy-device.ts";
import { Request } from "../src/block/request.ts";
import { NullDevice } from "../src/devices/null.ts";
import { Reactor } from "../src/reactor/reactor.ts";
import { createSharedSlabTable } from "../src/reactor/slab-space-shared.ts";
import { UringIo } from "../src/reactor/uring-io.ts";
import type { ProxyOwnerReport, ProxyOwnerTask } from "../src/testing/proxy-owner-worker.ts";

const READ_BYTES = 4096;
const SIZE_BYTES = 1024 * 1024;
const ROUNDS = 5;
const DEPTHS = [1, 32];

class Load {
  left = 0;
  #busy = 0;
  #done: (() => void) | null = null;
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  run(reads: number, depth: number): Promise<void> {
    const slab = this.#device.reactor.io.slabs.allocate(depth * READ_BYTES);
    this.left = reads;
    this.#busy = depth;
    return new Promise((resolve) => {
      this.#done = () => {
        this.#device.reactor.io.slabs.release(slab);
        resolve();
      };
      for (let index = 0; index < depth; index++) {
        const request = new LoadRequest(this);
        request.operation = Operation.read;
        request.length = READ_BYTES;
        request.segments.push(slab.id, index * READ_BYTES, READ_BYTES);
        this.next(request);
      }
    });
  }

  next(request: LoadRequest): void {
    if (this.left-- > 0) this.#device.submit(request);
    else if (--this.#busy === 0 && this.#done !== null) {
      this.#device.reactor.deliverLater(this.#done);
    }
  }
}

class LoadRequest extends Request {
  readonly #load: Load;

  constructor(load: Load) {
    super();
    this.#load = load;
  }

  override complete(): void {
    this.#load.next(this);
  }
}

interface Cost {
  readonly wallUs: number;
  readonly userUs: number;
  readonly ownerUs: number;
}

/** The round with the least processor time. */
async function measure(device: Device, reads: number, depth: number): Promise<Cost> {
  const load = new Load(device);
  await load.run(reads, depth);
  const costs: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    const all = process.cpuUsage();
    const own = process.threadCpuUsage();
    await load.run(reads, depth);
    const allUs = sum(process.cpuUsage(all));
    const ownUs = sum(process.threadCpuUsage(own));
    const wallUs = ((performance.now() - startMs) * 1000) / reads;
    costs.push({ wallUs, userUs: ownUs / reads, ownerUs: Math.max(allUs - ownUs, 0) / reads });
  }
  return costs.reduce((best, each) => (total(each) < total(best) ? each : best));
}

function sum(usage: NodeJS.CpuUsage): number {
  return usage.user + usage.system;
}

function total({ userUs, ownerUs }: Cost): number {
  return userUs + ownerUs;
}

async function startOwner(task: ProxyOwnerTask) {
  const url = new URL("../src/testing/proxy-owner-worker.ts", import.meta.url);
  const worker = new Worker(url, { workerData: task });
  const [report] = (await once(worker, "message")) as [ProxyOwnerReport];
  if (report.kind !== "ticket") throw new Error("the owner's first report is its ticket");
  return { worker, ticket: report.ticket };
}

async function run(reads: number): Promise<void> {
  const slabTable = createSharedSlabTable();
  const io = new UringIo({ slabTable });
  const reactor = new Reactor({ id: 2, io });
  const direct = await NullDevice.open(reactor, { name: "n", sizeBytes: SIZE_BYTES });
  const { worker, ticket } = await startOwner({ slabTable, device: "null", sizeBytes: SIZE_BYTES });
  const proxy = openProxy(reactor, ticket);
  const rows: Record<string, string | number>[] = [];
  for (const depth of DEPTHS) {
    for (const [how, device] of Object.entries({ direct, proxy })) {
      const cost = await measure(device, how === "proxy" && depth === 1 ? reads / 8 : reads, depth);
      rows.push({
        depth,
        device: how,
        "time us": cost.wallUs.toFixed(2),
        "user CPU us": cost.userUs.toFixed(2),
        "owner CPU us": cost.ownerUs.toFixed(2),
        "CPU us": total(cost).toFixed(2),
      });
    }
  }
  console.table(rows);
  await proxy.close();
  await direct.close();
  worker.postMessage("stop");
  await once(worker, "exit");
  await io.close();
}

await run(Number(process.argv[2] ?? 400_000));
