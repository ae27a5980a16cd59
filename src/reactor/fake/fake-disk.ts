/**
 * FakeDisk: the files of one fake machine: content, space, latency and faults. It outlives the
 * processes that use it; power loss takes from it what was not on the medium.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import type { EventQueue } from "./event-queue.ts";
import { FakeFaults } from "./fake-faults.ts";
import { FakeFile, type SpaceAccount } from "./fake-file.ts";
import { FILE_PAGE_BYTES } from "./fake-file-chunk.ts";

/** Bounds of a delay that is drawn for each operation, milliseconds. */
export interface FakeLatency {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface FakeDiskOptions {
  readonly transferLatency?: FakeLatency;
  readonly syncLatency?: FakeLatency;
  /** Space of all regular files together; default without limit. */
  readonly spaceBytes?: number;
  /** Sync and durable writes say yes and do nothing. */
  readonly lyingFlush?: boolean;
}

export interface CreateFileOptions {
  readonly path: string;
  readonly sizeBytes: number;
  readonly isBlockDevice?: boolean;
}

const TRANSFER_LATENCY_DEFAULT: FakeLatency = { minMs: 0.02, maxMs: 0.2 };
const SYNC_LATENCY_DEFAULT: FakeLatency = { minMs: 0.2, maxMs: 4 };

/** An open file's claim. */
export interface FileHolder {
  readonly file: FakeFile;
  readonly isExclusive: boolean;
  readonly holder: string;
}

/** One in this many operations takes much longer than the others. */
const SLOW_ONE_IN = 256;
const SLOW_FACTOR = 30;

export class FakeDisk implements SpaceAccount {
  readonly faults: FakeFaults;
  /** May be changed at any time. */
  transferLatency: FakeLatency;
  syncLatency: FakeLatency;
  spacePages: number;
  lyingFlush: boolean;
  /** Who has files open: claims. Kept by the processes' file tables. */
  readonly holders = new Set<FileHolder>();
  /** Pages of 4 KiB that regular files take. */
  usedPages = 0;
  /** How often it was without power: another boot id each time. */
  powerLossCount = 0;
  readonly #prng: Prng;
  readonly #files = new Map<string, FakeFile>();
  /** By the file's identity; `Io.noteFault`. */
  readonly #faultCounts = new Map<string, number>();
  #nextId = 1;

  constructor(queue: EventQueue, prng: Prng, options: FakeDiskOptions = {}) {
    this.#prng = prng;
    this.faults = new FakeFaults(queue, prng.fork("faults"));
    this.transferLatency = options.transferLatency ?? TRANSFER_LATENCY_DEFAULT;
    this.syncLatency = options.syncLatency ?? SYNC_LATENCY_DEFAULT;
    this.spacePages = (options.spaceBytes ?? Number.POSITIVE_INFINITY) / FILE_PAGE_BYTES;
    this.lyingFlush = options.lyingFlush ?? false;
  }

  get paths(): string[] {
    return [...this.#files.keys()];
  }

  create(options: CreateFileOptions): FakeFile {
    assert(!this.#files.has(options.path), `${options.path} is there already`);
    const file = new FakeFile({
      path: options.path,
      sizeBytes: options.sizeBytes,
      isBlockDevice: options.isBlockDevice ?? false,
      id: this.#nextId++,
      prng: this.#prng.fork(options.path),
      space: this,
    });
    this.#files.set(options.path, file);
    return file;
  }

  /** The file, or undefined when there is none. */
  file(path: string): FakeFile | undefined {
    return this.#files.get(path);
  }

  /** Removes a file that nobody has open. */
  remove(path: string): void {
    this.#files.get(path)?.free();
    this.#files.delete(path);
  }

  /**
   * Everything not on the medium is there or gone, sector by sector.
   * @param keep chance of each dirty sector to be there; default: drawn, and often 0 or 1
   */
  powerLoss(keep?: number): void {
    this.powerLossCount++;
    this.#faultCounts.clear();
    const drawn = this.#prng.pick([0, 1, this.#prng.float(), this.#prng.float()]);
    for (const file of this.#files.values()) file.powerLoss(keep ?? drawn);
  }

  noteFault(identity: string): void {
    this.#faultCounts.set(identity, this.faultCount(identity) + 1);
  }

  faultCount(identity: string): number {
    return this.#faultCounts.get(identity) ?? 0;
  }

  transferDelayMs(): number {
    return this.#delayMs(this.transferLatency);
  }

  syncDelayMs(): number {
    return this.#delayMs(this.syncLatency);
  }

  takePages(count: number, force = false): boolean {
    if (!force && this.usedPages + count > this.spacePages) return false;
    this.usedPages += count;
    return true;
  }

  returnPages(count: number): void {
    this.usedPages -= count;
    assert(this.usedPages >= 0, "pages are returned once");
  }

  #delayMs({ minMs, maxMs }: FakeLatency): number {
    const delayMs = minMs + (maxMs - minMs) * this.#prng.float();
    return this.#prng.below(SLOW_ONE_IN) === 0 ? delayMs * SLOW_FACTOR : delayMs;
  }
}
