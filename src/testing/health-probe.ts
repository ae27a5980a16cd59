/**
 * A well-behaved client beside badly behaved ones: verified writes and reads, and how long they
 * took. Owned by one test; one request at a time.
 */

import assert from "node:assert/strict";

import type { Prng } from "../util/prng.ts";
import { NbdRawClient } from "./nbd-raw-client.ts";
import { withTimeout } from "./penstock-process.ts";
import { VerifyingProbe } from "./verifying-probe.ts";

const BLOCK_BYTES = 4096;
const LONG_TRANSFER_BYTES = 8 * 2 ** 20;
const LONG_TRANSFER_MS_MAX = 30_000;

export class HealthProbe extends VerifyingProbe {
  readonly client: NbdRawClient;
  readonly #prng: Prng;
  readonly #blockCount: number;

  /** Uses the first `lengthBytes` of the export; default: all of it. */
  static async open(uri: string, prng: Prng, lengthBytes?: number): Promise<HealthProbe> {
    const client = await NbdRawClient.open(uri);
    return new HealthProbe(client, prng, lengthBytes ?? client.sizeBytes);
  }

  private constructor(client: NbdRawClient, prng: Prng, lengthBytes: number) {
    super();
    this.client = client;
    this.#prng = prng;
    this.#blockCount = lengthBytes / BLOCK_BYTES;
  }

  /** Writes a block somewhere and reads it back; throws when that is not what was written. */
  override async check(): Promise<void> {
    const block = Buffer.alloc(BLOCK_BYTES);
    this.#prng.fill(block);
    const offset = this.#prng.below(this.#blockCount) * BLOCK_BYTES;
    await this.timed(() => this.client.write(offset, block));
    const read = await this.timed(() => this.client.read(offset, BLOCK_BYTES));
    assert.ok(read.equals(block), `the block at ${offset} is not what was written`);
    this.checkCount += 1;
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
