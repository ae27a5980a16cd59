/**
 * What a mirror costs: random 4 KiB writes and reads at depth 32 on one file, and on mirrors of one
 * and two files, in turn, in one process. Prints a table.
 *
 *   node bench/mirror-cost.ts FOLDER [OPERATIONS]
 *
 * Goal: a mirror of two files at most 2.2 times one file's processor time per write.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "../src/block/device.ts";
import { Joint } from "../src/block/joint.ts";
import { Operation } from "../src/block/operation.ts";
import { type MemoryPin, Request } from "../src/block/request.ts";
import { Status } from "../src/block/status.ts";
import { FileDevice } from "../src/devices/file.ts";
import { Mirror } from "../src/nexus/mirror.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import { Reactor } from "../src/reactor/reactor.ts";
import { assert } from "../src/util/assert.ts";
import { Prng } from "../src/util/prng.ts";

const BLOCK_BYTES = 4096;
const SIZE_BYTES = 256 * 1024 * 1024;
const DEPTH = 32;
const ROUNDS = 7;
const NO_PIN: MemoryPin = { release: () => undefined };

class Load {
  left = 0;
  #busy = 0;
  #done: () => void = () => undefined;
  readonly #device: Device;
  readonly #random = new Prng("mirror cost");
  readonly #requests: LoadRequest[] = [];

  constructor(device: Device) {
    this.#device = device;
    const slab = device.reactor.io.slabs.allocate(DEPTH * BLOCK_BYTES);
    for (let index = 0; index < DEPTH; index++) {
      const request = new LoadRequest(this);
      request.length = BLOCK_BYTES;
      request.segments.push(slab.id, index * BLOCK_BYTES, BLOCK_BYTES);
      this.#requests.push(request);
    }
  }

  /** @returns microseconds of processor time per operation */
  async run(operation: Operation, count: number): Promise<number> {
    const before = process.cpuUsage();
    await new Promise<void>((resolve) => {
      this.#done = resolve;
      this.left = count;
      this.#busy = DEPTH;
      for (const request of this.#requests) {
        request.operation = operation;
        this.next(request);
      }
    });
    // All threads: the kernel's workers write for the ring.
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  }

  next(request: LoadRequest): void {
    request.offset = this.#random.below(SIZE_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
    if (this.left-- > 0) this.#device.submit(request);
    else if (--this.#busy === 0) this.#device.reactor.deliverLater(this.#done);
  }
}

/** Pins as a share's commands do; nothing hangs here. */
class LoadRequest extends Request {
  readonly #load: Load;

  constructor(load: Load) {
    super();
    this.#load = load;
  }

  override get canPin(): boolean {
    return true;
  }

  override pinMemory(): MemoryPin {
    return NO_PIN;
  }

  override complete(): void {
    assert(this.status === Status.ok, "the load runs without errors");
    this.#load.next(this);
  }
}

async function main(): Promise<void> {
  const [parent = "/tmp", operations = "100000"] = process.argv.slice(2);
  const folder = mkdtempSync(join(parent, "mirror-cost-"));
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  const open = (name: string): Promise<Device> =>
    FileDevice.open(reactor, { path: join(folder, name), sizeBytes: SIZE_BYTES });
  const files = await Promise.all(["single", "alone", "first", "second"].map(open));
  const [single, alone, ...pair] = files as [Device, Device, ...Device[]];
  const mirrorOf = (devices: readonly Device[]): Promise<Device> => {
    const legs = devices.map((device) => ({ joint: new Joint(device), isLocal: true }));
    return Mirror.open(reactor, { name: `mirror of ${devices.length}`, legs });
  };
  const mirrors = [await mirrorOf([alone]), await mirrorOf(pair)];
  const loads = [single, ...mirrors].map((device) => ({
    name: device === single ? "one file" : device.info.name,
    load: new Load(device),
  }));
  for (const operation of [Operation.write, Operation.read]) {
    const costs = loads.map((): number[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { load }] of loads.entries()) {
        costs[index]?.push(await load.run(operation, Number(operations)));
      }
    }
    const medians = costs.map((each) => each.sort((a, b) => a - b)[ROUNDS >> 1] as number);
    for (const [index, { name }] of loads.entries()) {
      const cost = medians[index] as number;
      const ratio = cost / (medians[0] as number);
      const what = operation === Operation.write ? "write" : "read";
      console.log(`${what}  ${name.padEnd(12)} ${cost.toFixed(2)} us  ${ratio.toFixed(2)}x`);
    }
  }
  for (const device of [...mirrors, ...files]) await device.close();
  await io.close();
  rmSync(folder, { recursive: true });
}

await main();
