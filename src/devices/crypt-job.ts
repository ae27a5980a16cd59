/**
 * What CryptFilter keeps of a request that it cannot pass on as it is, and its requests below.
 *
 *   job: begun --piece after piece--> all submitted --last piece ended--> next phase, or ended
 *
 * A job is one client request; a piece is one request of ours on the device below, with a buffer
 * of its own. Both are pooled. A queue holds jobs that may not submit their next piece now.
 */

import { BufferRequest } from "../block/buffer-request.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";

export const JobPhase = {
  /** Its data, encrypted, is written. */
  write: 0,
  /** Encrypted zeroes are written. */
  zeroes: 1,
  /** The range is read, decrypted and compared with its data, one piece after the other. */
  compare: 2,
} as const;
export type JobPhase = (typeof JobPhase)[keyof typeof JobPhase];

export class CryptJob {
  request: Request | null = null;
  phase: JobPhase = JobPhase.write;
  /** Bytes of the phase that pieces have been made for. */
  submitted = 0;
  /** Pieces below. */
  running = 0;
  /** The first failure; no further piece is submitted after it. */
  status: Status = Status.ok;
  errorOffset = -1;
  /** Where it waits, or null. */
  queue: JobQueue | null = null;
  /** For the list that it is in. */
  next: CryptJob | null = null;

  begin(request: Request, phase: JobPhase): void {
    this.request = request;
    this.status = Status.ok;
    this.errorOffset = -1;
    this.enter(phase);
  }

  enter(phase: JobPhase): void {
    this.phase = phase;
    this.submitted = 0;
  }

  /** True while there is more to submit now. */
  get isWanting(): boolean {
    if (this.status !== Status.ok) return false;
    // The first difference is asked for: nothing is compared before what lies in front of it.
    if (this.phase === JobPhase.compare && this.running > 0) return false;
    return this.submitted < this.live.length;
  }

  get live(): Request {
    assert(this.request !== null, "a job in use has its request");
    return this.request;
  }

  fail(status: Status, errorOffset: number): void {
    if (this.status !== Status.ok) return;
    this.status = status;
    this.errorOffset = errorOffset;
  }
}

/** Gets pieces back. */
export interface CryptPieceOwner {
  pieceEnded(piece: CryptPiece): void;
}

export class CryptPiece extends BufferRequest {
  job: CryptJob | null = null;
  nextFree: CryptPiece | null = null;
  readonly #owner: CryptPieceOwner;

  constructor(owner: CryptPieceOwner) {
    super();
    this.#owner = owner;
  }

  /** Makes it the job's next one: `buffer` holds, or gets, `length` bytes. Hot path. */
  prepare(job: CryptJob, buffer: PoolBuffer, length: number): void {
    const { offset, flags, stream } = job.live;
    this.job = job;
    this.buffer = buffer;
    this.operation = job.phase === JobPhase.compare ? Operation.read : Operation.write;
    this.offset = offset + job.submitted;
    this.length = length;
    this.flags = flags & (RequestFlag.fua | RequestFlag.background);
    this.stream = stream;
    this.segments.clear();
    this.segments.push(buffer.slab.id, buffer.offset, length);
  }

  override complete(): void {
    this.#owner.pieceEnded(this);
  }
}

/** Jobs in order, each in one queue at most. Bounded by the requests in flight on the device. */
export class JobQueue {
  #first: CryptJob | null = null;
  #last: CryptJob | null = null;

  get first(): CryptJob | null {
    return this.#first;
  }

  push(job: CryptJob): void {
    assert(job.queue === null, "a job waits once");
    job.queue = this;
    job.next = null;
    if (this.#last === null) this.#first = job;
    else this.#last.next = job;
    this.#last = job;
  }

  shift(): CryptJob {
    const job = this.#first;
    assert(job !== null, "only a queue with jobs gives one");
    this.#first = job.next;
    if (this.#first === null) this.#last = null;
    job.next = null;
    job.queue = null;
    return job;
  }
}
