/**
 * exportVolume: copies a volume to another device, block by block, and goes on over what cannot be
 * read: the way to get out of a damaged pool what is still there.
 *
 * Holes stay holes: the target is empty before. One read and one write are in flight.
 */

import { DeviceError } from "../../block/device-error.ts";
import type { Device } from "../../block/device.ts";
import { ExtentFlag } from "../../block/extents.ts";
import { PromiseDevice } from "../../block/promise-device.ts";
import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";

export interface ExportResult {
  /** Written to the target; the rest is zeroes. */
  readonly copiedBytes: number;
  readonly lostBytes: number;
  /** Ranges of the volume that could not be read; the first 1,000. The target has zeroes there. */
  readonly lost: readonly LostRange[];
}

export interface LostRange {
  readonly offset: number;
  readonly length: number;
}

const PIECE_BYTES = 1024 * 1024;
const LOST_MAX = 1000;

/**
 * Both devices are closed when it settles.
 * @param source a volume's device
 * @param target as large, and reads as zeroes
 * @throws DeviceError when the target fails, or the source does by more than its medium
 */
export async function exportVolume(source: Device, target: Device): Promise<ExportResult> {
  const { sizeBytes } = source.info;
  assert(target.info.sizeBytes >= sizeBytes, "the target holds the volume");
  const copy = new VolumeCopy(source, target);
  try {
    for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
      await copy.piece(offset, Math.min(PIECE_BYTES, sizeBytes - offset));
    }
    return await copy.finish();
  } finally {
    await copy.close();
  }
}

class VolumeCopy {
  readonly #source: PromiseDevice;
  readonly #target: PromiseDevice;
  readonly #lost: LostRange[] = [];
  #copiedBytes = 0;
  #lostBytes = 0;

  constructor(source: Device, target: Device) {
    this.#source = new PromiseDevice(source);
    this.#target = new PromiseDevice(target);
  }

  async piece(offset: number, length: number): Promise<void> {
    for (const extent of await this.#source.blockStatus(offset, length)) {
      if ((extent.flags & ExtentFlag.zero) !== 0) continue;
      await this.#copy(extent.offset, extent.length);
    }
  }

  async finish(): Promise<ExportResult> {
    await this.#target.flush();
    const [copiedBytes, lostBytes] = [this.#copiedBytes, this.#lostBytes];
    return { copiedBytes, lostBytes, lost: this.#lost };
  }

  async close(): Promise<void> {
    await this.#source.close();
    await this.#target.close();
  }

  async #copy(offset: number, length: number): Promise<void> {
    const bytes = await this.#read(offset, length);
    if (bytes === null) {
      if (length > BLOCK_BYTES) await this.#copyBlocks(offset, length);
      else this.#lose(offset, length);
      return;
    }
    await this.#target.writeAt(offset, bytes);
    this.#copiedBytes += length;
  }

  /** One bad block does not take the others with it. */
  async #copyBlocks(offset: number, length: number): Promise<void> {
    for (let at = offset; at < offset + length; at += BLOCK_BYTES) {
      await this.#copy(at, Math.min(BLOCK_BYTES, offset + length - at));
    }
  }

  /** null: the medium does not have it. */
  async #read(offset: number, length: number): Promise<Uint8Array | null> {
    try {
      return await this.#source.readAt(offset, length);
    } catch (error) {
      if (error instanceof DeviceError && error.status === Status.mediaError) return null;
      throw error;
    }
  }

  #lose(offset: number, length: number): void {
    this.#lostBytes += length;
    const last = this.#lost.at(-1);
    if (last !== undefined && last.offset + last.length === offset) {
      this.#lost[this.#lost.length - 1] = { offset: last.offset, length: last.length + length };
    } else if (this.#lost.length < LOST_MAX) this.#lost.push({ offset, length });
  }
}
