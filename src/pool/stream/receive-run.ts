/**
 * ReceiveRun: writes what a stream carries into a volume that nobody else can open, and takes the
 * snapshot when all of it is there.
 *
 *   open --put, put, ...--> finish: flushed, snapshot taken, the volume is anybody's again
 *                     \--> close: flushed, the cursor is kept; a later stream goes on there
 *
 * It owns the volume's device until it ends. What it is given was checked by StreamParser.
 */

import { PromiseDevice } from "../../block/promise-device.ts";
import { assert } from "../../util/assert.ts";
import { Lane } from "../../util/lane.ts";
import type { SnapshotInfo } from "../pool-info.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import {
  encodeOrigin,
  encodeState,
  ORIGIN_PROPERTY,
  RECEIVE_PROPERTY,
  type ReceiveState,
} from "./receive-state.ts";
import type { StreamPiece } from "./send-run.ts";
import { lengthOfBlocks } from "./stream-format.ts";
import type { StreamPool } from "./stream-pool.ts";

/** Written between two cursors, unless told otherwise. */
const CURSOR_BYTES = 64 * 2 ** 20;
/** Records without data count too. */
const RECORD_COST_BYTES = 64 * 2 ** 10;

export interface ReceiveTarget {
  readonly volume: string;
  /** "volume@snapshot" */
  readonly snapshot: string;
  readonly state: ReceiveState;
}

export class ReceiveRun {
  readonly #pool: StreamPool;
  readonly #target: ReceiveTarget;
  readonly #device: PromiseDevice;
  readonly #cursorBytes: number;
  readonly #running = new Set<Promise<void>>();
  readonly #cursors = new Lane();
  /** What begins before it has been put; what was put is written, or in `#running`. */
  #position: number;
  #sinceCursor = 0;
  #failure: unknown = null;
  #isEnding = false;
  #closed: Promise<void> | null = null;

  /** The volume has the property `receive`, as in `target`. @throws as `Pool.openVolume` */
  static async open(
    pool: StreamPool,
    target: ReceiveTarget,
    cursorBytes = CURSOR_BYTES,
  ): Promise<ReceiveRun> {
    const stageName = `receive of ${target.snapshot}`;
    const opened = await pool.openVolume(target.volume, { stageName });
    try {
      return new ReceiveRun(pool, { target, cursorBytes }, new PromiseDevice(opened));
    } catch (thrown) {
      await opened.close();
      throw thrown;
    }
  }

  private constructor(
    pool: StreamPool,
    { target, cursorBytes }: { readonly target: ReceiveTarget; readonly cursorBytes: number },
    device: PromiseDevice,
  ) {
    this.#pool = pool;
    this.#target = target;
    this.#cursorBytes = cursorBytes;
    this.#device = device;
    this.#position = target.state.cursor;
  }

  /**
   * In the order of their blocks; calls may be on their way at once, a few. Settles when they are
   * written, and from time to time when the cursor has moved.
   * @throws DeviceError of a write: then nothing more is taken
   */
  async put(pieces: readonly StreamPiece[]): Promise<void> {
    assert(!this.#isEnding, "nothing is put after the end");
    if (this.#failure !== null) throw this.#failure;
    const written = Promise.all(pieces.map((piece) => this.#write(piece))).then(() => undefined);
    const last = pieces.at(-1);
    if (last !== undefined) this.#position = Math.max(this.#position, last.first + last.count);
    await this.#track(written);
    if (this.#sinceCursor < this.#cursorBytes) return;
    this.#sinceCursor = 0;
    await this.#cursors.run(() => this.#saveCursor());
  }

  /** Everything has come, and is what was sent. @throws as `put`, `Pool.createSnapshot` */
  async finish(): Promise<SnapshotInfo> {
    assert(!this.#isEnding, "a run ends once");
    this.#isEnding = true;
    await this.#settled();
    if (this.#failure !== null) throw this.#failure;
    await this.#device.flush();
    const { volume, snapshot, state } = this.#target;
    const properties = new Map([[ORIGIN_PROPERTY, encodeOrigin(state.uuid)]]);
    const name = snapshot.slice(volume.length + 1);
    const taken = await this.#pool.createSnapshot(volume, name, { properties });
    await this.#pool.setProperties(volume, new Map([[RECEIVE_PROPERTY, null]]));
    await this.close();
    return taken;
  }

  /** Keeps what has come, if it can. Never throws; idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#settled();
    if (!this.#isEnding && this.#failure === null) {
      this.#isEnding = true;
      // What is not kept is sent again.
      await this.#cursors.run(() => this.#saveCursor()).catch(() => undefined);
    }
    this.#isEnding = true;
    await this.#device.close();
  }

  /** @throws DeviceError, PenstockError: the cursor is where it was */
  async #saveCursor(): Promise<void> {
    const cursor = this.#position;
    const before = [...this.#running];
    await Promise.allSettled(before);
    if (this.#failure !== null) throw this.#failure;
    await this.#device.flush();
    const state = encodeState({ ...this.#target.state, cursor });
    await this.#pool.setProperties(this.#target.volume, new Map([[RECEIVE_PROPERTY, state]]));
  }

  async #write({ first, count, bytes }: StreamPiece): Promise<void> {
    this.#sinceCursor += RECORD_COST_BYTES + (bytes?.length ?? 0);
    const offset = first * BLOCK_BYTES;
    if (bytes !== null) {
      await this.#device.writeAt(offset, bytes);
      return;
    }
    const { sizeBytes } = this.#target.state;
    await this.#device.discard(offset, lengthOfBlocks(first, count, sizeBytes));
  }

  async #track(written: Promise<void>): Promise<void> {
    this.#running.add(written);
    try {
      await written;
    } catch (thrown) {
      this.#failure ??= thrown;
      throw thrown;
    } finally {
      this.#running.delete(written);
    }
  }

  async #settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }
}
