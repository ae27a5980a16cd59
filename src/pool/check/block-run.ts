/** BlockRun: reads runs of a pool's blocks into memory of its own, for who waits by promises. */

import { Operation, RequestFlag } from "../../block/operation.ts";
import type { Status } from "../../block/status.ts";
import type { Slab } from "../../reactor/slab.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";

export class BlockRun implements DiskRequestOwner {
  readonly slab: Slab;
  readonly #parts: PoolParts;

  /** @throws PenstockError `out-of-memory` */
  constructor(parts: PoolParts, blocks: number) {
    this.#parts = parts;
    this.slab = parts.environment.reactor.io.slabs.allocate(blocks * BLOCK_BYTES);
  }

  /** Reads `count` blocks into its memory, from block `into` of it on. Several at once may run. */
  read(address: Address, count: number, into: number): Promise<Status> {
    const { disks } = this.#parts;
    assert((into + count) * BLOCK_BYTES <= this.slab.bytes.length, "the run has memory");
    return new Promise((resolve) => {
      const request = disks.take(this);
      request.operation = Operation.read;
      request.flags = RequestFlag.background;
      request.segments.push(this.slab.id, into * BLOCK_BYTES, count * BLOCK_BYTES);
      request.item = resolve;
      disks.submit(request, address, count);
    });
  }

  diskRequestEnded(request: DiskRequest): void {
    const { reactor } = this.#parts.environment;
    const resolve = request.item as (status: Status) => void; // set by `read`
    const { status } = request;
    this.#parts.disks.give(request);
    reactor.deliverLater(() => resolve(status));
  }

  /** Nothing is being read. */
  close(): void {
    this.#parts.environment.reactor.io.slabs.release(this.slab);
  }
}
