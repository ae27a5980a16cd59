/** PoolEvents: what an open pool tells of itself: how full it is. */

import { BLOCK_BYTES, poolSizes } from "./pool-layout.ts";
import type { PoolEventCode } from "./pool-environment.ts";
import type { PoolParts } from "./recovery/pool-parts.ts";
import { SpaceThresholds, type ThresholdEvent } from "./space/space-policy.ts";

const CODES: Readonly<Record<ThresholdEvent, PoolEventCode>> = {
  warning: "pool-space-warning",
  critical: "pool-space-critical",
  ok: "pool-space-ok",
};
const LEVELS = { warning: "warning", critical: "error", ok: "info" } as const;

export class PoolEvents {
  readonly #parts: PoolParts;
  readonly #thresholds: SpaceThresholds;
  #capacityBlocks = 0;

  constructor(parts: PoolParts) {
    const { warnPercent, criticalPercent } = parts.checkpointer.label;
    this.#parts = parts;
    this.#thresholds = new SpaceThresholds(warnPercent, criticalPercent);
    parts.applier.onUsedChanged = () => this.#look();
    this.disksChanged();
  }

  /** The pool has more space than before. */
  disksChanged(): void {
    const { disks } = this.#parts.checkpointer.label;
    this.#capacityBlocks = poolSizes(disks.map(({ blocks }) => blocks)).capacityBytes / BLOCK_BYTES;
    this.#look();
  }

  // hot path
  #look(): void {
    const { space, environment, checkpointer } = this.#parts;
    const event = this.#thresholds.update(space.dataBlocks, this.#capacityBlocks);
    if (event === null) return;
    const { name } = checkpointer.label;
    const usedBytes = space.dataBlocks * BLOCK_BYTES;
    const capacityBytes = this.#capacityBlocks * BLOCK_BYTES;
    const percent = Math.floor((usedBytes * 100) / capacityBytes);
    environment.onEvent({
      level: LEVELS[event],
      code: CODES[event],
      message: `pool ${name} is ${percent} % full: ${usedBytes} of ${capacityBytes} bytes`,
      pool: name,
      details: { usedBytes, capacityBytes },
    });
  }
}
