/**
 * VerifiedLoad: writes and reads of a share that go on until they are stopped, and know what
 * belongs at each place: the piece's number and how often it was written.
 *
 *   running --stop()--> stopped --check(uri)...--> what was acknowledged is there, or `mismatch`
 *
 * Every piece belongs to one lane, so that no two writes of one piece are under way at a time.
 */

import { assert } from "../util/assert.ts";
import { PenstockError } from "../util/errors.ts";
import { Prng } from "../util/prng.ts";
import { type CheckClient, connectCheckClient } from "./check-client.ts";

export const PIECE_BYTES = 16 * 1024;
const LANES = 8;
/** One in so many requests of a lane reads and compares. */
const READ_EVERY = 4;
const FLUSH_EVERY = 256;

export class VerifiedLoad {
  acknowledgedWrites = 0;
  comparedReads = 0;
  readonly #client: CheckClient;
  readonly #seed: number;
  /** Of each piece: how often it was written and acknowledged. */
  readonly #generations: Uint32Array;
  #stopped = false;

  /**
   * @param lengthBytes of the part that it uses, from the start: a multiple of 128 KiB
   * @throws PenstockError when nobody is there or the export is smaller
   */
  static async connect(
    uri: string,
    options: { readonly lengthBytes: number; readonly seed: number },
  ): Promise<VerifiedLoad> {
    const client = await connectCheckClient(uri);
    if (client.sizeBytes < options.lengthBytes) {
      throw new PenstockError({
        code: "size-invalid",
        message: `the export has ${client.sizeBytes} bytes, expected ${options.lengthBytes}`,
      });
    }
    return new VerifiedLoad(client, options);
  }

  private constructor(
    client: CheckClient,
    { lengthBytes, seed }: { readonly lengthBytes: number; readonly seed: number },
  ) {
    assert(lengthBytes % (PIECE_BYTES * LANES) === 0, "every lane has as many pieces");
    this.#client = client;
    this.#seed = seed;
    this.#generations = new Uint32Array(lengthBytes / PIECE_BYTES);
  }

  /** Settles after `stop`, with everything flushed. @throws PenstockError: the first error */
  async run(): Promise<void> {
    const lanes = Array.from({ length: LANES }, (_, lane) => this.#lane(lane));
    try {
      await Promise.all(lanes);
      await this.#client.flush();
      await this.#client.close();
    } finally {
      this.#stopped = true;
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /**
   * Reads all of it over a connection of its own; nothing runs.
   * @returns how many bytes were compared
   * @throws PenstockError `mismatch` with the first wrong offset
   */
  async check(uri: string): Promise<number> {
    const client = await connectCheckClient(uri);
    let comparedBytes = 0;
    for (const [piece, generation] of this.#generations.entries()) {
      if (generation === 0) continue;
      this.#compare(await client.read(piece * PIECE_BYTES, PIECE_BYTES), piece, generation);
      comparedBytes += PIECE_BYTES;
    }
    await client.close();
    return comparedBytes;
  }

  async #lane(lane: number): Promise<void> {
    const prng = new Prng(`${this.#seed}:lane ${lane}`);
    const pieces = this.#generations.length / LANES;
    for (let count = 1; !this.#stopped; count++) {
      const piece = prng.below(pieces) * LANES + lane;
      const generation = this.#generations[piece] as number;
      if (generation > 0 && prng.below(READ_EVERY) === 0) {
        const data = await this.#client.read(piece * PIECE_BYTES, PIECE_BYTES);
        this.#compare(data, piece, generation);
        this.comparedReads++;
      } else {
        const data = patternOf(this.#seed, piece, generation + 1);
        await this.#client.write(piece * PIECE_BYTES, data);
        this.#generations[piece] = generation + 1;
        this.acknowledgedWrites++;
      }
      if (lane === 0 && count % FLUSH_EVERY === 0) await this.#client.flush();
    }
  }

  #compare(found: Buffer, piece: number, generation: number): void {
    const expected = patternOf(this.#seed, piece, generation);
    if (found.equals(expected)) return;
    const within = found.findIndex((byte, index) => byte !== expected[index]);
    const offset = piece * PIECE_BYTES + within;
    throw new PenstockError({
      code: "mismatch",
      message: `the byte at ${offset} is not the one that was written (write ${generation} there)`,
      details: { offset, generation },
    });
  }
}

function patternOf(seed: number, piece: number, generation: number): Buffer {
  const data = Buffer.allocUnsafe(PIECE_BYTES);
  const prng = new Prng(`${seed}:${piece}:${generation}`);
  for (let at = 0; at < PIECE_BYTES; at += 4) data.writeUInt32LE(prng.nextUint32(), at);
  return data;
}
