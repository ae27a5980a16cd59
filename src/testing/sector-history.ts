/**
 * SectorHistory: what the sectors of one volume may hold, when processes die and power fails, as
 * far as writes to one sector never run at once. The dumb way: all values since the last one that
 * is surely durable.
 *
 * Values are numbers; 0 is zeroes. Times are any numbers that only grow.
 */

export type Loss = "none" | "kill" | "power";

interface Entry {
  readonly value: number;
  /** Infinity: not acknowledged; it may have happened all the same. */
  ackTime: number;
  /** By itself (FUA). */
  isDurable: boolean;
}

export interface Change {
  /** @param isDurable it was written with FUA */
  acknowledged(time: number, isDurable: boolean): void;
}

export class SectorHistory {
  readonly #sectors: Entry[][];
  /** All that was acknowledged by then is durable. */
  #flushedTime = 0;

  constructor(sectors: number) {
    this.#sectors = Array.from({ length: sectors }, () => [
      { value: 0, ackTime: 0, isDurable: true },
    ]);
  }

  get sectors(): number {
    return this.#sectors.length;
  }

  /** A change of sectors [first, first + count) to `value` begins. */
  begin(first: number, count: number, value: number): Change {
    const entries: Entry[] = [];
    for (let sector = first; sector < first + count; sector++) {
      const entry = { value, ackTime: Number.POSITIVE_INFINITY, isDurable: false };
      this.#of(sector).push(entry);
      entries.push(entry);
    }
    return {
      acknowledged(time, isDurable) {
        for (const entry of entries) {
          entry.ackTime = time;
          entry.isDurable = isDurable;
        }
      },
    };
  }

  /** A flush that began at `time` has succeeded. */
  flushed(time: number): void {
    this.#flushedTime = Math.max(this.#flushedTime, time);
  }

  /** Values that a read of the sector may give, after such losses since the last look. */
  allowed(sector: number, loss: Loss): number[] {
    const entries = this.#of(sector);
    const isSure = ({ ackTime, isDurable }: Entry): boolean =>
      loss === "power" ? isDurable || ackTime <= this.#flushedTime : ackTime < Infinity;
    const last = entries.findLastIndex(isSure);
    return entries.slice(Math.max(last, 0)).map(({ value }) => value);
  }

  /** It was found with this value after an import, which makes all durable that it finds. */
  saw(sector: number, value: number): void {
    this.#sectors[sector] = [{ value, ackTime: 0, isDurable: true }];
  }

  #of(sector: number): Entry[] {
    const entries = this.#sectors[sector];
    if (entries === undefined) throw new Error(`there is no sector ${sector}`);
    return entries;
  }
}
