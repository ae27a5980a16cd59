/**
 * MirrorTask: one client's request on its way through a mirror: what its legs are asked, who has
 * said what, and which memory they use. Pooled.
 *
 * Memory. A hung leg may read from, or write into, the memory it was given long after the client
 * has its answer. So a leg uses
 *  - the client's own memory where the submitter can leave it to the leg (`Request.canPin`):
 *    for a write the client's buffer is pinned; a read that goes on with another leg moves to other
 *    memory, because the hung leg may still write into what it was given;
 *  - else, and for compare, a buffer of the mirror (`buffer`), copied from or to once. Pinning and
 *    moving are the same then, with the mirror as the owner.
 * Nothing is pinned or moved unless a leg hangs.
 */

import { modifies } from "../block/device.ts";
import { Operation, RequestFlag } from "../block/operation.ts";
import type { MemoryPin, Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { BufferReserve, PoolBuffer } from "../reactor/buffer-pool.ts";
import { assert } from "../util/assert.ts";
import { CHILDREN_MAX } from "./child.ts";
import type { LegRequest } from "./leg-request.ts";
import type { IntentWaiter } from "./write-intent.ts";

export interface TaskOwner {
  regionMarked(task: MirrorTask): void;
}

export class MirrorTask implements IntentWaiter {
  /** What the legs are asked now: for compare-and-write first a read, then a write. */
  asks: Operation = Operation.read;
  /** `RequestFlag` bits for the legs. */
  flags = 0;
  /** Memory of the mirror's, for this task. */
  buffer: PoolBuffer | null = null;
  /** Legs that have not answered. */
  pending = 0;
  /** Children that have answered ok, or with a refusal (in `statuses`). */
  okMask = 0;
  refusedMask = 0;
  readonly statuses = new Uint8Array(CHILDREN_MAX);
  /** Children that a read was tried on in vain. */
  triedMask = 0;
  /** Of the last error. */
  status: Status = Status.notReady;
  errorOffset = -1;
  next: MirrorTask | null = null;
  #client: Request | null = null;
  readonly #owner: TaskOwner;

  constructor(owner: TaskOwner) {
    this.#owner = owner;
  }

  /** Hot path. */
  begin(client: Request): void {
    this.#client = client;
    this.asks = client.operation;
    this.flags = client.flags & ~RequestFlag.mayLend;
    this.okMask = 0;
    this.refusedMask = 0;
    this.triedMask = 0;
    this.status = Status.notReady;
    this.errorOffset = -1;
    const { compare, compareAndWrite } = Operation;
    if (this.asks === compare || this.asks === compareAndWrite) this.asks = Operation.read;
  }

  /** Hot path. */
  end(): void {
    this.buffer?.release();
    this.buffer = null;
    this.#client = null;
  }

  get client(): Request {
    const client = this.#client;
    assert(client !== null, "a task in use has its client's request");
    return client;
  }

  /** The legs are asked to change something, or to flush: all of them. Hot path. */
  get asksAll(): boolean {
    return modifies(this.asks) || this.asks === Operation.flush;
  }

  /** The legs must not use the client's memory. Hot path. */
  get needsBuffer(): boolean {
    const { operation, canPin } = this.client;
    const isPlain = operation === Operation.read || operation === Operation.write;
    if (isPlain) return !canPin;
    return operation === Operation.compare || operation === Operation.compareAndWrite;
  }

  /** Makes `leg` ask what the task asks now. Hot path. */
  fill(leg: LegRequest): void {
    const client = this.client;
    leg.task = this;
    leg.operation = this.asks;
    leg.offset = client.offset;
    leg.length = client.length;
    leg.flags = this.flags;
    leg.stream = client.stream;
    const { buffer } = this;
    if (buffer !== null) {
      leg.segments.clear();
      leg.segments.push(buffer.slab.id, buffer.offset, client.length);
    } else {
      // Operations without data have an empty list.
      leg.segments.copyFrom(client.segments);
    }
  }

  /**
   * `leg` will not be waited for any more: keeps the memory that it uses from other uses.
   * @returns null when that cannot be done now
   */
  leaveMemoryTo(leg: LegRequest, reserve: BufferReserve): MemoryPin | null {
    const { buffer, client } = this;
    const isRead = leg.operation === Operation.read;
    if (buffer === null) {
      return isRead ? client.moveMemory(leg.child.joint.reactor.buffers) : client.pinMemory();
    }
    if (!isRead) {
      buffer.retain();
      return buffer;
    }
    const fresh = reserve.acquire(client.length);
    if (fresh === null) return null;
    this.buffer = fresh;
    return buffer;
  }

  // In the reactor's turn.
  regionMarked(): void {
    this.#owner.regionMarked(this);
  }
}
