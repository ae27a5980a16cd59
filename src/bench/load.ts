/**
 * Load: keeps a number of requests under way on one device, measures them, and verifies what they
 * read.
 *
 *   idle --run()--> loading, measuring or not --stop(), end of sequence--> draining --> idle
 *
 * Owns its requests and their memory, one buffer each, from `open` to `close`. A request that ends
 * is judged and submitted again at once, inside of its `complete`: no promise, no allocation.
 *
 * Time: one look at the clock serves up to CLOCK_SHARE completions that came together, in one
 * receive, say; it is taken when the first of them is handled. Each request begins when the one
 * before it has ended, so what it waits for being sent counts as its latency.
 */

import { Operation } from "../block/operation.ts";
import { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { Device } from "../block/device.ts";
import type { Flushable, Reactor } from "../reactor/reactor.ts";
import type { Slab } from "../reactor/slab.ts";
import { assert } from "../util/assert.ts";
import { Histogram } from "../util/histogram.ts";
import type { Prng } from "../util/prng.ts";
import type { BlockMap } from "./block-map.ts";
import type { Findings } from "./findings.ts";
import type { Job } from "./job.ts";
import { readPercentOf } from "./job.ts";
import { ANY_GENERATION, SECTOR_BYTES, type SectorStamp } from "./sector-stamp.ts";
import type { Sequence } from "./sequence.ts";

/** Slabs that buffers are cut from. */
const SLAB_BYTES = 16 * 1024 * 1024;
const CLOCK_SHARE = 8;
const NS_PER_MS = 1e6;
/** A device that fails so often has said all there is to say. */
const FAILURES_MAX = 100;

/** What verification needs; one for all loads of a job. */
export interface Verification {
  readonly stamp: SectorStamp;
  readonly map: BlockMap;
  readonly findings: Findings;
  /** What is not known is not looked at; else it must have a stamp, of whatever generation. */
  readonly skipsUnknown: boolean;
}

export interface LoadParts {
  readonly reactor: Reactor;
  readonly device: Device;
  readonly job: Job;
  readonly prng: Prng;
  readonly findings: Findings;
  readonly verification: Verification | null;
  readonly memory: LoadMemory;
}

/** Where operations go. */
export interface LoadSequences {
  readonly reads: Sequence;
  readonly writes: Sequence;
}

/** Buffers for `depth` requests; for one load at a time. */
export class LoadMemory {
  readonly requests: LoadRequest[] = [];
  readonly #slabs: Slab[] = [];
  readonly #reactor: Reactor;

  /** @throws PenstockError `out-of-memory` */
  constructor(reactor: Reactor, job: Pick<Job, "blockBytes" | "depth">, prng: Prng) {
    this.#reactor = reactor;
    const { blockBytes, depth } = job;
    const perSlab = Math.max(Math.floor(SLAB_BYTES / blockBytes), 1);
    const stream = reactor.newStream();
    for (let made = 0; made < depth; made += perSlab) {
      const count = Math.min(perSlab, depth - made);
      const slab = reactor.io.slabs.allocate(count * blockBytes);
      this.#slabs.push(slab);
      // Memory that was never written is one page of zeroes to the kernel: cheaper than real data.
      prng.fill(slab.bytes);
      for (let index = 0; index < count; index++) {
        const request = new LoadRequest(slab, index * blockBytes);
        request.length = blockBytes;
        request.stream = stream;
        request.segments.push(slab.id, index * blockBytes, blockBytes);
        this.requests.push(request);
      }
    }
  }

  /** No request is under way. */
  release(): void {
    for (const slab of this.#slabs.splice(0)) this.#reactor.io.slabs.release(slab);
  }
}

class LoadRequest extends Request {
  load: Load | null = null;
  block = 0;
  /** Of a write: the generation that it brings. */
  generationWritten = 0;
  startMs = 0;
  readonly slab: Slab;
  /** Of its buffer, in words of the slab. */
  readonly at: number;

  constructor(slab: Slab, offset: number) {
    super();
    this.slab = slab;
    this.at = offset / 4;
  }

  override complete(): void {
    (this.load as Load).ended(this); // set before it is submitted
  }
}

export class Load implements Flushable {
  isDirty = false;
  /** Latencies measured, in nanoseconds. */
  readonly read: Histogram = new Histogram();
  readonly write: Histogram = new Histogram();
  readonly #parts: LoadParts;
  readonly #device: Device;
  readonly #verification: Verification | null;
  /** A request has its block alone. */
  readonly #claims: boolean;
  readonly #reads: Sequence;
  readonly #writes: Sequence;
  readonly #readShare: number;
  readonly #place = { offset: 0, generation: ANY_GENERATION };
  /** Operations that have ended well since the start. */
  done = 0;
  #isMeasuring = false;
  #isStopping = false;
  #underWay = 0;
  #failures = 0;
  #nowMs = 0;
  /** Completions that the last look at the clock still serves. */
  #clockLeft = 0;
  #onIdle: (() => void) | null = null;

  constructor(parts: LoadParts, sequences: LoadSequences) {
    this.#parts = parts;
    this.#device = parts.device;
    this.#verification = parts.verification;
    this.#reads = sequences.reads;
    this.#writes = sequences.writes;
    this.#readShare = readPercentOf(parts.job) / 100;
    this.#claims = parts.verification !== null && this.#readShare < 1;
  }

  /** Requests submitted and not ended. */
  get underWay(): number {
    return this.#underWay;
  }

  /** It ended because the device failed too often. */
  get gaveUp(): boolean {
    return this.#failures >= FAILURES_MAX;
  }

  /** Starts; settles when all requests have ended, after `stop` or the end of its sequence. */
  run(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      // The first may end before the last is submitted: none of them ends the load.
      this.#underWay++;
      for (const request of this.#parts.memory.requests) {
        request.load = this;
        this.#underWay++;
        this.#issue(request);
      }
      this.#park();
    });
  }

  /** What ends from now on counts. */
  measure(): void {
    this.#isMeasuring = true;
  }

  /** What ends from now on does not count any more: the tallies stay as they are. */
  endMeasuring(): void {
    this.#isMeasuring = false;
  }

  /** Submits nothing any more. Idempotent. */
  stop(): void {
    this.#isStopping = true;
  }

  /** The end of a turn's step: the time known is old. */
  flush(): void {
    this.#clockLeft = 0;
  }

  // hot path
  ended(request: LoadRequest): void {
    const now = this.#now();
    const isRead = request.operation === Operation.read;
    if (request.status === Status.ok) {
      this.done++;
      if (this.#isMeasuring) {
        const latency = isRead ? this.read : this.write;
        latency.record((now - request.startMs) * NS_PER_MS);
      }
      if (this.#verification !== null) this.#verify(request, this.#verification, isRead);
    } else {
      this.#failed(request);
    }
    if (this.#claims) this.#verification?.map.release(request.block);
    if (this.#isStopping) this.#park();
    else this.#issue(request);
  }

  // hot path
  #issue(request: LoadRequest): void {
    const isRead = this.#readShare === 1 || this.#parts.prng.float() < this.#readShare;
    let block = (isRead ? this.#reads : this.#writes).next();
    if (block < 0) {
      this.#park();
      return;
    }
    const verification = this.#verification;
    if (this.#claims && verification !== null) block = verification.map.claimFrom(block);
    const { offset, blockBytes } = this.#parts.job;
    request.block = block;
    request.offset = offset + block * blockBytes;
    request.operation = isRead ? Operation.read : Operation.write;
    if (!isRead && verification !== null) this.#stamp(request, verification);
    request.startMs = this.#now();
    this.#device.submit(request);
  }

  // hot path
  #stamp(request: LoadRequest, { stamp, map }: Verification): void {
    const place = this.#place;
    place.offset = request.offset;
    place.generation = map.generationOf(request.block) + 1;
    request.generationWritten = place.generation;
    stamp.write(request.slab.words, request.at, request.length, place);
  }

  // hot path
  #verify(request: LoadRequest, verification: Verification, isRead: boolean): void {
    const { stamp, map, findings } = verification;
    const { block, slab, at, length } = request;
    if (!isRead) {
      map.set(block, request.generationWritten);
      return;
    }
    const generation = map.generationOf(block);
    if (generation === ANY_GENERATION && verification.skipsUnknown) return;
    const place = this.#place;
    place.offset = request.offset;
    place.generation = generation;
    findings.sectors += length / SECTOR_BYTES;
    const bad = stamp.countBad(slab.words, at, length, place);
    if (bad > 0) findings.differ(stamp, slab.words, request, place);
    else if (generation === ANY_GENERATION) {
      // Seen for the first time: from now on it must stay like this.
      map.set(block, stamp.commonGeneration(slab.words, at, length));
    }
  }

  #failed(request: LoadRequest): void {
    this.#parts.findings.failed(request);
    // It may have been done, or a part of it.
    if (request.operation !== Operation.read) {
      this.#verification?.map.set(request.block, ANY_GENERATION);
    }
    if (++this.#failures >= FAILURES_MAX) this.#isStopping = true;
  }

  // hot path
  #now(): number {
    if (this.#clockLeft > 0) {
      this.#clockLeft--;
      return this.#nowMs;
    }
    const { reactor } = this.#parts;
    this.#nowMs = reactor.clock.nowMs();
    // Two looks for each request: when it ends, and when the next begins.
    this.#clockLeft = 2 * CLOCK_SHARE - 1;
    reactor.markDirty(this);
    return this.#nowMs;
  }

  #park(): void {
    this.#underWay--;
    assert(this.#underWay >= 0, "a request is parked once");
    if (this.#underWay > 0) return;
    const onIdle = this.#onIdle;
    this.#onIdle = null;
    if (onIdle !== null) this.#parts.reactor.deliverLater(onIdle);
  }
}
