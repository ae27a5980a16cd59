/**
 * SectorModel: the dumb array beside a device that many clients use at once.
 *
 * Each sector of 512 bytes is a register. Between quiet moments it holds one value: the number of
 * the write that it got last, or 0 for zeroes. What clients do meanwhile is noted with the times of
 * its beginning and its end, and judged at the next quiet moment, sector by sector: any
 * serialization of what overlapped in time is accepted, nothing else is.
 */

import { RegisterHistory } from "./register-history.ts";

export const SECTOR_BYTES = 512;
const WORDS = SECTOR_BYTES / 4;

/** What no write ever wrote: another sector's data, a part of it, noise. */
export const GARBAGE = -1;
/** In `seen`: nothing was said of this sector. */
export const UNSEEN = -2;

/** One client's operation, as far as it touches content. Sectors from `first` on. */
export interface Note {
  readonly first: number;
  readonly count: number;
  readonly start: number;
  end: number;
  /**
   * What was seen in each sector, or in the first ones: it must have been there at some time
   * between start and end. Null: it looked at nothing.
   */
  seen: Int32Array | null;
  /** Not every value of `seen` need have been there at one moment in a client's order. */
  readonly isLoose: boolean;
  /** What is in all its sectors when it ends; undefined: it changes nothing. */
  written: number | undefined;
  /** It saw and wrote at one moment: nobody else can have found the same. */
  readonly isExclusive: boolean;
  /** Bytes of sectors that were garbage, by sector. */
  torn: Map<number, Uint8Array> | null;
}

/**
 * What reads of a sector may get while it is being written: one of its values ("never"), bytes of
 * several, as from a page cache or from memory that is lent ("mixed"), or anything, where such a
 * mixture has been decrypted ("noise").
 */
export type Tearing = "never" | "mixed" | "noise";

export interface ModelOptions {
  readonly sectorCount: number;
  readonly tearing: Tearing;
}

interface Write {
  readonly value: number;
  readonly start: number;
  readonly end: number;
}

const NEVER = Number.POSITIVE_INFINITY;

export class SectorModel {
  /** What each sector holds when nothing runs. */
  readonly values: Int32Array;
  readonly #tearing: Tearing;
  #notes: Note[] = [];
  #now = 0;

  constructor({ sectorCount, tearing }: ModelOptions) {
    this.values = new Int32Array(sectorCount);
    this.#tearing = tearing;
  }

  /** An operation begins. */
  begin(
    first: number,
    count: number,
    how: { written?: number; isLoose?: boolean; isExclusive?: boolean } = {},
  ): Note {
    const note: Note = {
      first,
      count,
      start: ++this.#now,
      end: NEVER,
      seen: null,
      isLoose: how.isLoose === true,
      written: how.written,
      isExclusive: how.isExclusive === true,
      torn: null,
    };
    this.#notes.push(note);
    return note;
  }

  /** It has ended, and saw this; without `seen` it looked at nothing. */
  end(note: Note, seen: Int32Array | null = null): void {
    note.end = ++this.#now;
    note.seen = seen;
  }

  /** Reads what `bytes` from a range hold, sector by sector; keeps those that are garbage. */
  decode(note: Note, bytes: Uint8Array): Int32Array {
    const copy = new Uint8Array(bytes);
    const words = new Int32Array(copy.buffer);
    const seen = new Int32Array(note.count);
    for (let index = 0; index < note.count; index++) {
      seen[index] = writeIn(words, index * WORDS, note.first + index);
      if (seen[index] !== GARBAGE) continue;
      note.torn ??= new Map();
      const sector = copy.subarray(index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES);
      note.torn.set(note.first + index, sector);
    }
    return seen;
  }

  /** Values that a sector may have held at some time between start and end of `note`. */
  candidates(sector: number, note: Note): number[] {
    const writes = this.#writesOf(sector);
    return writes.filter((write) => isVisible(write, writes, note)).map(({ value }) => value);
  }

  /** What was written since all was quiet, without overlaps. */
  writtenRanges(): { first: number; count: number }[] {
    const ranges: { first: number; count: number }[] = [];
    const changes = this.#notes.filter(({ written }) => written !== undefined);
    for (const { first, count } of changes.sort((one, other) => one.first - other.first)) {
      const last = ranges.at(-1);
      if (last === undefined || first > last.first + last.count) ranges.push({ first, count });
      else last.count = Math.max(last.count, first + count - last.first);
    }
    return ranges;
  }

  /**
   * Nothing runs, and every sector that was written has been read since.
   * @returns what no disk can have answered, or null
   */
  settle(): string | null {
    const written = new Set<number>();
    for (const { first, count, written: value } of this.#notes) {
      if (value === undefined) continue;
      for (let sector = first; sector < first + count; sector++) written.add(sector);
    }
    let violation: string | null = null;
    for (const note of this.#notes) violation ??= this.#judgeQuiet(note, written);
    for (const sector of written) violation ??= this.#judge(sector);
    this.#notes = [];
    return violation;
  }

  /** Sectors that nobody wrote hold what they held. */
  #judgeQuiet(note: Note, written: ReadonlySet<number>): string | null {
    const { first, seen } = note;
    if (seen === null) return null;
    for (let index = 0; index < seen.length; index++) {
      const expected = this.values[first + index] as number;
      if (seen[index] === expected || seen[index] === UNSEEN) continue;
      if (written.has(first + index)) continue;
      return `${place(first + index)} held ${name(seen[index])}, expected ${name(expected)}`;
    }
    return null;
  }

  #judge(sector: number): string | null {
    const writes = this.#writesOf(sector);
    const unique = uniqueValues(writes);
    const zones = new Zones(writes.filter(({ value }) => unique.has(value)));
    let last: Note | null = null;
    for (const note of this.#notes) {
      const value = seenBy(note, sector);
      if (value === UNSEEN) continue;
      const isSeen = writes.some(
        (write) => write.value === value && isVisible(write, writes, note),
      );
      if (!isSeen && !this.#isTorn(sector, note, writes)) {
        const expected = this.candidates(sector, note).map(name).join(" or ");
        return `${place(sector)} held ${name(value)}, expected ${expected}`;
      }
      if (unique.has(value) && !note.isLoose) zones.saw(value, note);
      if (!note.isLoose && (last === null || note.start > last.start)) last = note;
    }
    const violation = zones.violation() ?? this.#judgeExchanges(sector, zones);
    if (violation !== null) return `${place(sector)}: ${violation}`;
    if (last === null) return `${place(sector)} was not read after it was written`;
    this.values[sector] = seenBy(last, sector);
    return null;
  }

  /** What was seen and overwritten at one moment leaves no room for others between. */
  #judgeExchanges(sector: number, zones: Zones): string | null {
    for (const note of this.#notes) {
      const found = seenBy(note, sector);
      if (!note.isExclusive || note.written === undefined || found === UNSEEN) continue;
      const between = zones.between(found, note.written);
      if (between === null) continue;
      return `${name(note.written)} replaced ${name(found)}, with ${name(between)} between them`;
    }
    return null;
  }

  /** All writes that there were, the first of them being what it held before. */
  #writesOf(sector: number): Write[] {
    const writes: Write[] = [{ value: this.values[sector] as number, start: -2, end: -1 }];
    for (const { first, count, written, start, end } of this.#notes) {
      if (written === undefined || sector < first || sector >= first + count) continue;
      writes.push({ value: written, start, end });
    }
    return writes;
  }

  /** It was seen half-way between values, where that may be. */
  #isTorn(sector: number, note: Note, writes: readonly Write[]): boolean {
    const bytes = note.torn?.get(sector);
    if (this.#tearing === "never" || bytes === undefined) return false;
    const seen = writes.filter((write) => isVisible(write, writes, note));
    if (this.#tearing === "noise") return seen.length > 1;
    const patterns = seen.map(({ value }) => sectorBytes(value, sector));
    return bytes.every((byte, at) => patterns.some((pattern) => pattern[at] === byte));
  }
}

/** When each value, of those that were written once, was seen. */
class Zones {
  readonly #history: RegisterHistory;
  /** The first end and the last beginning of all that wrote or saw a value. */
  readonly #firstEnds = new Map<number, number>();
  readonly #lastStarts = new Map<number, number>();

  constructor(writes: readonly Write[]) {
    const initial = writes.find(({ start }) => start < 0);
    this.#history = new RegisterHistory(initial?.value ?? GARBAGE);
    for (const { value, start, end } of writes) {
      this.#firstEnds.set(value, end);
      this.#lastStarts.set(value, start);
      if (start < 0) continue;
      this.#history.writeBegan(value, start);
      if (end !== NEVER) this.#history.writeEnded(value, end);
    }
  }

  saw(value: number, { start, end }: Note): void {
    this.#history.sawValue(value, start, end);
    this.#firstEnds.set(value, Math.min(this.#firstEnds.get(value) ?? NEVER, end));
    this.#lastStarts.set(value, Math.max(this.#lastStarts.get(value) ?? -NEVER, start));
  }

  violation(): string | null {
    return this.#history.violation();
  }

  /** A value that surely came after `first` and before `second`, or null. */
  between(first: number, second: number): number | null {
    const firstEnd = this.#firstEnds.get(first);
    const lastStart = this.#lastStarts.get(second);
    if (firstEnd === undefined || lastStart === undefined) return null;
    for (const [value, end] of this.#firstEnds) {
      const start = this.#lastStarts.get(value) as number; // they have the same keys
      if (value !== first && value !== second && firstEnd < start && end < lastStart) return value;
    }
    return null;
  }
}

/** What `note` says of a sector, or `UNSEEN`. */
function seenBy({ first, seen }: Note, sector: number): number {
  const index = sector - first;
  return index < 0 ? UNSEEN : (seen?.[index] ?? UNSEEN);
}

/** True when `note` can have seen what `write` wrote: it was not surely overwritten before. */
function isVisible(write: Write, writes: readonly Write[], note: Note): boolean {
  if (write.start >= note.end) return false;
  return !writes.some((other) => other.start > write.end && other.end < note.start);
}

function uniqueValues(writes: readonly Write[]): Set<number> {
  const counts = new Map<number, number>();
  for (const { value } of writes) counts.set(value, (counts.get(value) ?? 0) + 1);
  return new Set([...counts].filter(([, count]) => count === 1).map(([value]) => value));
}

/** The content of `sector` after write number `value`: both stand in all of it. */
export function sectorBytes(value: number, sector: number): Uint8Array {
  const words = new Int32Array(WORDS);
  if (value !== 0) {
    for (let index = 0; index < WORDS; index += 2) {
      words[index] = value;
      words[index + 1] = sector + 1;
    }
  }
  return new Uint8Array(words.buffer);
}

/** Which write the sector at `from` is of; `GARBAGE` when of none. */
function writeIn(words: Int32Array, from: number, sector: number): number {
  const value = words[from] as number;
  const place = value === 0 ? 0 : sector + 1;
  for (let index = from; index < from + WORDS; index += 2) {
    if (words[index] !== value || words[index + 1] !== place) return GARBAGE;
  }
  return value < 0 ? GARBAGE : value;
}

function place(sector: number): string {
  return `sector ${sector}`;
}

function name(value: number | undefined): string {
  if (value === 0) return "zeroes";
  return value === GARBAGE || value === undefined ? "garbage" : `write ${value}`;
}
