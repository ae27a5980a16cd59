/**
 * OpTable: the IoOps attached to one Io, by slot. A slot is free again only when detached, and
 * an op is detached only with nothing in flight, so a late completion never meets a stranger.
 */

import { assert } from "../util/assert.ts";
import type { IoOp } from "./io.ts";

export class OpTable {
  readonly #ops: (IoOp | null)[] = [];
  readonly #free: number[] = [];
  /** Operations in flight. */
  inFlight = 0;

  attach(op: IoOp): void {
    assert(op.slot === -1, "an op is attached once");
    const slot = this.#free.pop() ?? this.#ops.length;
    this.#ops[slot] = op;
    op.slot = slot;
  }

  detach(op: IoOp): void {
    assert(op.slot >= 0 && this.#ops[op.slot] === op, "only an attached op is detached");
    assert(!op.inFlight, "an op is detached with nothing in flight");
    this.#ops[op.slot] = null;
    this.#free.push(op.slot);
    op.slot = -1;
  }

  /** Marks the op busy; returns its slot. Hot path. */
  begin(op: IoOp): number {
    assert(op.slot >= 0, "an op is attached before its first operation");
    assert(!op.inFlight, "an op has one operation in flight");
    op.inFlight = true;
    this.inFlight++;
    return op.slot;
  }

  /**
   * Completes the operation in flight at `slot`. Hot path.
   * @param socketHasMore see `IoOp.socketHasMore`
   */
  end(slot: number, result: number, socketHasMore = true): void {
    const op = this.#ops[slot];
    assert(op?.inFlight === true, "a completion belongs to an operation");
    op.inFlight = false;
    op.socketHasMore = socketHasMore;
    this.inFlight--;
    op.complete(result);
  }
}
