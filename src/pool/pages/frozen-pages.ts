/**
 * FrozenWriter: writes the pages of a closed generation, both copies, in the order of their
 * addresses, consecutive ones together.
 *
 *   frozen --write--> writing --all written--> written --committed--> done
 *                        +--some failed--> frozen
 *
 * Made by `PageCache.freeze`; at most 32 writes of 1 MiB are in flight. Pages are sealed when the
 * first of their copies is written; nobody changes them before that copy's generation is over.
 */

import { Operation } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { DiskRequest, DiskRequestOwner } from "../disks/disk-request.ts";
import { BLOCK_BYTES, diskOf } from "../pool-layout.ts";
import type { FrozenPages, PageCache } from "./page-cache.ts";
import { readHeader, sealPage } from "./page-format.ts";

const WRITES_MAX = 32;
const RUN_PAGES_MAX = 256;

export class FrozenWriter implements FrozenPages, DiskRequestOwner {
  readonly generation: number;
  readonly #cache: PageCache;
  readonly #slots: readonly number[];
  /** Copies: address of each, its slot, and their order by address. */
  readonly #addresses: Float64Array;
  readonly #order: Uint32Array;
  readonly #sealed: Uint8Array;
  #done: ((status: Status) => void) | null = null;
  #next = 0;
  #inFlight = 0;
  #failure: Status = Status.ok;
  #isWritten = false;

  constructor(cache: PageCache, generation: number, slots: readonly number[]) {
    this.#cache = cache;
    this.generation = generation;
    this.#slots = slots;
    const addresses = new Float64Array(2 * slots.length);
    for (const [index, slot] of slots.entries()) {
      const { a, b } = readHeader(cache.slots.view, slot * BLOCK_BYTES);
      addresses[2 * index] = a;
      addresses[2 * index + 1] = b;
    }
    this.#addresses = addresses;
    this.#order = Uint32Array.from(addresses.keys());
    // Every index is below the length.
    this.#order.sort((x, y) => (addresses[x] as number) - (addresses[y] as number));
    this.#sealed = new Uint8Array(slots.length);
  }

  get count(): number {
    return this.#slots.length;
  }

  write(done: (status: Status) => void): void {
    assert(this.#done === null && !this.#isWritten, "frozen pages are written once");
    this.#done = done;
    this.#next = 0;
    this.#failure = Status.ok;
    this.#continue();
  }

  committed(): void {
    assert(this.#isWritten, "a label is durable after its pages");
    this.#cache.generationCommitted(this.generation);
  }

  diskRequestEnded(request: DiskRequest): void {
    const { status } = request;
    this.#cache.disks.give(request);
    this.#inFlight--;
    if (this.#failure === Status.ok) this.#failure = status;
    this.#continue();
  }

  #continue(): void {
    const end = this.#failure === Status.ok ? this.#order.length : this.#next;
    while (this.#next < end && this.#inFlight < WRITES_MAX) this.#submitRun();
    if (this.#inFlight > 0 || this.#next < end) return;
    const done = this.#done;
    assert(done !== null, "writing ends once");
    this.#done = null;
    if (this.#failure === Status.ok) {
      this.#isWritten = true;
      this.#cache.frozenWritten(this.#slots);
    }
    done(this.#failure);
  }

  /** One write of as many copies as lie one behind the other. */
  #submitRun(): void {
    const { disks, slots } = this.#cache;
    const request = disks.take(this);
    request.operation = Operation.write;
    const address = this.#addressAt(this.#next);
    const { maxTransferBytes } = disks.at(diskOf(address)).device.info;
    const most = Math.min(RUN_PAGES_MAX, Math.floor(maxTransferBytes / BLOCK_BYTES));
    let count = 0;
    while (count < most && this.#addressAt(this.#next) === address + count) {
      const copy = this.#order[this.#next] as number; // below the length: it has an address
      const index = copy >>> 1;
      const at = (this.#slots[index] as number) * BLOCK_BYTES;
      if (this.#sealed[index] === 0) sealPage(slots.view, at);
      this.#sealed[index] = 1;
      request.segments.push(slots.slab.id, at, BLOCK_BYTES);
      count++;
      this.#next++;
    }
    this.#inFlight++;
    disks.submit(request, address, count);
  }

  /** NaN behind the last one, which is behind no other. */
  #addressAt(place: number): number {
    return this.#addresses[this.#order[place] as number] as number;
  }
}
