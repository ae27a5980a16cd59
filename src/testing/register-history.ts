/**
 * RegisterHistory: what clients saw of one block, and whether one register can have answered so.
 *
 * Every write has a value of its own, so a history is linearizable if and only if it can be split
 * by value: each value's zone lies between its first end and its last beginning; zones of values
 * that were current for a while must not overlap, and none of a single moment lies within one.
 * (Gibbons and Korach, Testing shared memories, 1997.) Times are any numbers that only grow.
 */

interface Zone {
  /** When its write began and ended; an unanswered write never ends. */
  readonly writeStart: number;
  writeEnd: number;
  /** The first end and the last beginning of all operations with this value. */
  firstEnd: number;
  lastStart: number;
}

export class RegisterHistory {
  readonly #zones = new Map<number, Zone>();

  /** @param initial the value before the first write, written before all time */
  constructor(initial: number) {
    this.#zones.set(initial, { writeStart: -2, writeEnd: -1, firstEnd: -1, lastStart: -2 });
  }

  writeBegan(value: number, start: number): void {
    const never = Number.POSITIVE_INFINITY;
    this.#zones.set(value, {
      writeStart: start,
      writeEnd: never,
      firstEnd: never,
      lastStart: start,
    });
  }

  writeEnded(value: number, end: number): void {
    const zone = this.#zoneOf(value);
    zone.writeEnd = end;
    zone.firstEnd = Math.min(zone.firstEnd, end);
  }

  /** @throws Error for a value that nobody had begun to write by then */
  sawValue(value: number, start: number, end: number): void {
    const zone = this.#zoneOf(value);
    if (end < zone.writeStart) throw new Error(`value ${value} was read before it was written`);
    zone.firstEnd = Math.min(zone.firstEnd, end);
    zone.lastStart = Math.max(zone.lastStart, start);
  }

  /** Why no register can have answered so, or null. */
  violation(): string | null {
    // A write without an answer that nobody saw need not have happened.
    const zones = [...this.#zones].filter(
      ([, { firstEnd }]) => firstEnd !== Number.POSITIVE_INFINITY,
    );
    for (const [value, zone] of zones) {
      if (zone.firstEnd >= zone.lastStart) continue;
      for (const [other, beside] of zones) {
        if (other === value) continue;
        const from = Math.min(beside.firstEnd, beside.lastStart);
        const to = Math.max(beside.firstEnd, beside.lastStart);
        const isForward = beside.firstEnd < beside.lastStart;
        const overlaps = from < zone.lastStart && zone.firstEnd < to;
        const isWithin = zone.firstEnd < from && to < zone.lastStart;
        if (isForward ? overlaps : isWithin) {
          return (
            `value ${value} was current over ${zone.firstEnd}..${zone.lastStart}, ` +
            `and so was ${other} at ${from}..${to}`
          );
        }
      }
    }
    return null;
  }

  #zoneOf(value: number): Zone {
    const zone = this.#zones.get(value);
    if (zone === undefined) throw new Error(`value ${value} was never written`);
    return zone;
  }
}
