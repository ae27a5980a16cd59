/**
 * A well-behaved client beside badly behaved ones: verified writes and reads, and how long they
 * took. Owned by one test; one request at a time.
 */

import assert from "node:assert/strict";

import type { Prng } from "../util/prng.ts";
import { NbdRawClient } from "./nbd-raw-client.ts";
import { withTimeout } from "./penstock-process.ts";

const BLOCK_BYTES = 4096;
/** Far above what two loaded cores need, far below what a stuck server needs. */
const LATENCY_MS_MAX = 2000;
const LONG_TRANSFER_BYTES = 8 * 2 ** 20;
const LONG_TRANSFER_MS_MAX = 10_000;

export class HealthProbe {
  readonly client: NbdRawClient;
  readonly #prng: Prng;
  readonly #blockCount: number;
  /** Longest time that one write or read took. */
  slowestMs = 0;
  checkCount = 0;
  #running = true;

  /** Uses the first `lengthBytes` of the export; default: all of it. */
  static async open(uri: string, prng: Prng, lengthBytes?: number): Promise<HealthProbe> {
    const client = await NbdRawClient.open(uri);
    return new HealthProbe(client, prng, lengthBytes ?? client.sizeBytes);
  }

  private constructor(client: NbdRawClient, prng: Prng, lengthBytes: number) {
    this.client = client;
    this.#prng = prng;
    this.#blockCount = lengthBytes / BLOCK_BYTES;
  }

  /** Writes a block somewhere and reads it back; throws when that is not what was written. */
  async check(): Promise<void> {
    const block = Buffer.alloc(BLOCK_BYTES);
    this.#prng.fill(block);
    const offset = this.#prng.below(this.#blockCount) * BLOCK_BYTES;
    await this.#timed(() => this.client.write(offset, block));
    const read = await this.#timed(() => this.client.read(offset, BLOCK_BYTES));
    assert.ok(read.equals(block), `the block at ${offset} is not what was written`);
    this.checkCount += 1;
  }

  /** Checks again and again until `stop`; rejects at the first failure. */
  async run(): Promise<void> {
    while (this.#running) {
      await this.check();
    }
  }

  stop(): void {
    this.#running = false;
  }

  async #timed<T>(action: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await action();
    const tookMs = performance.now() - startMs;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    assert.ok(tookMs < LATENCY_MS_MAX, `a request of the other client took ${tookMs} ms`);
    return result;
  }
}

/** Opens a new connection, checks once, and says goodbye: the server still works. */
export async function checkHealth(uri: string, prng: Prng): Promise<void> {
  const probe = await HealthProbe.open(uri, prng);
  await probe.check();
  await probe.client.disconnect();
}

/** A newcomer whose transfers need more than a small buffer is served in reasonable time. */
export async function checkLongTransfer(uri: string, offset: number): Promise<void> {
  const transfer = async (): Promise<void> => {
    const client = await NbdRawClient.open(uri);
    const payload = Buffer.alloc(LONG_TRANSFER_BYTES, 0x21);
    await client.write(offset, payload);
    assert.ok((await client.read(offset, payload.length)).equals(payload));
    await client.disconnect();
  };
  await withTimeout(transfer(), LONG_TRANSFER_MS_MAX, () => {
    return `${LONG_TRANSFER_BYTES} bytes not written and read in ${LONG_TRANSFER_MS_MAX} ms`;
  });
}
