/**
 * Loads for a device behind a proxy: a verified mix at a depth, and single reads with pauses.
 *
 * The mix keeps a model of the device in memory and never has two overlapping requests in flight,
 * so that each answer is known beforehand. Draws come from the seed alone.
 */

import type { Device } from "../block/device.ts";
import { ExtentList } from "../block/extents.ts";
import { Operation } from "../block/operation.ts";
import { Request } from "../block/request.ts";
import { SEGMENT_COUNT_MAX } from "../block/segments.ts";
import { STATUS_TRAITS, Status } from "../block/status.ts";
import type { Slab } from "../reactor/slab.ts";
import { Prng } from "../util/prng.ts";

export interface MixOptions {
  readonly seed: number | string;
  readonly requests: number;
  readonly depth: number;
}

/** Each request in flight has a region of the device and of memory of its own. */
const REGION_BYTES = 256 * 1024;

/** Runs the mix from zeroes; rejects with the first wrong answer. */
export async function runMix(device: Device, options: MixOptions): Promise<void> {
  const mix = new Mix(device, options);
  await mix.run();
}

class Mix {
  readonly prng: Prng;
  readonly device: Device;
  readonly memory: Slab;
  /** What the device holds. */
  readonly model: Uint8Array;
  readonly #workers: MixRequest[] = [];
  readonly #depth: number;
  #left: number;
  #busy = 0;
  #settle: ((problem: string | null) => void) | null = null;
  #problem: string | null = null;

  constructor(device: Device, options: MixOptions) {
    this.device = device;
    this.prng = new Prng(options.seed);
    this.#left = options.requests;
    this.#depth = options.depth;
    this.model = new Uint8Array(options.depth * REGION_BYTES);
    this.memory = device.reactor.io.slabs.allocate(options.depth * REGION_BYTES);
    for (let index = 0; index < options.depth; index++) {
      this.#workers.push(new MixRequest(this, index * REGION_BYTES));
    }
  }

  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = (problem) => (problem === null ? resolve() : reject(new Error(problem)));
      this.#busy = this.#depth;
      for (const worker of this.#workers) this.next(worker);
    });
  }

  next(worker: MixRequest): void {
    if (this.#left > 0 && this.#problem === null) {
      this.#left--;
      worker.begin();
      return;
    }
    if (--this.#busy > 0) return;
    this.device.reactor.deliverLater(() => this.#settle?.(this.#problem));
  }

  fail(problem: string): void {
    this.#problem ??= problem;
  }
}

class MixRequest extends Request {
  readonly #mix: Mix;
  readonly #base: number;

  constructor(mix: Mix, base: number) {
    super();
    this.#mix = mix;
    this.#base = base;
  }

  begin(): void {
    const { prng, device } = this.#mix;
    const unit = device.info.blockSizeBytes;
    const blocks = prng.below(8) === 0 ? SEGMENT_COUNT_MAX : 16;
    const length = (1 + prng.below(blocks)) * unit;
    this.offset = this.#base + prng.below((REGION_BYTES - length) / unit + 1) * unit;
    this.length = length;
    this.operation = prng.pick([
      Operation.read,
      Operation.read,
      Operation.write,
      Operation.write,
      Operation.write,
      Operation.compare,
      Operation.writeZeroes,
      Operation.discard,
      Operation.flush,
      Operation.blockStatus,
    ]);
    this.segments.clear();
    this.#prepare(unit);
    device.submit(this);
  }

  override complete(): void {
    const mix = this.#mix;
    const problem = this.#check();
    if (problem !== null) {
      mix.fail(`${problem} (operation ${this.operation}, ${this.offset} + ${this.length})`);
    }
    mix.next(this);
  }

  #prepare(unit: number): void {
    const { prng, memory, model } = this.#mix;
    const { operation, offset, length } = this;
    const end = offset + length;
    const usesData = operation <= Operation.write || operation === Operation.compare;
    if (usesData) this.#addSegments(prng.below(4) === 0 ? unit : length);
    if (operation === Operation.read) {
      memory.bytes.fill(0xa5, offset, end);
    } else if (operation === Operation.write) {
      memory.bytes.fill(prng.nextUint32(), offset, end);
      for (let at = offset; at < end; at += unit) memory.view.setUint32(at, prng.nextUint32());
      model.set(memory.bytes.subarray(offset, end), offset);
    } else if (operation === Operation.compare) {
      memory.bytes.set(model.subarray(offset, end), offset);
      // Every other one differs in its last byte.
      if (prng.below(2) === 0) memory.bytes[end - 1] = (model[end - 1] as number) ^ 1;
    } else if (operation === Operation.flush) {
      this.offset = 0;
      this.length = 0;
    } else if (operation === Operation.blockStatus) {
      this.extents ??= new ExtentList();
    } else {
      model.fill(0, offset, end);
    }
  }

  /** Memory lies where the request does, in pieces of `pieceBytes`. */
  #addSegments(pieceBytes: number): void {
    for (let done = 0; done < this.length; done += pieceBytes) {
      this.segments.push(this.#mix.memory.id, this.offset + done, pieceBytes);
    }
  }

  #check(): string | null {
    const { memory, model } = this.#mix;
    const { operation, offset, status } = this;
    const end = offset + this.length;
    if (operation === Operation.compare) {
      const differs = memory.bytes[end - 1] !== model[end - 1];
      if (status !== (differs ? Status.compareFailed : Status.ok)) return "wrong comparison";
      return this.errorOffset === (differs ? end - 1 : -1) ? null : "wrong error offset";
    }
    if (status !== Status.ok) return `status ${STATUS_TRAITS[status]?.name}`;
    if (operation === Operation.read) {
      const got = memory.bytes.subarray(offset, end);
      return Buffer.compare(got, model.subarray(offset, end)) === 0 ? null : "wrong data";
    }
    if (operation === Operation.blockStatus) return this.#checkExtents();
    return null;
  }

  /** Extents cover the range, and what they call zero is zero. */
  #checkExtents(): string | null {
    const { extents } = this;
    if (extents === null || extents.lengthBytes !== this.length) return "wrong extents";
    let at = this.offset;
    for (let index = 0; index < extents.count; index++) {
      const length = extents.lengths[index] as number;
      const isData = extents.flags[index] === 0;
      const content = this.#mix.model.subarray(at, at + length);
      if (!isData && content.some((byte) => byte !== 0)) return "data called zero";
      at += length;
    }
    return null;
  }
}

export interface PingPongOptions {
  readonly seed: number | string;
  readonly count: number;
}

/** A read that is not answered for so long has lost its wake-up. */
const LOST_AFTER_MS = 30_000;

/** Single reads, one after the other, with none or a tiny pause of random length between them. */
export async function runPingPong(device: Device, options: PingPongOptions): Promise<void> {
  const prng = new Prng(options.seed);
  const memory = device.reactor.io.slabs.allocate(4096);
  const ping = new PingRequest();
  for (let index = 0; index < options.count; index++) {
    ping.segments.clear();
    ping.segments.push(memory.id, 0, 4096);
    const status = await ping.run(device, 4096);
    if (status !== Status.ok) throw new Error(`read ${index}: ${status}`);
    await pause(prng);
  }
}

class PingRequest extends Request {
  #settle: ((status: Status) => void) | null = null;

  run(device: Device, length: number): Promise<Status> {
    this.operation = Operation.read;
    this.length = length;
    return new Promise((resolve, reject) => {
      const watch = setTimeout(() => reject(new Error("a wake-up was lost")), LOST_AFTER_MS);
      this.#settle = (status) => {
        clearTimeout(watch);
        resolve(status);
      };
      device.submit(this);
    });
  }

  override complete(): void {
    const { status } = this;
    setImmediate(() => this.#settle?.(status));
  }
}

/** Both sides fall asleep within some of these, before, during or after the next request. */
async function pause(prng: Prng): Promise<void> {
  const choice = prng.below(16);
  if (choice === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  } else if (choice < 4) {
    await new Promise((resolve) => setImmediate(resolve));
  } else if (choice < 12) {
    const untilMs = performance.now() + prng.below(150) / 1000;
    while (performance.now() < untilMs);
  }
}
