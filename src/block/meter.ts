/**
 * Meter: what a device lets in, has in flight and has done: requests and bytes by kind, errors, and
 * sampled latency. Counted when a request ends; read by whoever asks, never pushed.
 *
 * All of it is in one object of one shape, since a field of a device costs a look-up by its class
 * (5 ns where many classes are in use) and a field of this costs next to nothing: with five filters
 * in a row, counting costs less than what moving these fields here has saved.
 */

import type { Clock } from "../reactor/clock.ts";
import { LatencySampler } from "./latency-sampler.ts";
import { Operation } from "./operation.ts";
import type { Request } from "./request.ts";
import { Status } from "./status.ts";

/** Since the device was opened. Plain values. */
export interface MeterCounts {
  readonly reads: number;
  readonly writes: number;
  /** Flushes, discards, write-zeroes, compares, block status. */
  readonly others: number;
  /** Bytes of those that succeeded. */
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly otherBytes: number;
  /** Requests that ended with an error; they are in the counts above. */
  readonly errors: number;
}

const OTHER = 2;
const BYTES = 3;
const ERRORS = 6;
/** 64 bytes at most: V8 keeps such arrays within its heap. */
const SLOTS = 7;

export class Meter extends LatencySampler {
  /** Requests submitted and not ended. */
  inFlight = 0;
  /** By operation: what a request gets before anything else is looked at. */
  gate: readonly Status[];
  /** Requests by kind, their bytes by kind, errors. */
  readonly #counts = new Float64Array(SLOTS);

  constructor(clock: Clock, gate: readonly Status[]) {
    super(clock);
    this.gate = gate;
  }

  /** @returns what the request gets at the gate. Hot path. */
  started(request: Request): Status {
    this.inFlight++;
    this.begin(request);
    return this.gate[request.operation] ?? Status.unsupported;
  }

  /** @returns how many are in flight then. Hot path. */
  ended(request: Request, status: Status): number {
    const counts = this.#counts;
    const { operation } = request;
    const kind = operation <= Operation.write ? operation : OTHER;
    counts[kind] = (counts[kind] as number) + 1;
    const at = status === Status.ok ? BYTES + kind : ERRORS;
    const added = status === Status.ok ? request.length : 1;
    counts[at] = (counts[at] as number) + added;
    this.end(request);
    return --this.inFlight;
  }

  counts(): MeterCounts {
    const [reads = 0, writes = 0, others = 0, ...rest] = this.#counts;
    const [readBytes = 0, writeBytes = 0, otherBytes = 0, errors = 0] = rest;
    return { reads, writes, others, readBytes, writeBytes, otherBytes, errors };
  }
}
