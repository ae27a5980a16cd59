/**
 * Orphans: leg requests that a mirror has stopped waiting for, and the memory that they may still
 * read from or write into. Counted and bounded; each is gone when its leg has really ended it.
 *
 * Where there is no room for another one, the client's request goes on waiting for its leg.
 */

import { assert } from "../util/assert.ts";

export interface OrphanLimits {
  readonly countMax: number;
  readonly bytesMax: number;
}

export class Orphans {
  count = 0;
  bytes = 0;
  readonly limits: OrphanLimits;

  constructor(limits: OrphanLimits) {
    this.limits = limits;
  }

  hasRoomFor(bytes: number): boolean {
    return this.count < this.limits.countMax && this.bytes + bytes <= this.limits.bytesMax;
  }

  add(bytes: number): void {
    this.count++;
    this.bytes += bytes;
  }

  remove(bytes: number): void {
    this.count--;
    this.bytes -= bytes;
    assert(this.count >= 0 && this.bytes >= 0, "an orphan ends once");
  }
}
