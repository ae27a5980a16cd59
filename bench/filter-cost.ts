/**
 * What a filter costs that lets everything pass: reads of `null` at depths 1 and 32, without a
 * filter and through each one, and through all five, in turn, in one process. Prints a table.
 *
 *   node bench/filter-cost.ts [READS]
 *
 * Goal: five of them at most 0.5 us per operation.
 */

import type { Device } from "../src/block/device.ts";
import { Joint } from "../src/block/joint.ts";
import { Operation } from "../src/block/operation.ts";
import { Request } from "../src/block/request.ts";
import { NullDevice } from "../src/devices/null.ts";
import { planOneFilter } from "../src/pipe/pipe-plan.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import { Reactor } from "../src/reactor/reactor.ts";

const READ_BYTES = 4096;
const SIZE_BYTES = 1024 * 1024;
const ROUNDS = 7;
const DEPTHS = [1, 32];

const LIMIT = "limit?iops=1000000000&bandwidth=1TiB";
const CHAINS: Readonly<Record<string, readonly string[]>> = {
  none: [],
  "limit without limits": ["limit"],
  "limit not reached": [LIMIT],
  "delay of 0": ["delay"],
  "fault off": ["fault"],
  "log off": ["log?level=off"],
  "log of errors": ["log?level=error"],
  slice: ["slice?offset=0B"],
  "all five, inert": ["limit", "delay", "fault", "log?level=off", "slice?offset=0B"],
  "all five, limit counts": [LIMIT, "delay", "fault", "log?level=off", "slice?offset=0B"],
  "all five, log watches": [LIMIT, "delay", "fault", "log?level=error", "slice?offset=0B"],
};

class Load {
  left = 0;
  #busy = 0;
  #done: () => void = () => undefined;
  readonly #device: Device;
  readonly #requests: LoadRequest[] = [];

  constructor(device: Device, depth: number) {
    this.#device = device;
    const slab = device.reactor.io.slabs.allocate(depth * READ_BYTES);
    for (let index = 0; index < depth; index++) {
      const request = new LoadRequest(this);
      request.operation = Operation.read;
      request.length = READ_BYTES;
      request.segments.push(slab.id, index * READ_BYTES, READ_BYTES);
      this.#requests.push(request);
    }
  }

  /** @returns nanoseconds of processor time per read: others may use the machine as well */
  async run(reads: number): Promise<number> {
    const before = process.threadCpuUsage();
    await new Promise<void>((resolve) => {
      this.#done = resolve;
      this.left = reads;
      this.#busy = this.#requests.length;
      for (const request of this.#requests) this.next(request);
    });
    const { user, system } = process.threadCpuUsage(before);
    return ((user + system) * 1000) / reads;
  }

  next(request: LoadRequest): void {
    if (this.left-- > 0) this.#device.submit(request);
    else if (--this.#busy === 0) this.#device.reactor.deliverLater(this.#done);
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

async function open(reactor: Reactor, filters: readonly string[]): Promise<Device> {
  let device: Device = await NullDevice.open(reactor, { name: "n", sizeBytes: SIZE_BYTES });
  const context = { reactor, holder: "bench", instanceSeed: "bench" };
  for (const text of filters) {
    device = await planOneFilter(text).plan.open(context, new Joint(device));
  }
  return device;
}

async function run(reads: number): Promise<void> {
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  for (const depth of DEPTHS) {
    const loads: { name: string; load: Load; bestNs: number }[] = [];
    for (const [name, filters] of Object.entries(CHAINS)) {
      const load = new Load(await open(reactor, filters), depth);
      loads.push({ name, load, bestNs: Number.POSITIVE_INFINITY });
    }
    for (let round = 0; round <= ROUNDS; round++) {
      for (const each of loads) {
        const ns = await each.load.run(reads);
        if (round > 0) each.bestNs = Math.min(each.bestNs, ns);
      }
    }
    const baseNs = loads[0]?.bestNs ?? 0;
    console.log(`depth ${depth}, best of ${ROUNDS}:`);
    console.table(
      loads.map(({ name, bestNs }) => ({
        filters: name,
        "ns per read": bestNs.toFixed(0),
        "added ns": (bestNs - baseNs).toFixed(0),
      })),
    );
  }
  await io.close();
}

await run(Number(process.argv[2] ?? 300_000));
