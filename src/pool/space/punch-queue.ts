/**
 * PunchQueue: gives the space of freed blocks back to what is below, by discards that are merged
 * and few.
 *
 *   add --(end of the turn)--> sorted and merged --at most 16 in flight--> punched(run)
 *
 * A run is nobody's until its discard has ended, however it ended: a discard that is late would
 * destroy what a next owner has written. Best effort: a disk that does not discard loses nothing.
 * It owns the runs that wait; bounded by who frees (WAITING_BLOCKS_MAX).
 */

import { Operation, RequestFlag } from "../../block/operation.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { type Address, diskOf } from "../pool-layout.ts";

const IN_FLIGHT_MAX = 16;
/** 64 MiB: more in one request would keep a file below busy for long. */
const BLOCKS_PER_DISCARD_MAX = 16_384;

interface WaitingRun {
  address: Address;
  count: number;
}

export class PunchQueue implements Flushable, DiskRequestOwner {
  isDirty = false;
  readonly #disks: PoolDisks;
  readonly #reactor: Reactor;
  readonly #punched: (address: Address, count: number) => void;
  /** The first to go is the last: taken from the end. */
  #runs: WaitingRun[] = [];
  #isSorted = true;
  #inFlight = 0;
  #waitingBlocks = 0;
  #drains: (() => void)[] = [];

  /** @param punched the run may be used again; in the turn */
  constructor(disks: PoolDisks, punched: (address: Address, count: number) => void) {
    this.#disks = disks;
    this.#reactor = disks.at(0).device.reactor;
    this.#punched = punched;
  }

  /** Added, and their discard has not ended. */
  get waitingBlocks(): number {
    return this.#waitingBlocks;
  }

  /** Takes charge of blocks that nobody refers to and nobody reads. */
  add(address: Address, count: number): void {
    assert(count > 0, "a run has blocks");
    this.#waitingBlocks += count;
    const last = this.#runs.at(-1);
    if (last !== undefined && joins(last, address)) last.count += count;
    else {
      this.#runs.push({ address, count });
      this.#isSorted = false;
    }
    this.#reactor.markDirty(this);
  }

  /** Calls `done` when nothing waits and nothing is in flight; at once, if that is so. */
  drain(done: () => void): void {
    if (this.#waitingBlocks === 0) done();
    else this.#drains.push(done);
  }

  flush(): void {
    if (this.#inFlight === IN_FLIGHT_MAX) return;
    if (!this.#isSorted) this.#merge();
    while (this.#inFlight < IN_FLIGHT_MAX && this.#runs.length > 0) this.#submitLast();
  }

  diskRequestEnded(request: DiskRequest): void {
    const { address, tag: count } = request;
    this.#disks.give(request);
    this.#inFlight--;
    this.#waitingBlocks -= count;
    assert(this.#inFlight >= 0 && this.#waitingBlocks >= 0, "a discard ends once");
    if (this.#runs.length > 0) this.#reactor.markDirty(this);
    this.#punched(address, count);
    if (this.#waitingBlocks > 0) return;
    const drains = this.#drains;
    this.#drains = [];
    for (const done of drains) done();
  }

  #submitLast(): void {
    const run = this.#runs.at(-1);
    assert(run !== undefined, "there is a run to punch");
    const count = Math.min(run.count, BLOCKS_PER_DISCARD_MAX);
    const { address } = run;
    run.address += count;
    run.count -= count;
    if (run.count === 0) this.#runs.pop();
    const request = this.#disks.take(this);
    request.operation = Operation.discard;
    request.flags = RequestFlag.background;
    request.tag = count;
    this.#inFlight++;
    this.#disks.submit(request, address, count);
  }

  /** Sorts the runs, highest address first, and joins those that touch. */
  #merge(): void {
    const runs = this.#runs.sort((a, b) => b.address - a.address);
    let kept = 0;
    for (let index = 1; index < runs.length; index++) {
      const above = runs[kept] as WaitingRun; // both are below the length
      const run = runs[index] as WaitingRun;
      assert(run.address + run.count <= above.address, "a block is freed once");
      if (joins(run, above.address)) {
        above.address = run.address;
        above.count += run.count;
      } else runs[++kept] = run;
    }
    runs.length = Math.min(runs.length, kept + 1);
    this.#isSorted = true;
  }
}

/** `address` is the block behind the run, on the same disk. */
function joins(run: WaitingRun, address: Address): boolean {
  return run.address + run.count === address && diskOf(run.address) === diskOf(address);
}
