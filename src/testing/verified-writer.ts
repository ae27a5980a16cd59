/**
 * Writes numbered content to an export and knows, for each sector, what may be found there later.
 *
 * Per sector: the number acknowledged last, and the one in flight. After any crash a sector holds
 * one of the two; anything else is lost or invented data. At most one write of a sector is in
 * flight, so the order of writes is never in doubt. Owned by one test.
 */

import { CommandFlag, NbdError } from "../proto/nbd/constants.ts";
import { assert } from "../util/assert.ts";
import type { Prng } from "../util/prng.ts";
import { NbdReplyError } from "./nbd-raw-client.ts";

const WRITER_BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const WORDS_PER_SECTOR = SECTOR_BYTES / 4;
const SECTORS_PER_BLOCK = WRITER_BLOCK_BYTES / SECTOR_BYTES;
const RUN_BLOCKS_MAX = 16;
/** One write in this many has FUA, one in this many is followed by a flush. */
const FUA_EVERY = 16;
const FLUSH_EVERY = 64;

/** What it writes to; an NbdRawClient is one. */
export interface WriteTarget {
  /** Set once the connection has ended; requests then reject. */
  readonly failure: Error | undefined;
  write(offset: number, payload: Uint8Array, flags?: number): Promise<void>;
  flush(): Promise<void>;
}

export interface VerifiedWriterOptions {
  /** Writes whole blocks within this range of the export. */
  readonly offset?: number;
  readonly lengthBytes: number;
  readonly prng: Prng;
  /** Requests in flight. */
  readonly depth: number;
}

export class VerifiedWriter {
  readonly #offset: number;
  readonly #sectorCount: number;
  readonly #prng: Prng;
  readonly #depth: number;
  /** By sector: number of the last write known to be there; 0: none, it reads as zeroes. */
  readonly #acknowledged: Uint32Array;
  /** By sector; 0: nothing in flight. Stays set when the answer never came. */
  readonly #inFlight: Uint32Array;
  #lastNumber = 0;
  #stopped = false;
  /** Writes acknowledged so far. */
  acknowledgedCount = 0;

  constructor(options: VerifiedWriterOptions) {
    assert(options.lengthBytes % WRITER_BLOCK_BYTES === 0, "whole blocks");
    this.#offset = options.offset ?? 0;
    this.#sectorCount = options.lengthBytes / SECTOR_BYTES;
    this.#prng = options.prng;
    this.#depth = options.depth;
    this.#acknowledged = new Uint32Array(this.#sectorCount);
    this.#inFlight = new Uint32Array(this.#sectorCount);
  }

  /** Sends nothing more; what is in flight goes on. */
  stop(): void {
    this.#stopped = true;
  }

  /** Keeps writes in flight until `stop`, or until the connection ends; then resolves. */
  async run(client: WriteTarget): Promise<void> {
    this.#stopped = false;
    const lanes = Array.from({ length: this.#depth }, async () => {
      while (!this.#stopped && client.failure === undefined) {
        await this.#writeOnce(client);
      }
    });
    await Promise.all(lanes);
  }

  /**
   * Throws unless each sector of `content`, the writer's range, is one that may be there. What was
   * in flight is there or not, and from now on stays as it was found.
   */
  check(content: Uint8Array): void {
    assert(content.length === this.#sectorCount * SECTOR_BYTES, "the writer's whole range");
    const aligned = content.slice();
    const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
    for (let sector = 0; sector < this.#sectorCount; sector += 1) {
      const start = sector * WORDS_PER_SECTOR;
      this.#checkSector(sector, words.subarray(start, start + WORDS_PER_SECTOR));
    }
  }

  #checkSector(sector: number, words: Uint32Array): void {
    const acknowledged = this.#acknowledged[sector] ?? 0;
    const inFlight = this.#inFlight[sector] ?? 0;
    const found = words[1] ?? 0;
    const isAllowed = found === acknowledged || (inFlight !== 0 && found === inFlight);
    if (!isAllowed || !isWhole(words, sector, found)) {
      throw new Error(
        `the sector at ${this.#offset + sector * SECTOR_BYTES} holds write ${found} of sector ` +
          `${words[0]}${isAllowed ? ", torn or changed" : ""}; acknowledged is write ` +
          `${acknowledged}, in flight ${inFlight || "nothing"}, of ${this.#lastNumber} writes`,
      );
    }
    this.#acknowledged[sector] = found;
    this.#inFlight[sector] = 0;
  }

  async #writeOnce(client: WriteTarget): Promise<void> {
    const { sector, count } = this.#chooseRun();
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    this.#inFlight.fill(number, sector, sector + count);
    const flags = number % FUA_EVERY === 0 ? CommandFlag.fua : 0;
    try {
      await client.write(
        this.#offset + sector * SECTOR_BYTES,
        content(sector, count, number),
        flags,
      );
      this.#acknowledged.fill(number, sector, sector + count);
      this.#inFlight.fill(0, sector, sector + count);
      this.acknowledgedCount += 1;
      if (number % FLUSH_EVERY === 0) {
        await client.flush();
      }
    } catch (error) {
      // The end of the connection is what crash tests wait for; an error reply is not, but for
      // that of a server about to stop.
      const isStopping = error instanceof NbdReplyError && error.error === NbdError.eshutdown;
      if (client.failure === undefined && !isStopping) {
        throw error;
      }
      this.#stopped = true;
    }
  }

  /** Whole blocks next to each other, none of them in flight. */
  #chooseRun(): { readonly sector: number; readonly count: number } {
    for (;;) {
      const block = this.#prng.below(this.#sectorCount / SECTORS_PER_BLOCK);
      const sector = block * SECTORS_PER_BLOCK;
      const wanted = (1 + this.#prng.below(RUN_BLOCKS_MAX)) * SECTORS_PER_BLOCK;
      const limit = Math.min(wanted, this.#sectorCount - sector);
      let count = 0;
      while (count < limit && this.#inFlight[sector + count] === 0) {
        count += SECTORS_PER_BLOCK;
      }
      if (count > 0) {
        return { sector, count };
      }
    }
  }
}

/** Each sector says where it belongs and which write it is, and all of its words depend on both. */
function content(sector: number, count: number, number: number): Uint8Array {
  const words = new Uint32Array(count * WORDS_PER_SECTOR);
  for (let index = 0; index < words.length; index += 1) {
    words[index] = wordOf(sector + Math.floor(index / WORDS_PER_SECTOR), number, index);
  }
  return new Uint8Array(words.buffer);
}

function isWhole(words: Uint32Array, sector: number, number: number): boolean {
  return words.every((word, index) => {
    return word === (number === 0 ? 0 : wordOf(sector, number, index));
  });
}

/** `index` counts from any sector's start. */
function wordOf(sector: number, number: number, index: number): number {
  const inSector = index % WORDS_PER_SECTOR;
  if (inSector < 2) {
    return inSector === 0 ? sector : number;
  }
  return (Math.imul(sector + inSector, 0x85eb_ca6b) ^ Math.imul(number, 0xc2b2_ae35)) >>> 0;
}
