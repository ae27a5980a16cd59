/**
 * DiskFlush: syncs all disks of a pool that were written to, at once, one round after the other.
 *
 *   idle --add--> a round runs --all disks have answered--> its waiters are told; next round
 *                 (who comes now waits for the next)        if somebody waits
 *
 * A round that failed faults the pool; all later ones fail without being tried (safety rule 2).
 */

import { Operation } from "../../block/operation.ts";
import { Status, statusName } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { FlushWaiter } from "../pool-layout.ts";
import type { DiskRequest, DiskRequestOwner } from "./disk-request.ts";
import type { PoolDisks } from "./pool-disks.ts";

export class DiskFlush implements DiskRequestOwner {
  readonly #disks: PoolDisks;
  /** Of the round that runs, and of the next, in the order of their coming. */
  #running: FlushWaiter | null = null;
  #waiting: FlushWaiter | null = null;
  #waitingLast: FlushWaiter | null = null;
  /** Answers that the round waits for. */
  #open = 0;
  #isRunning = false;
  /** Bytes written in all when the round began. */
  #covered = 0;

  constructor(disks: PoolDisks) {
    this.#disks = disks;
  }

  add(waiter: FlushWaiter): void {
    assert(waiter.nextFlush === null && waiter !== this.#waitingLast, "one waits once");
    if (this.#waitingLast === null) this.#waiting = waiter;
    else this.#waitingLast.nextFlush = waiter;
    this.#waitingLast = waiter;
    if (!this.#isRunning) this.#begin();
  }

  diskRequestEnded(request: DiskRequest): void {
    const { status, disk } = request;
    this.#disks.give(request);
    if (status !== Status.ok) {
      const { name } = this.#disks.at(disk).device.info;
      const reason = `disk ${name} could not be synced: ${statusName(status)}`;
      this.#disks.raise({ status: Status.mediaError, reason, isSync: true });
    }
    this.#answered();
  }

  #begin(): void {
    assert(!this.#isRunning, "one round at a time");
    this.#running = this.#waiting;
    this.#waiting = null;
    this.#waitingLast = null;
    this.#isRunning = true;
    this.#covered = this.#disks.writtenBytes;
    // One for this loop: a round ends only after all of it has begun.
    this.#open = 1;
    const isUseful = this.#disks.fault === Status.ok;
    for (let index = 0; index < this.#disks.count && isUseful; index++) {
      const disk = this.#disks.at(index);
      if (!disk.isUnsynced) continue;
      // What ends from now on is the next round's.
      disk.isUnsynced = false;
      const request = this.#disks.take(this);
      request.operation = Operation.flush;
      this.#open++;
      this.#disks.submitBytes(request, index, 0, 0);
    }
    this.#answered();
  }

  #answered(): void {
    if (--this.#open > 0) return;
    const { fault } = this.#disks;
    if (fault === Status.ok) this.#disks.noteSynced(this.#covered);
    let waiter = this.#running;
    this.#running = null;
    this.#isRunning = false;
    while (waiter !== null) {
      const next: FlushWaiter | null = waiter.nextFlush;
      waiter.nextFlush = null;
      waiter.flushEnded(fault);
      waiter = next;
    }
    if (this.#waiting !== null && !this.#isRunning) this.#begin();
  }
}
