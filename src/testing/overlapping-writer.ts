/**
 * Sends writes that overlap each other, many before the first is answered, and knows what must be
 * there afterwards: overlapping changes of an export run in the order of their arrival.
 *
 *   burst: writes to one window, none awaited --> all answered --> the window read and compared
 *
 * On one connection, whose order is that of arrival; nobody else writes to its range. Owned by one
 * test.
 */

import { assert } from "../util/assert.ts";
import type { Prng } from "../util/prng.ts";
import type { NbdRawClient } from "./nbd-raw-client.ts";

const SECTOR_BYTES = 512;
const WINDOW_BYTES = 64 * 1024;
const WRITES_PER_BURST = 16;
const WRITE_SECTORS_MAX = 48;

export interface OverlappingWriterOptions {
  /** Of its range of the export. */
  readonly offset: number;
  /** A multiple of 64 KiB. */
  readonly lengthBytes: number;
  readonly prng: Prng;
}

export class OverlappingWriter {
  /** What its range holds now. */
  readonly content: Buffer;
  burstCount = 0;
  readonly #offset: number;
  readonly #prng: Prng;
  #stopped = false;
  #lastNumber = 0;

  constructor({ offset, lengthBytes, prng }: OverlappingWriterOptions) {
    assert(lengthBytes % WINDOW_BYTES === 0, "whole windows");
    this.content = Buffer.alloc(lengthBytes);
    this.#offset = offset;
    this.#prng = prng;
  }

  /** The burst under way is the last. */
  stop(): void {
    this.#stopped = true;
  }

  /** Bursts until `stop`. Rejects when a write fails, or a window differs from what was sent. */
  async run(client: NbdRawClient): Promise<void> {
    while (!this.#stopped) {
      await this.#burst(client);
      this.burstCount += 1;
    }
  }

  async #burst(client: NbdRawClient): Promise<void> {
    const start = this.#prng.below(this.content.length / WINDOW_BYTES) * WINDOW_BYTES;
    const window = this.content.subarray(start, start + WINDOW_BYTES);
    const answers: Promise<void>[] = [];
    for (let count = 0; count < WRITES_PER_BURST; count += 1) {
      const sectors = 1 + this.#prng.below(WRITE_SECTORS_MAX);
      const first = this.#prng.below(WINDOW_BYTES / SECTOR_BYTES - sectors);
      this.#lastNumber += 1;
      const payload = Buffer.alloc(sectors * SECTOR_BYTES);
      for (let at = 0; at < payload.length; at += 4) payload.writeUInt32LE(this.#lastNumber, at);
      payload.copy(window, first * SECTOR_BYTES);
      answers.push(client.write(this.#offset + start + first * SECTOR_BYTES, payload));
    }
    await Promise.all(answers);
    const found = await client.read(this.#offset + start, WINDOW_BYTES);
    const differs = found.findIndex((byte, index) => byte !== window[index]);
    if (differs < 0) return;
    const at = differs - (differs % 4);
    throw new Error(
      `at ${this.#offset + start + at}: write ${found.readUInt32LE(at)} is there, expected ` +
        `${window.readUInt32LE(at)}, of ${this.#lastNumber}`,
    );
  }
}
