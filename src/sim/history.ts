/**
 * History: what all clients of one volume asked and saw, and what befell its holders, in one order.
 * `judge` says whether a disk that keeps the safety rules can have behaved so.
 *
 * Every event has a tick of its own. A write that failed may have happened; one that is `late` may
 * still happen until it is closed; one that was refused has not happened.
 */

import { assert } from "../util/assert.ts";
import type { IoKind } from "./schedule.ts";
import { SectorJudge } from "./sector-judge.ts";
import { GARBAGE, UNSEEN } from "./sector-pattern.ts";

export type Outcome =
  | "pending"
  | "ok"
  /** It has surely not happened (and a comparison that found a difference). */
  | "refused"
  /** It may have happened. */
  | "failed"
  /** A flush that reported a loss; of others as `failed`. */
  | "data-lost";

export const NEVER: number = Number.POSITIVE_INFINITY;

/** One operation of one client. */
export interface HistoryOp {
  readonly id: number;
  readonly client: string;
  /** Of the device that took it: its flushes report what was lost of this one's writes. */
  readonly session: number;
  readonly kind: IoKind;
  readonly first: number;
  readonly count: number;
  readonly fua: boolean;
  /** What it writes into each of its sectors; `UNSEEN` when it writes nothing. */
  readonly value: number;
  /** What compare and compare-and-write expect, by sector. */
  readonly expected: Int32Array | null;
  readonly start: number;
  readonly startMs: number;
  /** When it was answered. */
  end: number;
  /** From then on it changes nothing any more. */
  closed: number;
  /** It may have been done several times until then: it was sent again. */
  repeats: boolean;
  outcome: Outcome;
  /** What was seen in each sector; `UNSEEN` where nothing is known. */
  seen: Int32Array | null;
  /** The sector in which a comparison has found a difference, or -1. */
  differs: number;
}

/** What befell the volume. */
export interface HistoryEvent {
  readonly kind: "power-loss" | "wipe" | "doom" | "drop-cache" | "rot";
  readonly tick: number;
  readonly first: number;
  readonly count: number;
  /** Its users were told: no flush needs to report the loss. */
  readonly isReported: boolean;
}

export interface HistoryOptions {
  readonly sectorCount: number;
  /**
   * Its sectors' stamps are those of sectors from here on, so that another volume's content is
   * told from its own; default 0.
   */
  readonly stampBase?: number;
  /** Flushes and FUA promise nothing. */
  readonly flushLies?: boolean;
  /** Writes that are under way may be done several times (sent again to a target). */
  readonly repeats?: boolean;
  /** A read may get bytes of several values of a sector that is written meanwhile: lent memory. */
  readonly tears?: boolean;
}

export interface BeginOptions {
  readonly client: string;
  readonly session?: number;
  readonly kind: IoKind;
  readonly first: number;
  readonly count: number;
  readonly fua?: boolean;
  readonly expected?: Int32Array | null;
  readonly startMs?: number;
}

export interface EndOptions {
  readonly outcome: Exclude<Outcome, "pending">;
  readonly seen?: Int32Array | null;
  readonly differs?: number;
  /** It may still take effect until `abandon` or `closeAll`. */
  readonly isLate?: boolean;
  /**
   * It was a sync that the medium failed: pages are marked clean that were not written, and no
   * later flush covers them.
   */
  readonly dooms?: boolean;
}

/** What no disk can have answered. */
export interface Violation {
  readonly kind: string;
  readonly message: string;
  /** What happened to the sector, for people. */
  readonly lines?: readonly string[];
}

const WRITERS: ReadonlySet<IoKind> = new Set(["write", "zeroes", "discard", "compare-and-write"]);
const VIOLATIONS_MAX = 4;

export class History {
  readonly options: HistoryOptions;
  readonly ops: HistoryOp[] = [];
  readonly events: HistoryEvent[] = [];
  /** What was last written or seen in each sector: good guesses for comparisons. */
  readonly believed: Int32Array;
  /** Sectors that were too entangled to be judged. */
  undecided = 0;
  #tick = 0;
  #lastValue = 0;

  constructor(options: HistoryOptions) {
    this.options = options;
    this.believed = new Int32Array(options.sectorCount);
  }

  begin(options: BeginOptions): HistoryOp {
    const { kind, first, count } = options;
    assert(first >= 0 && first + count <= this.options.sectorCount, "operations lie in the volume");
    const op: HistoryOp = {
      id: this.ops.length + 1,
      client: options.client,
      session: options.session ?? 0,
      kind,
      first,
      count: kind === "flush" ? 0 : count,
      fua: options.fua === true,
      value: this.#valueFor(kind),
      expected: options.expected ?? null,
      start: ++this.#tick,
      startMs: options.startMs ?? 0,
      end: NEVER,
      closed: NEVER,
      repeats: this.options.repeats === true,
      outcome: "pending",
      seen: null,
      differs: -1,
    };
    this.ops.push(op);
    return op;
  }

  end(op: HistoryOp, options: EndOptions): void {
    assert(op.outcome === "pending", "an operation ends once");
    const { outcome } = options;
    op.end = ++this.#tick;
    op.outcome = outcome;
    op.seen = options.seen ?? null;
    op.differs = options.differs ?? -1;
    if (options.isLate !== true || outcome === "ok") op.closed = op.end;
    if (outcome === "ok") this.#believe(op);
    if (options.dooms === true) this.doom();
  }

  /** The operation's client is gone, or does not wait any more: nobody gets an answer. */
  abandon(op: HistoryOp, isLate = false): void {
    if (op.outcome === "pending") {
      op.end = ++this.#tick;
      op.outcome = "failed";
    }
    if (!isLate && op.closed === NEVER) op.closed = ++this.#tick;
  }

  /** None of those that were late can take effect any more. */
  closeAll(which: (op: HistoryOp) => boolean = () => true): void {
    for (const op of this.ops) {
      if (op.outcome === "pending" || op.closed !== NEVER || !which(op)) continue;
      op.closed = ++this.#tick;
    }
  }

  /** All volatile copies are gone: flushed values or later ones are there. */
  powerLoss(isReported: boolean): void {
    this.#befall("power-loss", 0, this.options.sectorCount, isReported);
  }

  /** All copies are gone: zeroes are there (a source in memory whose process died). */
  wipe(isReported: boolean): void {
    this.#befall("wipe", 0, this.options.sectorCount, isReported);
  }

  /** A sync has failed, whether or not somebody heard of it: what is not flushed may get lost. */
  doom(): void {
    this.#befall("doom", 0, this.options.sectorCount, true);
  }

  /** What a failed sync could not write may be gone from now on. */
  dropCache(): void {
    this.#befall("drop-cache", 0, this.options.sectorCount, true);
  }

  /** Bits of these sectors have turned. */
  rot(first: number, count: number): void {
    this.#befall("rot", first, count, true);
    this.believed.fill(0, first, first + count);
  }

  /** What no disk that keeps the rules can have answered: a few of them. */
  judge(): Violation[] {
    const opsBySector = this.#opsBySector();
    const flushes = this.options.flushLies === true ? [] : this.ops.filter(isFlush);
    const violations: Violation[] = [];
    this.undecided = 0;
    if (this.options.tears === true) this.#forgetTorn(opsBySector);
    for (let sector = 0; sector < this.options.sectorCount; sector++) {
      const ops = opsBySector[sector];
      if (ops === undefined) continue;
      const judge = new SectorJudge({ sector, ops, flushes, events: this.events }, this.options);
      const violation = judge.judge();
      if (judge.isUndecided) this.undecided++;
      if (violation === null) continue;
      violations.push(violation);
      if (violations.length === VIOLATIONS_MAX) break;
    }
    return violations;
  }

  #befall(kind: HistoryEvent["kind"], first: number, count: number, isReported: boolean): void {
    this.events.push({ kind, tick: ++this.#tick, first, count, isReported });
  }

  #valueFor(kind: IoKind): number {
    if (!WRITERS.has(kind)) return UNSEEN;
    return kind === "zeroes" || kind === "discard" ? 0 : ++this.#lastValue;
  }

  #believe(op: HistoryOp): void {
    for (let index = 0; index < op.count; index++) {
      const seen = op.value === UNSEEN ? (op.seen?.[index] ?? UNSEEN) : op.value;
      if (seen !== UNSEEN && seen !== GARBAGE) this.believed[op.first + index] = seen;
    }
  }

  /** Garbage says nothing where somebody wrote during the read. */
  #forgetTorn(opsBySector: readonly (readonly HistoryOp[] | undefined)[]): void {
    for (const op of this.ops) {
      if (op.kind !== "read" || op.seen === null) continue;
      for (let index = 0; index < op.count; index++) {
        if (op.seen[index] !== GARBAGE) continue;
        const beside = opsBySector[op.first + index] ?? [];
        const isWritten = beside.some(
          (other) => other.value !== UNSEEN && other.start < op.end && other.closed > op.start,
        );
        if (isWritten) op.seen[index] = UNSEEN;
      }
    }
  }

  #opsBySector(): (HistoryOp[] | undefined)[] {
    const lists = new Array<HistoryOp[] | undefined>(this.options.sectorCount).fill(undefined);
    for (const op of this.ops) {
      for (let sector = op.first; sector < op.first + op.count; sector++) {
        const list = lists[sector];
        if (list === undefined) lists[sector] = [op];
        else list.push(op);
      }
    }
    return lists;
  }
}

function isFlush(op: HistoryOp): boolean {
  return op.kind === "flush" && (op.outcome === "ok" || op.outcome === "data-lost");
}
