/**
 * ReusePipeline: when the blocks that records have freed may be used again.
 *
 *   add --record durable--> --reads that began before have ended--> --punched, if asked--> space
 *
 * Reads are counted in two groups: those that began before the runs at hand became durable, and
 * later ones. When the first group is empty the runs go on and the groups change places. It owns
 * the runs that wait; bounded by WAITING_BLOCKS_MAX, beyond which the SpaceMap asks for a flush.
 *
 * spec: docs/internals/pool-format.md, R
 */

import { assert } from "../../util/assert.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import type { Address } from "../pool-layout.ts";
import { PunchQueue } from "./punch-queue.ts";
import type { SpaceMap } from "./space-map.ts";

export interface ReusePipelineOptions {
  readonly space: SpaceMap;
  readonly disks: PoolDisks;
}

const CAPACITY_INITIAL = 256;

export class ReusePipeline {
  readonly punches: PunchQueue;
  readonly #space: SpaceMap;
  /** A ring of runs, oldest first: [first, durable) wait for readers, the others for a flush. */
  #addresses = new Float64Array(CAPACITY_INITIAL);
  #counts = new Uint32Array(CAPACITY_INITIAL);
  #sequences = new Float64Array(CAPACITY_INITIAL);
  #punch = new Uint8Array(CAPACITY_INITIAL);
  /** Counted up for ever; places in the ring are modulo its size, a power of two. */
  #first = 0;
  #durable = 0;
  #end = 0;
  /** [first, drained) wait for the readers of the older group only. */
  #drained = 0;
  #readers = [0, 0];
  /** Group of reads that begin now. */
  #group = 0;

  constructor({ space, disks }: ReusePipelineOptions) {
    this.#space = space;
    this.punches = new PunchQueue(disks, (address, count) => space.reusable(address, count));
    space.reuse = this;
  }

  /** Freed by a record in frame `sequence`. By the SpaceMap. Hot path. */
  add(address: Address, count: number, sequence: number, punch: boolean): void {
    const last = this.#end - 1;
    if (last >= this.#durable) {
      const at = last & this.#mask;
      const isSame = this.#sequences[at] === sequence && (this.#punch[at] === 1) === punch;
      assert((this.#sequences[at] as number) <= sequence, "records are applied in their order");
      if (isSame && (this.#addresses[at] as number) + (this.#counts[at] as number) === address) {
        this.#counts[at] = (this.#counts[at] as number) + count;
        return;
      }
    }
    if (this.#end - this.#first === this.#addresses.length) this.#grow();
    const at = this.#end++ & this.#mask;
    this.#addresses[at] = address;
    this.#counts[at] = count;
    this.#sequences[at] = sequence;
    this.#punch[at] = punch ? 1 : 0;
  }

  /** All frames up to this one are on stable media. By PoolLog after a flush. */
  durableThrough(sequence: number): void {
    while (this.#durable < this.#end) {
      if ((this.#sequences[this.#durable & this.#mask] as number) > sequence) break;
      this.#durable++;
    }
    this.#advance();
  }

  /** Before blocks are looked up. @returns what `endRead` gets. Hot path. */
  beginRead(): number {
    const group = this.#group;
    this.#readers[group] = (this.#readers[group] as number) + 1;
    return group;
  }

  /** The blocks are not read any more. Hot path. */
  endRead(token: number): void {
    const left = (this.#readers[token] as number) - 1;
    assert(left >= 0, "a read ends once");
    this.#readers[token] = left;
    if (left === 0 && token !== this.#group) this.#advance();
  }

  get #mask(): number {
    return this.#addresses.length - 1;
  }

  /** Lets runs go whose readers have ended; begins to wait for those of the next runs. */
  #advance(): void {
    while (this.#readers[1 - this.#group] === 0) {
      while (this.#first < this.#drained) this.#release(this.#first++ & this.#mask);
      if (this.#drained === this.#durable) return;
      // Reads that begin from now on cannot see these runs.
      this.#drained = this.#durable;
      this.#group = 1 - this.#group;
    }
  }

  #release(at: number): void {
    const [address, count] = [this.#addresses[at] as number, this.#counts[at] as number];
    if (this.#punch[at] === 1) this.punches.add(address, count);
    else this.#space.reusable(address, count);
  }

  #grow(): void {
    const size = this.#addresses.length;
    const [addresses, counts] = [new Float64Array(size * 2), new Uint32Array(size * 2)];
    const [sequences, punch] = [new Float64Array(size * 2), new Uint8Array(size * 2)];
    for (let index = this.#first; index < this.#end; index++) {
      const [from, to] = [index & (size - 1), index & (size * 2 - 1)];
      addresses[to] = this.#addresses[from] as number;
      counts[to] = this.#counts[from] as number;
      sequences[to] = this.#sequences[from] as number;
      punch[to] = this.#punch[from] as number;
    }
    this.#addresses = addresses;
    this.#counts = counts;
    this.#sequences = sequences;
    this.#punch = punch;
  }
}
