/**
 * SendRun: reads what a snapshot differs in from its base, piece by piece, as it is asked for.
 *
 * It owns the devices of snapshot and base, and the walk, until `close`. Data is read through the
 * snapshot's device alone, so that nothing but what that shows can come.
 */

import type { Device } from "../../block/device.ts";
import { PromiseDevice } from "../../block/promise-device.ts";
import { Lane } from "../../util/lane.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { type DiffExtent, type ExtentSink, PulledDiff } from "./pulled-diff.ts";
import { blocksOf, DATA_BLOCKS_MAX, lengthOfBlocks, ZERO_BLOCKS_MAX } from "./stream-format.ts";
import type { StreamPool } from "./stream-pool.ts";

/** Blocks of a volume; bytes null: they read as zeroes now, and did not in the base. */
export interface StreamPiece {
  readonly first: number;
  readonly count: number;
  readonly bytes: Uint8Array | null;
}

export interface SendRunOptions {
  /** "volume@snapshot" */
  readonly snapshot: string;
  /** As `snapshot`; null: all of it. */
  readonly base: string | null;
  readonly startBlock: number;
}

/** Data of one answer of `next`. */
const ANSWER_BLOCKS_MAX = DATA_BLOCKS_MAX;
const ANSWER_PIECES_MAX = 256;

export class SendRun {
  readonly #device: PromiseDevice;
  /** Only held: it is not deleted while it is compared with. */
  readonly #base: Device | null;
  readonly #diff: PulledDiff;
  readonly #lane = new Lane();
  readonly #sizeBytes: number;
  /** Extents that were taken and not sent yet; the first one may be begun. */
  #extents: DiffExtent[] = [];
  #closed: Promise<void> | null = null;

  /** @throws PenstockError `snapshot-not-found`, `family-differs`, as `Pool.openVolume` */
  static async open(pool: StreamPool, options: SendRunOptions): Promise<SendRun> {
    const { snapshot, base, startBlock } = options;
    const how = { readOnly: true, stageName: `send of ${snapshot}` };
    const opened: Device[] = [];
    try {
      opened.push(await pool.openVolume(snapshot, how));
      if (base !== null) opened.push(await pool.openVolume(base, how));
      const [own, held = null] = opened as [Device, Device?];
      const walk = (sink: ExtentSink) => pool.diff(base, snapshot, startBlock, sink);
      return new SendRun(new PromiseDevice(own), held, walk);
    } catch (thrown) {
      for (const device of opened) await device.close();
      throw thrown;
    }
  }

  private constructor(
    device: PromiseDevice,
    base: Device | null,
    walk: (sink: ExtentSink) => Promise<void>,
  ) {
    this.#device = device;
    this.#base = base;
    this.#diff = new PulledDiff(walk);
    this.#sizeBytes = device.device.info.sizeBytes;
  }

  /**
   * The next pieces, in the order of their blocks; empty: that was all. Calls come in turn.
   * @throws PenstockError of the walk, DeviceError of a read, `aborted` when it was closed
   */
  next(): Promise<readonly StreamPiece[]> {
    return this.#lane.run(() => this.#next());
  }

  /** Idempotent; a `next` that is under way ends with an error or its answer. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #next(): Promise<readonly StreamPiece[]> {
    const chosen = await this.#choose();
    return await Promise.all(
      chosen.map(async ({ first, count, kind }) => {
        if (kind === "zero") return { first, count, bytes: null };
        const length = lengthOfBlocks(first, count, this.#sizeBytes);
        const bytes = await this.#device.readAt(first * BLOCK_BYTES, length);
        return { first, count, bytes };
      }),
    );
  }

  async #choose(): Promise<readonly DiffExtent[]> {
    const chosen: DiffExtent[] = [];
    let room = ANSWER_BLOCKS_MAX;
    while (room > 0 && chosen.length < ANSWER_PIECES_MAX) {
      if (this.#extents.length === 0 && chosen.length === 0) await this.#take();
      const extent = this.#extents.shift();
      if (extent === undefined) break;
      const { first, kind } = extent;
      const most = kind === "data" ? room : ZERO_BLOCKS_MAX;
      const count = Math.min(extent.count, most);
      if (count < extent.count) {
        this.#extents.unshift({ first: first + count, count: extent.count - count, kind });
      }
      if (kind === "data") room -= count;
      chosen.push({ first, count, kind });
    }
    return chosen;
  }

  /** Until there is one that is of the volume as it is, or no more. */
  async #take(): Promise<void> {
    const blocks = blocksOf(this.#sizeBytes);
    for (;;) {
      const taken = await this.#diff.next();
      if (taken.length === 0) return;
      // A base may have been larger.
      this.#extents = taken
        .filter(({ first }) => first < blocks)
        .map((extent) => ({ ...extent, count: Math.min(extent.count, blocks - extent.first) }));
      if (this.#extents.length > 0) return;
    }
  }

  async #close(): Promise<void> {
    await this.#diff.close();
    await this.#device.close();
    await this.#base?.close();
  }
}
