/** DamagedBlocks: says once of each block that it did not match its checksum. */

import { BLOCK_BYTES, blockOf, diskOf, type Address } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { VolumeState } from "./volume-state.ts";

/** Then the oldest are forgotten, and may be told again. */
const REMEMBERED_MAX = 1024;

export class DamagedBlocks {
  readonly #parts: PoolParts;
  readonly #told = new Set<string>();

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  report(volume: VolumeState, block: number, address: Address): void {
    const key = `${volume.id} ${block} ${address}`;
    if (this.#told.has(key)) return;
    if (this.#told.size >= REMEMBERED_MAX)
      this.#told.delete(this.#told.values().next().value ?? "");
    this.#told.add(key);
    const { environment, checkpointer, disks } = this.#parts;
    const disk = disks.at(diskOf(address)).device.info.name;
    const offset = block * BLOCK_BYTES;
    const diskOffset = blockOf(address) * BLOCK_BYTES;
    environment.onEvent({
      level: "error",
      code: "pool-damage-found",
      message:
        `${volume.name}: the block at ${offset} does not match its checksum ` +
        `(${disk} at ${diskOffset}): reads of it fail until it is written again`,
      pool: checkpointer.label.name,
      volume: volume.name,
      details: { offset, disk, diskOffset },
    });
  }
}
