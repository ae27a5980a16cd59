/**
 * Drawing schedules: random programs of clients and faults, by weights. Uses only the operations of
 * numbers that are the same on every machine.
 */

import type { Prng } from "../util/prng.ts";
import type { IoKind, IoStep, Step } from "./schedule.ts";

/** A fault without its time, drawn anew each time. */
type Untimed<T> = T extends unknown ? Omit<T, "at"> : never;
export type DrawnFault = Untimed<Exclude<Step, IoStep>>;

export interface Weighted<T> {
  readonly weight: number;
  readonly value: T;
}

export function pickWeighted<T>(prng: Prng, items: readonly Weighted<T>[]): T {
  const sum = items.reduce((total, { weight }) => total + weight, 0);
  let rest = prng.float() * sum;
  for (const { weight, value } of items) {
    rest -= weight;
    if (rest < 0) return value;
  }
  return (items.at(-1) as Weighted<T>).value; // rounding; nobody picks from an empty list
}

/** Uniform in [min, max), in whole microseconds so that it reads well. */
export function drawMs(prng: Prng, minMs: number, maxMs: number): number {
  return Math.round((minMs + (maxMs - minMs) * prng.float()) * 1000) / 1000;
}

export interface LoadOptions {
  readonly clients: number;
  readonly sectors: number;
  /** Longest operation. */
  readonly countMax: number;
  readonly kinds: readonly Weighted<IoKind>[];
  /** Of writes and zeroes. */
  readonly fuaChance: number;
  /** Offsets and lengths are multiples of it. */
  readonly granule?: number;
}

/** An operation somewhere, half of them on few hot sectors so that they overlap. */
export function drawIo(prng: Prng, at: number, load: LoadOptions): IoStep {
  const { sectors, granule = 1 } = load;
  const kind = pickWeighted(prng, load.kinds);
  const client = prng.below(load.clients);
  if (kind === "flush") return { at, kind, client, first: 0, count: 0 };
  const isHot = prng.below(2) === 0;
  const space = (isHot ? Math.min(sectors, 32) : sectors) / granule;
  const start = prng.below(space);
  const isSmall = isHot || prng.below(4) > 0;
  const longest = Math.max(1, (isSmall ? Math.min(8, load.countMax) : load.countMax) / granule);
  const longestHere = Math.min(longest, sectors / granule - start);
  const count = 1 + prng.below(Math.max(1, Math.floor(longestHere)));
  const step = { at, kind, client, first: start * granule, count: count * granule };
  const mayForce = kind === "write" || kind === "zeroes" || kind === "compare-and-write";
  return mayForce && prng.chance(load.fuaChance) ? { ...step, fua: 1 } : step;
}

export interface ProgramOptions extends LoadOptions {
  /** Client operations. */
  readonly operations: number;
  /** Faults and events. */
  readonly faults: number;
  /** Mean time between operations of a stretch, milliseconds; it varies from stretch to stretch. */
  readonly paceMs: number;
  readonly drawFault: (prng: Prng) => DrawnFault;
}

/** Operations with faults strewn in, sometimes several at once. */
export function drawProgram(prng: Prng, options: ProgramOptions): Step[] {
  const { operations, faults } = options;
  const places = new Map<number, number>();
  let left = faults;
  while (left > 0) {
    const place = prng.below(operations);
    const burst = Math.min(left, prng.below(4) === 0 ? 2 : 1);
    places.set(place, (places.get(place) ?? 0) + burst);
    left -= burst;
  }
  const steps: Step[] = [];
  let pace = options.paceMs;
  for (let index = 0; index < operations; index++) {
    if (index % 20 === 0) pace = options.paceMs * prng.pick([0.1, 0.5, 1, 1, 3]);
    for (let count = places.get(index) ?? 0; count > 0; count--) {
      steps.push({ at: drawMs(prng, 0, pace), ...options.drawFault(prng) } as Step);
    }
    // Bursts: many operations begin at nearly the same time.
    const at = prng.below(3) === 0 ? 0 : drawMs(prng, 0, 2 * pace);
    steps.push(drawIo(prng, at, options));
  }
  return steps;
}
