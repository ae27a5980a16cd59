/**
 * Who may take how many blocks, how much the sizes of volumes may add up to, and when to warn.
 * Pure; all figures are blocks (`mayCommit`: any unit).
 *
 *   free = given to nobody | waiting | reserved for thick volumes | room (pages, copying)
 *
 * A thin volume takes from the first part only. A write that puts a block in another's place, or
 * that has a reservation, gives back as much as it takes: it may use some of the room meanwhile.
 *
 * spec: docs/internals/pool-format.md, Space
 */

import { assert } from "../../util/assert.ts";

/** What is there, in blocks. All are 0 or more. */
export interface SpaceFigures {
  /** No used blocks as of now: those that wait for reuse and those taken are among them. */
  readonly free: number;
  /** Freed, and not usable yet. */
  readonly waiting: number;
  /** Given to somebody whose record has not been applied yet. */
  readonly taken: number;
  /** Not mapped yet of volumes that have their space for sure. */
  readonly reserved: number;
  /** For labels, log, pages and copying, by the pool's size. */
  readonly keptBack: number;
  /** Taken of that by labels and ring. */
  readonly held: number;
  /** Taken of that by pages. */
  readonly pages: number;
}

/** All 0, to be filled in again and again. */
export function noFigures(): { -readonly [Name in keyof SpaceFigures]: number } {
  return { free: 0, waiting: 0, taken: 0, reserved: 0, keptBack: 0, held: 0, pages: 0 };
}

export type SpaceAnswer = "ok" | "wait" | "no-space";

/** Of what is kept back, at least this part stays room, however much pages take. */
const ROOM_SHARE_MIN = 4;
/** Part of the room that overwriting may use; the rest is for pages. */
const COPYING_SHARE = 4;
/** An event of a lower level is sent when so much less than its threshold is used. */
const HYSTERESIS_PERCENT = 2;

/** Blocks that are kept free for pages and copying. */
export function roomBlocks(figures: SpaceFigures): number {
  const { keptBack, held, pages } = figures;
  assert(keptBack >= 0 && held >= 0 && pages >= 0, "figures of space are counts");
  return Math.max(keptBack - held - pages, Math.ceil(keptBack / ROOM_SHARE_MIN));
}

/**
 * May `count` blocks be taken for data now? Hot path.
 *
 * @param isReserved as many blocks are given back soon, or set aside for it: a thick volume, or
 *   blocks that take the place of others
 * @returns "wait": not now, but what is taken or waits for reuse may be enough. Ask again when
 *   something of it has changed: what is taken ends by itself, for the rest ask for a flush
 *   (blocks) or a checkpoint (pages). Whoever waits is never left alone: with neither it is no
 *   "wait"
 */
export function mayTake(figures: SpaceFigures, count: number, isReserved: boolean): SpaceAnswer {
  const { free, waiting, taken } = figures;
  assert(count > 0, "at least one block is taken");
  assert(waiting >= 0 && taken >= 0, "figures of space are counts");
  assert(waiting + taken <= free, "what is taken or waits for reuse is not in use");
  const left = free - keptFree(figures, isReserved);
  if (left - waiting - taken >= count) return "ok";
  return left >= count ? "wait" : "no-space";
}

/** What this taker leaves alone. */
function keptFree(figures: SpaceFigures, isReserved: boolean): number {
  const room = roomBlocks(figures);
  return isReserved ? room - Math.floor(room / COPYING_SHARE) : room + figures.reserved;
}

/** May the sizes of volumes grow by `more`? `percent` of capacity is the limit; 0: none. */
export function mayCommit(sums: {
  readonly committed: number;
  readonly more: number;
  readonly capacity: number;
  readonly percent: number;
}): boolean {
  const { committed, more, capacity, percent } = sums;
  assert(committed >= 0 && more >= 0, "sizes are not negative");
  assert(percent >= 0 && capacity >= 0, "a limit is not negative");
  return percent === 0 || committed + more <= (capacity / 100) * percent;
}

export type ThresholdEvent = "warning" | "critical" | "ok";

/** By level. */
const EVENTS = ["ok", "warning", "critical"] as const;

/** Says when the used part of a pool passes its thresholds, up or down, once each time. */
export class SpaceThresholds {
  readonly #percents: readonly [number, number];
  #level = 0;

  /** Percent of capacity; 0: no such event. */
  constructor(warnPercent: number, criticalPercent: number) {
    assert(warnPercent >= 0 && criticalPercent >= 0, "a threshold is not negative");
    const never = Number.POSITIVE_INFINITY;
    this.#percents = [warnPercent || never, criticalPercent || never];
  }

  /** The level that was reported last. */
  get level(): ThresholdEvent {
    return EVENTS[this.#level] as ThresholdEvent; // it is 0, 1 or 2
  }

  /** @returns the event to send, or null. Allocates nothing: may be called after each change */
  update(usedBlocks: number, capacityBlocks: number): ThresholdEvent | null {
    assert(usedBlocks >= 0 && capacityBlocks >= 0, "used and capacity are counts");
    const percent = capacityBlocks === 0 ? 0 : (usedBlocks * 100) / capacityBlocks;
    const up = this.#levelAt(percent);
    const down = this.#levelAt(percent + HYSTERESIS_PERCENT);
    const level = Math.min(Math.max(this.#level, up), Math.max(down, up));
    if (level === this.#level) return null;
    this.#level = level;
    return this.level;
  }

  #levelAt(percent: number): number {
    const [warning, critical] = this.#percents;
    if (percent >= critical) return 2;
    return percent >= warning ? 1 : 0;
  }
}
