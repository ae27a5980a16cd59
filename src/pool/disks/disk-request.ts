/**
 * DiskRequest: a request of the pool's own to one of its disks. `PoolDisks` keeps a list of them;
 * who takes one fills it, submits it there, and gives it back when it has ended.
 */

import { Request } from "../../block/request.ts";
import { assert } from "../../util/assert.ts";
import { type Address, NO_ADDRESS } from "../pool-layout.ts";
import type { PoolDisks } from "./pool-disks.ts";

export interface DiskRequestOwner {
  /** In the turn, once per submit, with `status` and `errorOffset` set. */
  diskRequestEnded(request: DiskRequest): void;
}

export class DiskRequest extends Request {
  owner: DiskRequestOwner | null = null;
  /** First block, as submitted. */
  address: Address = NO_ADDRESS;
  /** Index of its disk. */
  disk = -1;
  /** The owner's. */
  tag = 0;
  /** The owner's. */
  item: unknown = null;
  readonly #disks: PoolDisks;

  constructor(disks: PoolDisks) {
    super();
    this.#disks = disks;
  }

  // hot path
  override complete(): void {
    const { owner } = this;
    assert(owner !== null, "a request of a disk has an owner");
    this.#disks.noteEnded(this);
    owner.diskRequestEnded(this);
  }
}
