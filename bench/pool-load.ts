/**
 * What benches of pools share: a pool over files with no engine around it, and random 4 KiB writes
 * into its volumes. The pool and its reactor belong to the caller's process, which may be killed.
 */

import { randomUUID } from "node:crypto";
import type { Device } from "../src/block/device.ts";
import { Filter, filterInfo, passAll } from "../src/block/filter.ts";
import { Joint } from "../src/block/joint.ts";
import { Operation } from "../src/block/operation.ts";
import { Request } from "../src/block/request.ts";
import type { SegmentList } from "../src/block/segments.ts";
import { Status } from "../src/block/status.ts";
import { FileDevice } from "../src/devices/file.ts";
import { Pool } from "../src/pool/pool.ts";
import type { PoolEnvironment } from "../src/pool/pool-environment.ts";
import type { PoolOptions } from "../src/pool/pool-info.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import { Reactor } from "../src/reactor/reactor.ts";
import { assert } from "../src/util/assert.ts";
import { Prng } from "../src/util/prng.ts";

const BLOCK_BYTES = 4096;
const DEPTH = 256;

export interface PoolFiles {
  readonly paths: readonly string[];
  /** Of each; made sparse when it is not there. */
  readonly sizeBytes: number;
  /** Blocks of volumes are not written, only what tells where they would be. */
  readonly forgetsData?: boolean;
}

/** A reactor of this process, and the environment of a pool on it. */
export async function benchEnvironment(): Promise<PoolEnvironment> {
  const io = await openIo({ level: await chooseLevel("auto") });
  return {
    reactor: new Reactor({ id: 0, io }),
    makeUuid: randomUUID,
    nowMs: Date.now,
    onEvent: ({ level, message }) => void process.stderr.write(`${level}: ${message}\n`),
    holder: "a bench",
    engineUuid: randomUUID(),
  };
}

export async function openFiles(
  { reactor }: PoolEnvironment,
  { paths, sizeBytes, forgetsData = false }: PoolFiles,
): Promise<Device[]> {
  const open = async (path: string): Promise<Device> => {
    const file = await FileDevice.open(reactor, { path, sizeBytes });
    return forgetsData ? new WithoutData(file) : file;
  };
  return await Promise.all(paths.map(open));
}

/** Magic of pages, frames and labels, as they lie in memory. */
const OWN_MAGICS: readonly number[] = ["PGSP", "PLOG", "PENS"].map((text) =>
  Buffer.from(text).readUInt32LE(),
);

/** Keeps what is a pool's own. Data is forgotten: of a pool that nobody reads nobody misses it. */
class WithoutData extends Filter {
  readonly #file: Device;

  constructor(file: Device) {
    super(new Joint(file), filterInfo(file, "file", file.info.name), passAll(file));
    this.#file = file;
  }

  protected override start(request: Request): void {
    const isData = request.operation === Operation.write && !this.#isOwn(request.segments);
    if (isData) this.reactor.completions.push(request, Status.ok);
    else this.pass(request);
  }

  protected override async release(): Promise<void> {
    await this.#file.close();
  }

  #isOwn(segments: SegmentList): boolean {
    const { view } = this.reactor.io.slabs.get(segments.slabId(0));
    return OWN_MAGICS.includes(view.getUint32(segments.offset(0), true));
  }
}

/** A new pool with so many volumes of one size, all open. */
export async function makePool(
  environment: PoolEnvironment,
  files: PoolFiles,
  volumes: { readonly count: number; readonly sizeBytes: number },
  options: PoolOptions = {},
): Promise<Device[]> {
  const disks = await openFiles(environment, files);
  const pool = await Pool.create(environment, disks, { ...options, name: "bench" });
  const devices: Device[] = [];
  for (let index = 0; index < volumes.count; index++) {
    const name = `volume-${index}`;
    await pool.createVolume({ name, sizeBytes: volumes.sizeBytes });
    devices.push(await pool.openVolume(name, { stageName: name }));
  }
  return devices;
}

/** Writes random blocks of random volumes, 256 at a time; settles when so many have ended. */
export class RandomWrites {
  #left = 0;
  #busy = 0;
  #done: () => void = () => undefined;
  readonly #devices: readonly Device[];
  readonly #blocks: number;
  readonly #prng: Prng;
  readonly #requests: RandomWrite[] = [];

  constructor(devices: readonly Device[], seed: string) {
    const [first] = devices;
    assert(first !== undefined, "something is written to");
    this.#devices = devices;
    this.#blocks = first.info.sizeBytes / BLOCK_BYTES;
    this.#prng = new Prng(seed);
    const slab = first.reactor.io.slabs.allocate(DEPTH * BLOCK_BYTES);
    for (let word = 0; word < slab.words.length; word++) slab.words[word] = this.#prng.nextUint32();
    for (let index = 0; index < DEPTH; index++) {
      const request = new RandomWrite(this);
      request.segments.push(slab.id, index * BLOCK_BYTES, BLOCK_BYTES);
      this.#requests.push(request);
    }
  }

  run(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#left = count;
      this.#busy = this.#requests.length;
      for (const request of this.#requests) this.next(request);
    });
  }

  next(request: Request): void {
    const device = this.#devices[this.#prng.below(this.#devices.length)];
    assert(device !== undefined, "it is one of them");
    if (this.#left-- > 0) {
      request.operation = Operation.write;
      request.offset = this.#prng.below(this.#blocks) * BLOCK_BYTES;
      request.length = BLOCK_BYTES;
      device.submit(request);
    } else if (--this.#busy === 0) device.reactor.deliverLater(this.#done);
  }
}

class RandomWrite extends Request {
  readonly #writes: RandomWrites;

  constructor(writes: RandomWrites) {
    super();
    this.#writes = writes;
  }

  override complete(): void {
    assert(this.status === Status.ok, "a bench runs without errors");
    this.#writes.next(this);
  }
}
