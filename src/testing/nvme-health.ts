/**
 * A well-behaved NVMe/TCP host beside badly behaved ones: verified writes and reads, and how long
 * they took. Owned by one test; one command at a time.
 */

import assert from "node:assert/strict";
import type { Prng } from "../util/prng.ts";
import type { Digests } from "./nvme-bytes.ts";
import { blockBytesOf, NvmeRawClient } from "./nvme-raw-client.ts";
import { VerifyingProbe } from "./verifying-probe.ts";

const BLOCK_BYTES = 4096;
/** Where it writes: the last MiB is left to others. */
const BLOCK_COUNT = 128;
const SIZES = [BLOCK_BYTES, 16 * BLOCK_BYTES] as const;

export class NvmeProbe extends VerifyingProbe {
  readonly admin: NvmeRawClient;
  readonly io: NvmeRawClient;
  readonly #prng: Prng;
  readonly #blockBytes: number;

  static async open(uri: string, prng: Prng, digests?: Digests): Promise<NvmeProbe> {
    const options = { subsystem: subsystemOf(uri), ...(digests && { digests }) };
    const admin = await NvmeRawClient.openAdmin(uri, options);
    const blockBytes = await blockBytesOf(admin);
    const io = await NvmeRawClient.openIo(uri, admin, options);
    return new NvmeProbe(admin, io, prng, blockBytes);
  }

  private constructor(admin: NvmeRawClient, io: NvmeRawClient, prng: Prng, blockBytes: number) {
    super();
    this.admin = admin;
    this.io = io;
    this.#prng = prng;
    this.#blockBytes = blockBytes;
  }

  /** Writes somewhere, in the capsule or on request, and reads it back. */
  override async check(): Promise<void> {
    const data = Buffer.alloc(this.#prng.pick(SIZES));
    this.#prng.fill(data);
    const block = this.#prng.below(BLOCK_COUNT) * (BLOCK_BYTES / this.#blockBytes);
    await this.timed(() => this.io.write(block, data, this.#blockBytes));
    const count = data.length / this.#blockBytes;
    const read = await this.timed(() => this.io.read(block, count, this.#blockBytes));
    assert.ok(read.equals(data), `block ${block} is not what was written`);
    this.checkCount += 1;
  }

  /** Leaves without a word. */
  close(): void {
    this.io.raw.destroy();
    this.admin.raw.destroy();
  }
}

/** A new host connects, writes and reads: the target still works. */
export async function checkNvmeHealth(uri: string, prng: Prng): Promise<void> {
  const probe = await NvmeProbe.open(uri, prng);
  await probe.check();
  probe.close();
}

/** The NQN of `nvmf://host:port/NQN?...`. */
export function subsystemOf(uri: string): string {
  return decodeURIComponent(new URL(uri).pathname.slice(1));
}
