/**
 * DatasetRanges: the ranges of a dataset management command, checked, in bytes of the device.
 *
 * spec: NVM Command Set 1.0 3.2.3
 */

import { DATASET_RANGE_BYTES, DATASET_RANGES_MAX } from "./constants.ts";
import { rangeBlocks, rangeStart } from "./dataset-range.ts";
import type { NvmeCommand } from "./io-command.ts";
import { DNR, NvmeStatus } from "./status.ts";
import type { NamespaceFace } from "./transport.ts";

const PAIRS_INITIAL = 4;

export class DatasetRanges {
  /** Pairs of offset and length. */
  #pairs = new Float64Array(2 * PAIRS_INITIAL);
  #count = 0;
  #next = 0;

  /** @returns 0, or the status that the command is refused with: then nothing of it is done */
  read(bytes: Uint8Array, namespace: NamespaceFace): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const blockBytes = 1 << namespace.blockShift;
    const ranges = Math.min(bytes.length / DATASET_RANGE_BYTES, DATASET_RANGES_MAX);
    if (2 * ranges > this.#pairs.length) this.#pairs = new Float64Array(2 * ranges);
    this.#count = 0;
    this.#next = 0;
    for (let index = 0; index < ranges; index++) {
      const at = index * DATASET_RANGE_BYTES;
      const blocks = rangeBlocks(view, at);
      const slba = rangeStart(view, at);
      if (slba + blocks > namespace.blocks) return NvmeStatus.lbaOutOfRange | DNR;
      if (blocks === 0) continue;
      this.#pairs[this.#count++] = slba * blockBytes;
      this.#pairs[this.#count++] = blocks * blockBytes;
    }
    return 0;
  }

  /** Sets the next range as the command's. @returns false: there is none */
  takeNext(command: NvmeCommand): boolean {
    if (this.#next === this.#count) return false;
    command.offset = this.#pairs[this.#next++] as number;
    command.length = this.#pairs[this.#next++] as number;
    return true;
  }
}
