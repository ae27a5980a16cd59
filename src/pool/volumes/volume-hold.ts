/**
 * VolumeHold: a change of a whole volume, as an entry of its range table: all changes of clients
 * are either over before it begins, or begin when it is over.
 *
 *   enter --those before it have ended--> held --leave--> those behind it go on
 */

import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES, VOLUME_BLOCKS_MAX } from "../pool-layout.ts";
import { RangedRequest } from "./ranged-request.ts";
import type { VolumeState } from "./volume-state.ts";

export class VolumeHold extends RangedRequest {
  readonly #volume: VolumeState;
  #entered: (() => void) | null = null;

  constructor(volume: VolumeState) {
    super();
    this.#volume = volume;
    this.offset = 0;
    this.length = VOLUME_BLOCKS_MAX * BLOCK_BYTES;
  }

  /** Once; `entered` in the turn, perhaps before this returns. */
  enter(entered: () => void): void {
    assert(this.#entered === null, "a volume is held once");
    this.#entered = entered;
    if (this.#volume.ranges.enter(this)) entered();
  }

  override rangeEntered(): void {
    this.#entered?.();
  }

  leave(): void {
    this.#volume.ranges.leave(this);
  }
}
