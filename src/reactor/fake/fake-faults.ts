/**
 * FakeFaults: what a test makes go wrong on a fake disk: errors, hangs and delays, by path,
 * operation and position, once, n times or by chance. Owns the list of faults and hung operations.
 */

import type { Prng } from "../../util/prng.ts";
import type { FakeEvent, EventQueue } from "./event-queue.ts";

export type FakeFileOperation = "open" | "read" | "write" | "sync" | "punch" | "zero" | "seek";

export type FakeFaultEffect =
  /** The operation fails with -errno; a failed write may have written a part. */
  | { readonly kind: "error"; readonly errno: number }
  /** The operation does not end before `FakeFault.release`. */
  | { readonly kind: "hang" }
  /** The operation takes this much longer. */
  | { readonly kind: "delay"; readonly delayMs: number };

export interface FakeFaultOptions {
  readonly effect: FakeFaultEffect;
  /** Default: any path. */
  readonly path?: string;
  /** Default: all operations but `open`. */
  readonly operations?: readonly FakeFileOperation[];
  /** Only operations that touch this range; sync, open and seek have no range and always match. */
  readonly range?: { readonly offset: number; readonly length: number };
  /** How often; default for ever. */
  readonly count?: number;
  /** Of those that match; default 1. */
  readonly probability?: number;
}

/** One fault. Holds on until its count is used up or it is removed. */
export class FakeFault {
  readonly options: FakeFaultOptions;
  /** How often it has struck. */
  hits = 0;
  readonly #faults: FakeFaults;
  #hung: FakeEvent[] = [];

  constructor(faults: FakeFaults, options: FakeFaultOptions) {
    this.#faults = faults;
    this.options = options;
  }

  /** Operations that hang now. */
  get hungCount(): number {
    return this.#hung.length;
  }

  hang(event: FakeEvent): void {
    this.#hung.push(event);
  }

  /** Takes a hung operation out, when its process ends. */
  forget(event: FakeEvent): void {
    this.#hung = this.#hung.filter((other) => other !== event);
  }

  /** No further operation is struck; what hangs goes on hanging. */
  remove(): void {
    this.#faults.remove(this);
  }

  /** Removes the fault and lets what hangs go on, in order. */
  release(): void {
    this.remove();
    const hung = this.#hung;
    this.#hung = [];
    for (const event of hung) this.#faults.queue.schedule(event, 0);
  }
}

export class FakeFaults {
  readonly queue: EventQueue;
  readonly #prng: Prng;
  #faults: FakeFault[] = [];

  constructor(queue: EventQueue, prng: Prng) {
    this.queue = queue;
    this.#prng = prng;
  }

  inject(options: FakeFaultOptions): FakeFault {
    const fault = new FakeFault(this, options);
    this.#faults.push(fault);
    return fault;
  }

  remove(fault: FakeFault): void {
    this.#faults = this.#faults.filter((other) => other !== fault);
  }

  /** The fault that strikes this operation, the oldest first; counts the hit. */
  strike(
    path: string,
    operation: FakeFileOperation,
    position: number,
    length: number,
  ): FakeFault | null {
    if (this.#faults.length === 0) return null;
    for (const fault of this.#faults) {
      if (!matches(fault.options, path, operation, position, length)) continue;
      if (!this.#prng.chance(fault.options.probability ?? 1)) continue;
      fault.hits++;
      if (fault.hits >= (fault.options.count ?? Number.POSITIVE_INFINITY)) this.remove(fault);
      return fault;
    }
    return null;
  }
}

function matches(
  options: FakeFaultOptions,
  path: string,
  operation: FakeFileOperation,
  position: number,
  length: number,
): boolean {
  const { operations, range } = options;
  if (options.path !== undefined && options.path !== path) return false;
  if (operations === undefined ? operation === "open" : !operations.includes(operation)) {
    return false;
  }
  if (range === undefined || length === 0) return true;
  return position < range.offset + range.length && range.offset < position + length;
}
