/**
 * What every conformance test of a device works with: the device, requests that check themselves,
 * memory, and a dumb array as the model of the device's first bytes.
 *
 * One kit per test; it owns the test's memory. Violations seen where nothing may be thrown (inside
 * completions) are collected and thrown by `finish`.
 */

import { strictEqual } from "node:assert/strict";
import type { PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import { Prng } from "../../util/prng.ts";
import type { Device } from "../device.ts";
import { ExtentList } from "../extents.ts";
import { Operation, type OperationTable, Support } from "../operation.ts";
import { copyFromSegments, copyToSegments } from "../segment-copy.ts";
import type { SegmentList } from "../segments.ts";
import { Status, statusName } from "../status.ts";
import { TestRequest } from "./test-request.ts";

/** The tests stay within this much of the device's beginning, and touch its end. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
const MEMORY_BYTES = 24 * 1024 * 1024;
/** Drawn once: drawing took most of a test. A prime, so that no block meets its like. */
const NOISE = fillWithoutZeroes(new Uint8Array(524_287), new Prng("noise"));

export interface KitOptions {
  readonly device: Device;
  readonly seed: number;
  readonly keepsData: boolean;
  /** Requests say that they can pin their memory. Default true. */
  readonly pinsMemory?: boolean;
}

/** What to do; segments are made unless the request carries no data. */
export interface Ask {
  readonly operation: Operation;
  readonly offset?: number;
  readonly length?: number;
  readonly flags?: number;
  /** Bytes to write or compare. */
  readonly data?: Uint8Array;
  /** Default 1. */
  readonly segmentCount?: number;
  /** Where memory starts within a page; default 0. */
  readonly memoryOffset?: number;
}

export class Kit {
  readonly device: Device;
  readonly reactor: Reactor;
  readonly prng: Prng;
  readonly blockSize: number;
  readonly keepsData: boolean;
  readonly pinsMemory: boolean;
  /** What the first WINDOW_BYTES hold. */
  readonly model = new Uint8Array(WINDOW_BYTES);
  /** More than 0 while a submit runs. */
  submitting = 0;
  /** Requests submitted and not completed. */
  outstanding = 0;
  readonly #memory: Slab;
  #memoryUsed = 0;
  readonly #kept: PoolBuffer[] = [];
  readonly #violations = new Set<string>();

  constructor({ device, seed, keepsData, pinsMemory }: KitOptions) {
    this.device = device;
    this.reactor = device.reactor;
    this.prng = new Prng(seed);
    this.blockSize = device.info.blockSizeBytes;
    this.keepsData = keepsData;
    this.pinsMemory = pinsMemory ?? true;
    this.#memory = this.reactor.io.slabs.allocate(MEMORY_BYTES);
    const size = device.info.sizeBytes;
    assert(size >= 2 * WINDOW_BYTES, `conformance needs ${2 * WINDOW_BYTES} bytes, not ${size}`);
  }

  /** Closes the device and says what was wrong. */
  async finish(): Promise<void> {
    await this.device.close();
    strictEqual(this.device.inFlight, 0);
    strictEqual(this.device.lent, 0);
    this.reactor.io.slabs.release(this.#memory);
    for (const buffer of this.#kept) buffer.release();
    strictEqual([...this.#violations].join("; "), "");
  }

  /** Has `buffer`, which a request has moved to, until `finish`. */
  keep(buffer: PoolBuffer): void {
    this.#kept.push(buffer);
  }

  check(condition: boolean, message: string): void {
    if (!condition) this.#violations.add(message);
  }

  supports(name: keyof OperationTable): boolean {
    return this.device.operations[name] !== Support.refuse;
  }

  /** A request ready to be submitted. */
  request(ask: Ask): TestRequest {
    const request = new TestRequest(this);
    request.operation = ask.operation;
    request.offset = ask.offset ?? 0;
    request.length = ask.length ?? ask.data?.length ?? 0;
    request.flags = ask.flags ?? 0;
    if (ask.operation === Operation.compareAndWrite) request.length /= 2;
    if (ask.operation === Operation.blockStatus) request.extents = new ExtentList();
    const bytes = ask.operation === Operation.read ? request.length : (ask.data?.length ?? 0);
    if (bytes > 0) this.#addSegments(request.segments, bytes, ask);
    if (ask.data !== undefined && bytes > 0) {
      copyToSegments(this.reactor.io.slabs, request.segments, 0, ask.data, 0, bytes);
    }
    return request;
  }

  /** Makes and submits a request; its memory may be used again when nothing is outstanding. */
  run(ask: Ask): Promise<TestRequest> {
    if (this.outstanding === 0) this.#memoryUsed = 0;
    return this.request(ask).run();
  }

  /** Runs it; its status must be `status`. */
  async expect(ask: Ask, status: Status): Promise<TestRequest> {
    const request = await this.run(ask);
    const { operation, offset, length, flags } = request;
    const text = `operation ${operation} at ${offset} length ${length} flags ${flags}`;
    strictEqual(`${text}: ${statusName(request.status)}`, `${text}: ${statusName(status)}`);
    return request;
  }

  /** Reads, which must work, and gives a copy. */
  async read(offset: number, length: number, how: Partial<Ask> = {}): Promise<Uint8Array> {
    const ask = { operation: Operation.read, offset, length, ...how };
    return this.bytesOf(await this.expect(ask, Status.ok));
  }

  /** Writes, which must work; the model follows. */
  async write(offset: number, data: Uint8Array, how: Partial<Ask> = {}): Promise<void> {
    await this.expect({ operation: Operation.write, offset, data, ...how }, Status.ok);
    this.modelWrite(offset, data);
  }

  modelWrite(offset: number, data: Uint8Array): void {
    if (this.keepsData && offset < WINDOW_BYTES) this.model.set(data, offset);
  }

  /** What the device holds after `data` was written to it. */
  kept(data: Uint8Array): Uint8Array {
    return this.keepsData ? data : new Uint8Array(data.length);
  }

  /** Reads a range of the window and compares it with the model. */
  async verify(offset = 0, length = WINDOW_BYTES): Promise<void> {
    const step = this.device.info.maxTransferBytes;
    for (let done = 0; done < length; done += step) {
      const count = Math.min(step, length - done);
      const at = offset + done;
      expectBytes(await this.read(at, count), this.model.subarray(at, at + count), at);
    }
  }

  /** Random bytes, none of them zero: a piece of NOISE, and a beginning that nothing else has. */
  noise(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let from = this.prng.below(NOISE.length);
    for (let at = 0; at < length; from = 0) {
      const count = Math.min(length - at, NOISE.length - from);
      bytes.set(NOISE.subarray(from, from + count), at);
      at += count;
    }
    fillWithoutZeroes(bytes.subarray(0, 16), this.prng);
    return bytes;
  }

  /** Fills a range of the window with noise, in pieces that the device takes. */
  async fillWithNoise(offset = 0, length = WINDOW_BYTES): Promise<void> {
    const step = this.device.info.maxTransferBytes;
    for (let done = 0; done < length; done += step) {
      await this.write(offset + done, this.noise(Math.min(step, length - done)));
    }
  }

  bytesOf(request: TestRequest): Uint8Array {
    const { lengthBytes } = request.segments;
    const bytes = new Uint8Array(lengthBytes);
    copyFromSegments(this.reactor.io.slabs, request.segments, 0, bytes, 0, lengthBytes);
    return bytes;
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.reactor.clock.startTimer(delayMs, () => this.reactor.deliverLater(resolve));
    });
  }

  #addSegments(segments: SegmentList, lengthBytes: number, ask: Ask): void {
    const count = ask.segmentCount ?? 1;
    const blocks = lengthBytes / this.blockSize;
    let left = lengthBytes;
    for (let index = 0; index < count; index++) {
      // Uneven blocks per segment, each segment at least one block.
      const spare = blocks - (lengthBytes - left) / this.blockSize - (count - index);
      const extra = Math.min(spare, this.prng.below(2 * Math.ceil(blocks / count)));
      const length = index === count - 1 ? left : (1 + Math.max(extra, 0)) * this.blockSize;
      segments.push(this.#memory.id, this.#take(length, ask.memoryOffset ?? 0), length);
      left -= length;
    }
  }

  #take(length: number, memoryOffset: number): number {
    const start = Math.ceil(this.#memoryUsed / 4096) * 4096 + memoryOffset;
    assert(start + length <= MEMORY_BYTES, "the kit has memory for all requests at once");
    this.#memoryUsed = start + length;
    return start;
  }
}

function fillWithoutZeroes(bytes: Uint8Array, prng: Prng): Uint8Array {
  prng.fill(bytes);
  for (let index = 0; index < bytes.length; index++) bytes[index] = (bytes[index] as number) | 1;
  return bytes;
}

/** Compares and names the first byte that differs, instead of printing a megabyte. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array, offset: number): void {
  strictEqual(actual.length, expected.length);
  if (Buffer.compare(actual, expected) === 0) return;
  let index = 0;
  while (actual[index] === expected[index]) index++;
  strictEqual(
    `byte ${offset + index} is ${actual[index]}`,
    `byte ${offset + index} is ${expected[index]}`,
  );
}
